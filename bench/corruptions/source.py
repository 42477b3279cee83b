"""The contract of a source of corrupted test images: they are computed, or read from a folder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.data.batch import Batch
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import Data


@dataclass(frozen=True)
class Variant:
    """A corruption at one strength; 1 is the weakest."""

    name: str
    strength: int

    @property
    def text(self) -> str:
        return f"{self.name}.{self.strength}"


class Source(Protocol):
    """Corrupted copies of all test images of a dataset, in several variants."""

    @property
    def name(self) -> str:
        """The source's name in records. Scores from sources of the same name can be compared."""
        ...

    def variants(self) -> Sequence[Variant]:
        """The variants in order; never empty."""
        ...

    def check(self, data: Data) -> None:
        """Raise InputError if these are not copies of the data's test images."""
        ...

    def batches(self, variant: Variant, data: Data, normalise: Normalise, loading: Loading) -> Iterable[Batch]:
        """All images of a variant, as the network sees them, with their targets. Raises InputError."""
        ...
