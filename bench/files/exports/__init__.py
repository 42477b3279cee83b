"""Exported files, for programs without bench: the content of each format, and how it is written and opened."""
