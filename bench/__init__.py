"""Measures what Lakemend exists for, beside its reference: `make bench`, `python -m bench -h`."""
