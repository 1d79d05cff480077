"""An index of Python packages."""
