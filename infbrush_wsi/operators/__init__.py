"""Layers that map functions to functions and do not care how they were sampled."""
