"""A dataset for tests: a streamed folder that writes down which processes list it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from bench.dataset import Data, Decoding
from bench.datasets.folder import Folder


@dataclass(frozen=True)
class Listed(Folder):
    """The same as folder."""

    log: Annotated[Path | None, "where processes write their numbers"] = None

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        assert self.log is not None
        with self.log.open("a") as log:
            log.write(f"{os.getpid()}\n")
        return super().decode(data_dir, download, decoding)
