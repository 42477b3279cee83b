"""What datasets of files have in common."""

from pathlib import Path

from bench.dataset import Data, Dataset, Decoding


class OfFiles(Dataset):
    """One that decodes many files."""

    def load(self, data_dir: Path, download: bool) -> Data:
        return self.decode(data_dir, download, Decoding())


class OfStreamedFiles(OfFiles):
    """One whose files are always too many for memory."""

    @property
    def streams(self) -> bool:
        return True
