"""Families of targets of the fuzzer, one file each."""
