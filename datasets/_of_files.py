"""Base classes of datasets that read many files."""

from pathlib import Path

from bench.dataset import Data, Dataset, Decoding


class OfFiles(Dataset):
    """A dataset that decodes many files."""

    def load(self, data_dir: Path, download: bool) -> Data:
        return self.decode(data_dir, download, Decoding())


class OfStreamedFiles(OfFiles):
    """A dataset whose images never fit into memory."""

    @property
    def streams(self) -> bool:
        return True
