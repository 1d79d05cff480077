"""A key vault."""
