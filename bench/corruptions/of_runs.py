"""Tests finished runs on corrupted test images: each deployed network, from its saved file, on every variant.

The process that made a run tests it right afterwards; at the end of a sweep, the remaining older runs are tested. No
run depends on the result, so run ids don't contain it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bench.corruptions.measure import headlines
from bench.corruptions.source import Source
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.dataset import Data
from bench.errors import InputError, contained, first_line, typed_line
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.store.apart.corruptions import CORRUPTIONS, SOURCE, columns
from bench.store.record import FINISHED, Record
from bench.store.store import WEIGHTS, Store
from bench.task import Task
from bench.training.views import Views


def lacks(record: Record, source: Source | None) -> bool:
    """Whether a finished run has not been tested on these images."""
    return source is not None and record["status"] == FINISHED and record[SOURCE] != source.name


@dataclass(frozen=True)
class Trial:
    """Tests the runs of a store on corrupted images. The data and `normalise` are on the device of `loading`."""

    store: Store
    given: Given
    source: Source
    data: Data
    normalise: Normalise
    task: Task
    loading: Loading

    def of(self, record: Record, say: Callable[[str], None]) -> dict[str, Any]:
        """Test a finished run, and write the scores to its record. Returns these columns.

        Returns nothing if the record has them already. If the network can't be tested, it calls `say` and returns
        nothing. Raises InputError if an image can't be read, or if the disk refuses the scores.
        """
        folder = self.store.folder_of(record["id"])
        if folder is None or not lacks(record, self.source):
            return {}
        if not (folder / WEIGHTS).is_file():
            say(f"{folder.name} can't be tested on corrupted images: its network was not kept; --redo makes it again")
            return {}
        try:
            with contained():
                network = self._deployed(folder / WEIGHTS).to(self.loading.device)
        except Exception as error:  # also from a plugin's code; the run itself stays valid
            said = first_line(error) if isinstance(error, InputError) else typed_line(error)
            say(f"{folder.name} can't be tested on corrupted images: {said}")
            return {}
        views = Views.of(record)  # as the run was tested
        found = headlines(network, self.source, self.data, self.normalise, self.task, self.loading, views)
        made = columns(self.source.name, found)
        self.store.write(folder / CORRUPTIONS.name, CORRUPTIONS.encode(record["id"], made))
        return made

    def _deployed(self, path: Path) -> nn.Module:
        return artifact.build(network_file.read(path), path, self.given).finish().eval()
