"""Where corrupted copies of test images come from: computed, or from a folder."""

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
    """Corrupted copies of all test images of a dataset, in the variants that there are."""

    @property
    def name(self) -> str:
        """What records say of it. Figures of two sources of one name can be compared."""
        ...

    def variants(self) -> Sequence[Variant]:
        """In their order. Never empty."""
        ...

    def check(self, data: Data) -> None:
        """Raises InputError if these are no copies of the data's test images."""
        ...

    def batches(self, variant: Variant, data: Data, normalise: Normalise, loading: Loading) -> Iterable[Batch]:
        """All images of a variant, as the network sees them, with their targets. Raises InputError."""
        ...
