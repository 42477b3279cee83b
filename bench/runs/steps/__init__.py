"""The steps of one run, each with its part of the record."""
