"""Measurements of finished runs, kept in files beside the sealed ones; each module here describes one such file."""
