"""Networks. A file here has `NAMES`, name to description, written out: `bench list` reads it without importing the
file. And it has `model(name)`, which gives the `Model` of each. What begins with `_` is shared by such files."""
