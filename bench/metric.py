"""A metric of a task: its names, and the facts that a report needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A figure that says how good a network is.

    Records have `name` in their columns: test_NAME, validation_NAME. `label` and `unit` are for people: mean IoU, %.
    `higher` says that more is better. `counts_images` says that the metric is the percentage of images that are right.
    Then two different scores differ by at least one image, and the predictions kept for each image give the same score.
    """

    name: str
    label: str
    unit: str = ""
    higher: bool = True
    counts_images: bool = False

    @property
    def test(self) -> str:
        """The record's column for the test split."""
        return f"test_{self.name}"

    @property
    def validation(self) -> str:
        return f"validation_{self.name}"

    @property
    def title(self) -> str:
        """For headings and axes: `mean IoU %`, or `error` if there is no unit."""
        return f"{self.label} {self.unit}".strip()

    @property
    def points(self) -> str:
        """The unit of a difference."""
        return "points" if self.unit == "%" else self.unit

    def columns(self) -> dict[str, Any]:
        """The columns of a record that describe this metric, if methods are compared by it."""
        return {
            "headline": self.name,
            "headline_label": self.label,
            "headline_unit": self.unit,
            "headline_better": HIGHER if self.higher else LOWER,
            "headline_counts": IMAGES if self.counts_images else None,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Metric":
        """The metric by which this record is compared."""
        return cls(
            record["headline"],
            record["headline_label"],
            record["headline_unit"] or "",
            record["headline_better"] == HIGHER,
            record["headline_counts"] == IMAGES,
        )


HIGHER, LOWER, IMAGES = "higher", "lower", "images"
