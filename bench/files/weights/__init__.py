"""Weights in ordinary files: reading them without running anything, and fitting them to a network."""
