"""Attempts to break the program: short in the suite, long by `make chaos`."""
