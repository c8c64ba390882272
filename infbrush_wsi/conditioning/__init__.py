"""Conditions: what a user asks for, as vectors and tokens of the network."""
