"""A benchmark suite for compressing convolutional networks. Importing it doesn't import torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.version import __version__

if TYPE_CHECKING:
    from torch import nn

__all__ = ["__version__", "load"]

# In a checkout, methods/, datasets/ and reports/ stand beside this package; in an installed wheel they are inside it.
# Appending the checkout to this package's path makes `bench.methods` the same module in both.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))


def load(path: str | Path, plugins: Sequence[str] = ()) -> "nn.Module":
    """The network in a run's artifact or in a checkpoint of the CSG authors, in eval mode: see `bench.network_file`."""
    from bench.network_file import load

    return load(path, plugins)
