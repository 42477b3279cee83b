"""Image files in class folders: the layout of ImageNet and of most private collections."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from bench.dataset import Data, Dataset, Split
from bench.datasets._decode import check_size, decode
from bench.datasets._identity import ends_of_files
from bench.errors import InputError

_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


@dataclass(frozen=True)
class Folder(Dataset):
    """A folder with train/CLASS/*.png and test/CLASS/*.png (or val/); any image format.

    With both test/ and val/, val/ is the validation split. Classes are the folders of train/, in the order of names.
    """

    directory: Annotated[Path, "folder with train/ and test/ or val/"]
    size: Annotated[int | None, "pixels a side that images are brought to; none: as they are"] = None

    def __post_init__(self) -> None:
        check_size(self.size)

    def load(self, data_dir: Path, download: bool) -> Data:
        names = self._splits()
        folders = [path for path in (self.directory / "train").iterdir() if path.is_dir()]
        classes = tuple(sorted(path.name for path in folders if not path.name.startswith(".")))
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
        """Names, sizes and ends of all files."""
        paths = [path for name in self._splits() for path in _images(self.directory / name)]
        return ends_of_files(paths, self.directory, 4096)

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
    paths = (path for path in folder.glob("*/**/*") if path.suffix.lower() in _ENDINGS)
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _class(path: Path, folder: Path) -> str:
    return path.relative_to(folder).parts[0]
