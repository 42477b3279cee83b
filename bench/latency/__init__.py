"""How long the networks of a sweep take, measured when nothing else of it runs."""
