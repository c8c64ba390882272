"""Does training with synthetic images help a classifier? Both arms, folds by patient, several seeds, a paired test."""
