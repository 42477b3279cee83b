"""Image files in class folders: the layout of ImageNet and of most private collections."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from bench.dataset import Data, Dataset, Split
from bench.errors import InputError
from bench.image_files import decode

_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


@dataclass(frozen=True)
class Folder(Dataset):
    """A folder with train/CLASS/*.png and test/CLASS/*.png (or val/); any image format.

    With both test/ and val/, val/ is the validation split. Classes are the folders of train/, in the order of names.
    """

    directory: Annotated[Path, "folder with train/ and test/ or val/"]
    size: Annotated[int | None, "pixels a side that images are brought to; none: as they are"] = None

    def load(self, data_dir: Path, download: bool) -> Data:
        names = self._splits()
        classes = tuple(sorted(path.name for path in (self.directory / "train").iterdir() if path.is_dir()))
        if not classes:
            raise InputError(f"{self.directory / 'train'} has no class folders")
        splits: dict[str, Split] = {}
        channels = None
        for name in names:
            splits[name] = self._read(name, classes, channels)
            channels = splits[name].images.shape[1]
        test = splits["test"] if "test" in splits else splits["val"]
        return Data(splits["train"], test, classes, splits.get("val") if "test" in splits else None)

    def identity(self) -> str:
        """Names and sizes of all files."""
        digest = hashlib.sha256()
        for name in self._splits():
            for path in _images(self.directory / name):
                digest.update(f"{path.relative_to(self.directory)}:{path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    def _splits(self) -> list[str]:
        if not self.directory.is_dir():
            raise InputError(f"no such folder: {self.directory}")
        have = [name for name in ("train", "test", "val") if (self.directory / name).is_dir()]
        if "train" not in have or len(have) < 2:
            raise InputError(
                f"{self.directory} needs folders train/ and test/ or val/; it has {', '.join(have) or 'none'}"
            )
        return have

    def _read(self, name: str, classes: tuple[str, ...], channels: int | None) -> Split:
        folder = self.directory / name
        paths = _images(folder)
        if not paths:
            raise InputError(f"{folder} has no images in class folders")
        strange = sorted({_class(path, folder) for path in paths} - set(classes))
        if strange:
            raise InputError(f"{folder} has the class {strange[0]!r}, which train/ has not")
        labels = torch.tensor([classes.index(_class(path, folder)) for path in paths], dtype=torch.int64)
        contents = [path.read_bytes() for path in paths]
        return Split(decode(contents, lambda index: str(paths[index]), self.size, channels), labels)


def _images(folder: Path) -> list[Path]:
    """The image files below the class folders, sorted."""
    return sorted(path for path in folder.glob("*/**/*") if path.suffix.lower() in _ENDINGS)


def _class(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]
