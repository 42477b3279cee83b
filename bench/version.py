"""The version. This file imports nothing, so that building the package needs nothing."""

__version__ = "0.2.0"
