"""The forms in which a test sees each image: its scales, and whether it is mirrored too.

`bench.training.multi_scale` averages over them. This file doesn't import torch, since schedules hold these options.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# Limits of the scales: below, nothing can be recognised; above, no memory is large enough.
_LEAST, _MOST = 0.1, 4.0


@dataclass(frozen=True)
class Views:
    """Each image at every one of `scales`, which are rising factors on its height and width. With `flip` it is also
    mirrored from left to right at each scale. Raises ValueError."""

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scales or not all(_LEAST <= scale <= _MOST for scale in self.scales):
            raise ValueError(f"test_scales can't be {self._factors}; they are factors from {_LEAST:g} to {_MOST:g}")
        if any(one >= other for one, other in pairwise(self.scales)):
            raise ValueError(f"test_scales can't be {self._factors}; they must rise, like 0.75x1x1.25")

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Views":
        """The views with which this record's run was tested. Raises ValueError."""
        scales, flip = (record.get(f"schedule.{name}") for name in ("test_scales", "test_flip"))
        return cls() if scales is None else cls(tuple(map(float, str(scales).split("x"))), bool(flip))

    @property
    def is_plain(self) -> bool:
        """Whether each image is seen once, unscaled and not mirrored."""
        return self == Views()

    @property
    def text(self) -> str:
        """The views as text for people."""
        seen = "1 scale" if len(self.scales) == 1 else f"{len(self.scales)} scales"
        return f"{seen} ({self._factors}){', mirrored too' if self.flip else ''}"

    @property
    def _factors(self) -> str:
        return "x".join(f"{scale:g}" for scale in self.scales) or "empty"


PLAIN = Views()
