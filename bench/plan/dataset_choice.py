"""The dataset that the user names, `parquet:DIR` or the like, with its options and its task."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from torch import Tensor

from bench.dataset import Data, Dataset, Decoding
from bench.errors import InputError, asking
from bench.measure.cores import cores
from bench.plan.task_choice import TaskChoice, find_task
from bench.plugins import discovery, options


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset with its options. Its files were listed, and none was decoded."""

    name: str
    dataset: Dataset
    identity: str
    code: str
    task: TaskChoice

    @property
    def label(self) -> str:
        return options.write(self.name, self.dataset, short=True)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding | None = None) -> Data:
        """The images, checked. Raises InputError."""
        with asking(f"dataset {self.label}"):
            data = self.dataset.decode(data_dir, download, decoding or Decoding(threads=cores()))
            _check_type(data, Data, "load")
            data.check()
            for name, split in data.splits().items():
                if not isinstance(split.targets, Tensor):  # masks in files are checked when they are read
                    continue
                try:
                    self.task.task.check(split.targets, len(data.classes))
                except ValueError as error:
                    raise ValueError(f"the {name} split {error}") from error
        return data

    def stamp(self, data_dir: Path) -> str | None:
        """`Dataset.stamp`. Raises InputError."""
        with asking(f"dataset {self.label}"):
            stamp = self.dataset.stamp(data_dir)
            if stamp is not None:
                _check_type(stamp, str, "stamp")
        return stamp


def find_dataset(text: str, files: Sequence[str] = (), identity: str | None = None) -> DatasetChoice:
    """The dataset that the text names; nothing is decoded. The dataset says its `identity`, unless the caller knows it.
    Raises InputError."""
    written = options.split(text)
    plugin = discovery.find(discovery.DATASETS, written.name, files)
    dataset = plugin.build(written.value, dict(written.options))
    with asking(f"dataset {options.write(written.name, dataset, short=True)}"):
        identity = dataset.identity() if identity is None else identity
        _check_type(identity, str, "identity")
    return DatasetChoice(written.name, dataset, identity, plugin.code(), find_task(dataset.task, files))


Size = tuple[int | None, int | None]  # height and width; None where any will do


def with_size(chosen: DatasetChoice, size: Size | None) -> tuple[DatasetChoice, list[str]]:
    """The dataset with its images brought to the size that a finished network takes, and a line that says so. The
    dataset stays as it is where it has no option `size`, or where the user gave one."""
    height, width = size or (None, None)
    given = {field.name: getattr(chosen.dataset, field.name) for field in fields(chosen.dataset)}
    if height is None or height != width or given.get("size", 0) is not None:
        return chosen, []
    line = f"{chosen.label}: images are brought to {height}x{height}, as the network takes them (:size= takes another)"
    return replace(chosen, dataset=replace(chosen.dataset, **{"size": height})), [line]


def require_pixels(chosen: DatasetChoice, options: str) -> None:
    """Raise InputError unless the outputs of the dataset's task are of pixels. `options` names the options that average
    such outputs."""
    if not chosen.task.task.of_pixels:
        raise InputError(
            f"{options} average outputs for pixels, and {chosen.label} is for {chosen.task.name}, which says "
            "nothing of pixels; leave them out"
        )


def _check_type(given: object, wanted: type, function: str) -> None:
    if not isinstance(given, wanted):
        raise ValueError(f"its {function}() gives a {type(given).__name__}, and not a {wanted.__name__}")
