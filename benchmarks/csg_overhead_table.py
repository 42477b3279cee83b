"""The measurements of csg_overhead.py as rows, as a table, and as answers to its targets."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

VARIANTS = ("dense", "csg", "per-layer")


@dataclass(frozen=True)
class Cell:
    """Measurements that are made together, so that ratios within a cell are meaningful."""

    network: str
    precision: str
    mode: str
    device: str


@dataclass(frozen=True)
class Row(Cell):
    """The figures of one variant for one measure. A failed variant has its `reason` and no figures. A ratio is taken in
    each round."""

    measure: str  # train_step, inference_batch1, inference_batch128, peak_memory
    variant: str
    median_ms: float | None = None
    bytes: int | None = None
    ratio_to_dense_median: float | None = None
    ratio_min: float | None = None
    ratio_max: float | None = None
    rounds: int = 0
    repetitions: int = 0
    reason: str | None = None

    def __str__(self) -> str:
        title = f"{self.network} {self.precision} {self.mode} {self.device} {self.measure} {self.variant}:"
        return f"{title} {self.reason}" if self.reason else f"{title} {_figure(self)}, to dense {_ratio(self)}"


def to_rows(
    cell: Cell, name: str, values: Mapping[str, Sequence[float]], failures: Mapping[str, str], repetitions: int
) -> list[Row]:
    """A row for each of VARIANTS, in this order. Its `values` are milliseconds or bytes, one for each round."""
    rows = []
    for variant in VARIANTS:
        row = Row(**asdict(cell), measure=name, variant=variant, reason=failures.get(variant))
        if own := values.get(variant):
            row = replace(row, rounds=len(own), repetitions=repetitions)
            median = statistics.median(own)
            row = replace(row, bytes=round(median)) if name == "peak_memory" else replace(row, median_ms=median)
            if dense := values.get("dense"):
                ratios = [mine / its for mine, its in zip(own, dense, strict=True)]
                middle = statistics.median(ratios)
                row = replace(row, ratio_to_dense_median=middle, ratio_min=min(ratios), ratio_max=max(ratios))
        rows.append(row)
    return rows


def _by_measure(rows: Sequence[Row]) -> Iterable[tuple[Row, Row, Row]]:
    """The rows of dense, csg and per-layer together, in the order of `to_rows`."""
    return zip(rows[::3], rows[1::3], rows[2::3], strict=True)


_HEAD = """\
| network | precision | mode | device | measure | dense | csg | csg / dense | per-layer | per-layer / dense |
| --- | --- | --- | --- | --- | --: | --: | --: | --: | --: |"""
_NOTES = """\
* Medians over the rounds. A ratio is taken in each round; given are its median and (lowest to highest).
* `train_step`, `inference_batch128` and `peak_memory` are at batch {batch}.
* csg at inference is, in eager mode, the generated network, which keeps its kernels; compiled, it is the plain network
  that `finish` makes of it for deployment. per-layer makes its kernels in every forward pass.
* `peak_memory` is of training. On the CPU it is what a fresh process grows by, in eager mode alone, since compiling
  takes more than the network does; on CUDA it is all that is allocated.
* {device_name}, threads: {threads}, torch {torch_version}, {date}."""


def table(rows: Sequence[Row], header: Mapping[str, Any]) -> str:
    """Markdown: a line for each measure of a cell, with the variants beside one another, followed by an explanation."""
    lines = []
    for dense, csg, layered in _by_measure(rows):
        cells = [dense.network, dense.precision, dense.mode, dense.device, dense.measure, _figure(dense)]
        cells += [_figure(csg), _ratio(csg), _figure(layered), _ratio(layered)]
        lines.append(f"| {' | '.join(cells)} |")
    failed = [f"* Failed: {row}" for row in rows if row.reason]
    return "\n".join([_HEAD, *lines, "", _NOTES.format_map(header), *failed])


def _figure(row: Row) -> str:
    if row.median_ms is not None:
        return f"{row.median_ms:.4g} ms"
    return "failed" if row.bytes is None else f"{row.bytes / 2**20:.1f} MiB"


def _ratio(row: Row) -> str:
    if row.ratio_to_dense_median is None:
        return "–"
    return f"{row.ratio_to_dense_median:.3f} ({row.ratio_min:.3f} to {row.ratio_max:.3f})"


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each target, whether it is met, and where it is not met."""

    def ratio(row: Row) -> float:
        return math.nan if row.ratio_to_dense_median is None else row.ratio_to_dense_median

    targets: tuple[tuple[str, str, Callable[[Row, Row], bool]], ...] = (
        ("training step of csg at most 1.05 times dense", "train", lambda csg, _: ratio(csg) <= 1.05),
        ("inference of csg 0.98 to 1.02 times dense", "inference", lambda csg, _: 0.98 <= ratio(csg) <= 1.02),
        ("csg ahead of per-layer in training", "train", lambda csg, layered: ratio(csg) < ratio(layered)),
        ("csg ahead of per-layer at inference", "inference", lambda csg, layered: ratio(csg) < ratio(layered)),
        ("peak memory of csg at most 1.05 times dense", "peak", lambda csg, _: ratio(csg) <= 1.05),
    )
    lines = []
    for text, start, met in targets:
        judged = [(csg, layered) for _, csg, layered in _by_measure(rows) if csg.measure.startswith(start)]
        missed = [pair for pair in judged if not met(*pair)]
        verdict = f"missed in {len(missed)} of {len(judged)}" if missed else "met" if judged else "not measured"
        lines.append(f"{text}: {verdict}")
        lines += [f"    {csg}; per-layer to dense {_ratio(layered)}" for csg, layered in missed]
    return lines
