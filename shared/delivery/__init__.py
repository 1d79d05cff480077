"""Delivery: a pipeline from its description to green."""
