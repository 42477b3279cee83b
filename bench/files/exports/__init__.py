"""Exported files, for programs that don't have bench: what each format holds, and how it is written and opened."""
