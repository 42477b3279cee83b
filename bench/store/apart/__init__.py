"""Measurements of finished runs, in files beside the sealed ones: a file here for each kind."""
