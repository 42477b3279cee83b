"""Upgrades records of older formats to the newest one, so that reports read only the newest."""

from collections.abc import Callable

from bench.errors import require_format
from bench.roles import GLOBAL_PRUNING, LAYERWISE_PRUNING, NARROWER, RANDOM_PRUNING, REFERENCE
from bench.store.record import COLUMNS, FORMAT, Record


def upgraded(record: Record) -> Record:
    """The record in the newest format, with None in columns that it lacks. Raises TooNew for a newer format, and
    ValueError if the format number is not a number."""
    number = record.get("format", 0)
    require_format(number, FORMAT)
    for step in _STEPS[number:]:
        record = step(record)
    return {**dict.fromkeys(COLUMNS), **_BEFORE, **LATER_OPTIONS, **record, "format": FORMAT}


# Values for records that lack these columns.
_BEFORE: Record = {"processes": 1}


# Options of schedules that were added after version 0.1. Each has the value that gives the older behaviour. Without
# these values, runs of one schedule from before and after an option was added would count as two settings.
LATER_OPTIONS: Record = {
    "schedule.head_rate": 1.0,
    "schedule.power": 0.9,
    "schedule.distillation": 0.0,
    "schedule.temperature": 4.0,
    "schedule.scale": "1.0x1.0",
    "schedule.area": "1.0x1.0",
    "schedule.crop": 0,
    "schedule.growing": None,
    "schedule.rand_augment": 0,
    "schedule.blur": 0.0,
    "schedule.mixup": 0.0,
    "schedule.cutmix": 0.0,
    "schedule.ema": 0.0,
    "schedule.test_scales": "1.0",
    "schedule.test_flip": False,
    "schedule.alternate": False,
}


def _from_0(record: Record) -> Record:
    """Version 0.1 had no roles. It hashed single files, so its hashes of code can't be compared with today's."""
    return {
        **record,
        "role": _role(record),
        "method_code": None,
        "dataset_code": None,
    }


def _from_1(record: Record) -> Record:
    """Peak memory and the names of classes were not recorded; they stay unknown."""
    return record


def _from_2(record: Record) -> Record:
    """Top-1 was the only metric."""
    of_top1 = {"metric": "test_top1", "metric_label": "top-1", "metric_unit": "%", "metric_better": "higher"}
    return {**record, **of_top1, "metric_counts": "images"}


def _from_3(record: Record) -> Record:
    """Images were always standardised by the dataset's own mean and deviation."""
    return {**record, "normalise": "dataset"}


def _from_4(record: Record) -> Record:
    """Classification was the only task."""
    others = {f"headline_{part}": record.get(f"metric_{part}") for part in ("label", "unit", "better", "counts")}
    kept = {name: value for name, value in record.items() if not name.startswith("metric")}
    headline = str(record.get("metric")).removeprefix("test_")
    return {**kept, "task": "classification", "headline": headline, **others}


def _from_5(record: Record) -> Record:
    """CSG's slices were always 16x16 unless the spec said otherwise; smaller slices for a budget came later. All runs
    trained at the schedule's own learning rate. Budgets counted values, and bytes were those of the file."""
    was_said = ":slice=" in str(record.get("method_text"))
    slices = {"option.slice": None} if record.get("method_name") == "csg" and not was_said else {}
    return {**record, **slices, "learning_rate_factor": 1.0}


def _from_6(record: Record) -> Record:
    """Figures by class were not recorded; they stay unknown."""
    return record


def _from_7(record: Record) -> Record:
    """Corrupted images and compiled steps were not recorded; they stay unknown. A run always used the full kernels of a
    compressed backbone."""
    return record


def _role(record: Record) -> str | None:
    """The role of methods in old records, by name and options."""
    match record.get("method_name"):
        case "dense":
            return REFERENCE
        case "width":
            return NARROWER
        case "sparse" if record.get("option.training") != "rigl":
            criterion = record.get("option.criterion")
        case "pruning":
            worth = record.get("option.importance")
            of_magnitude = worth in ("magnitude", "group-norm", "lamp")
            criterion = record.get("option.scope") if of_magnitude else worth
        case _:
            return None
    return {"random": RANDOM_PRUNING, "global": GLOBAL_PRUNING, "layerwise": LAYERWISE_PRUNING}.get(str(criterion))


# Each step upgrades from the format with its index to the next.
_STEPS: tuple[Callable[[Record], Record], ...] = (
    *(_from_0, _from_1, _from_2, _from_3, _from_4, _from_5, _from_6, _from_7),
)
