"""Networks. A file here has `NAMES`, a literal dict from name to description, and `model(name)`, which gives the
`Model` of each name.

`bench list` reads `NAMES` without importing the file. Files whose names begin with `_` are shared by the others.
"""
