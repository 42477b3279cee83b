"""A benchmark suite for compressing convolutional networks. Importing it doesn't import torch."""

from pathlib import Path

from bench.version import __version__

__all__ = ["__version__"]

# In a checkout, methods/, datasets/ and reports/ stand beside this package; in an installed wheel they are inside it.
# Appending the checkout to this package's path makes `bench.methods` the same module in both.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))
