"""The one training loop: configuration, data, steps, EMA, checkpoints, logs."""
