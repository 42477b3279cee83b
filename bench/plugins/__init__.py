"""Finding methods, datasets and networks by name, and their options."""
