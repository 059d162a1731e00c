"""Data types: what a value is, a file each."""
