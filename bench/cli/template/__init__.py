"""What `bench new-method` copies: a method and its test, as modules, so that they are checked like all others."""
