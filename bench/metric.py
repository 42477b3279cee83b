"""The figure by which methods are compared: what it is called, and what a report must know of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """`name` is the record's column. `label` and `unit` are for people: top-1, %. `higher`: whether more is better.
    `counts_images`: whether it is the share of a split's images, in percent, so that no two scores differ by less than
    one image."""

    name: str
    label: str
    unit: str = ""
    higher: bool = True
    counts_images: bool = False

    @property
    def title(self) -> str:
        """For headings and axes: `top-1 %`, or `error` where there is no unit."""
        return f"{self.label} {self.unit}".strip()

    @property
    def points(self) -> str:
        """The unit of a difference."""
        return "points" if self.unit == "%" else self.unit

    def columns(self) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "metric": self.name,
            "metric_label": self.label,
            "metric_unit": self.unit,
            "metric_better": HIGHER if self.higher else LOWER,
            "metric_counts": IMAGES if self.counts_images else None,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Metric":
        """That of a record."""
        return cls(
            record["metric"],
            record["metric_label"],
            record["metric_unit"] or "",
            record["metric_better"] == HIGHER,
            record["metric_counts"] == IMAGES,
        )


HIGHER, LOWER, IMAGES = "higher", "lower", "images"

TOP1 = Metric("test_top1", "top-1", "%", higher=True, counts_images=True)
