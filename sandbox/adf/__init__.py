"""The data factories."""
