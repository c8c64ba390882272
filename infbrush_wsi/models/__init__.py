"""The published systems, each wired from shared operators."""
