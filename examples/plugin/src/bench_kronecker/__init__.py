"""A method and a dataset for bench, found through the entry points in pyproject.toml."""
