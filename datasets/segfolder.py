"""The user's own images and masks, in files of the same names."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from bench.dataset import IGNORED, Data, Decoding, Split
from bench.datasets import _splits
from bench.datasets._decoding.decode import check_size, decode, notes_on, revision_of
from bench.datasets._decoding.image import ENDINGS, size_of
from bench.datasets._decoding.in_order import in_order
from bench.datasets._decoding.mask import mask_pixels
from bench.datasets._files import check_directory, ends_of_files, few, hiding, read, shown, stamp_of, walk
from bench.datasets._of_files import OfFiles
from bench.errors import InputError

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"


@dataclass(frozen=True)
class SegFolder(OfFiles):
    """A folder with train/images/*.jpg and train/masks/*.png, and the same in test/ (or val/): for segmentation.

    A mask has the name of its image with the ending .png, and the same size. Its pixels are class numbers, stored as a
    palette or as greys; 255 means no class. `classes.txt` in the folder has the names of the classes, one a line, from
    class 0 on. Without it, the classes are the numbers from 0 to the largest in the training masks.
    """

    task = "segmentation"
    network = "deeplabv3-resnet8"

    directory: Annotated[Path, "folder with train/ and test/ or val/, each with images/ and masks/"]
    size: Annotated[
        int | None, "pixels a side that images and masks are brought to, the middle of longer ones; none: as they are"
    ] = None
    test: Annotated[_splits.TestSplit | None, "split to test on, test or validation; none: test if it is there"] = None

    def __post_init__(self) -> None:
        check_size(self.size)
        check_directory(self.directory)

    @property
    def revision(self) -> int:
        return revision_of(self.size)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        folders = _splits.folders_of(self.directory)
        tested, validated, notes = _splits.roles(folders, self.test, shown(self.directory))
        names = self._names()
        pairs = {split: _pairs(folders[split], notes) for split in ("train", tested, validated) if split is not None}
        splits: dict[str, Split] = {}
        train: Tensor | None = None
        for split, own in pairs.items():
            splits[split] = self._read(own, split, train, notes, decoding)
            train = splits["train"].images
        if names is None:
            masks = splits["train"].targets
            named = masks[masks != IGNORED]
            if not len(named):
                raise InputError(f"{shown(folders['train'] / MASKS)} has no pixel with a class")
            names = tuple(map(str, range(int(named.max()) + 1)))
        for split, own in pairs.items():
            _require_known(splits[split].targets, names, own)
        notes += _notes_on_classes(splits, names)
        return Data(splits["train"], splits[tested], names, splits.get(validated or ""), tuple(notes))

    def identity(self) -> str:
        """A hash of the names, sizes and ends of all files."""
        return ends_of_files(self._all_files(), self.directory, 4096)

    def stamp(self, data_dir: Path) -> str:
        return stamp_of(self._all_files(), self.directory)

    def _all_files(self) -> list[Path]:
        pairs = [pair for folder in _splits.folders_of(self.directory).values() for pair in _pairs(folder)]
        classes = [path for path in (self.directory / CLASSES,) if path.is_file()]
        return [*classes, *(path for pair in pairs for path in pair)]

    def _names(self) -> tuple[str, ...] | None:
        """The classes in `classes.txt`; None if there is no such file."""
        path = self.directory / CLASSES
        if not path.is_file():
            return None
        try:
            lines = read(path).decode().splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"{shown(path)} is not UTF-8") from error
        names = tuple(shown(line.strip()) for line in lines if line.strip())
        if not 1 <= len(names) <= IGNORED:
            raise InputError(f"{shown(path)} has {len(names)} names; it has one a line, for 1 to {IGNORED} classes")
        return names

    def _read(
        self,
        pairs: list[tuple[Path, Path]],
        split: str,
        train: Tensor | None,
        notes: list[str],
        decoding: Decoding,
    ) -> Split:
        remarks: Counter[str] = Counter()
        paths = [image for image, _ in pairs]
        images = decode(paths, lambda index: shown(paths[index]), self.size, train, remarks, decoding)
        notes += notes_on(remarks, split, len(paths))
        masks = torch.empty(len(pairs), *images.shape[2:], dtype=torch.uint8)
        rows = masks.numpy()
        with closing(in_order(lambda pair: self._mask(*pair), pairs, decoding.threads)) as decoded:
            for index, mask in enumerate(decoded):
                rows[index] = mask
        return Split(images, masks)

    def _mask(self, image: Path, path: Path) -> np.ndarray:
        """The pixels of a mask, which must be as large as its image."""
        mask, (width, height) = mask_pixels(read(path), shown(path), self.size)
        of_image = size_of(image)
        if (width, height) != of_image:
            raise InputError(
                f"{shown(path)} is {width}x{height} pixels, and its image {of_image[0]}x{of_image[1]}: a mask is as "
                "large as its image"
            )
        return mask


def _require_known(masks: Tensor, names: tuple[str, ...], pairs: list[tuple[Path, Path]]) -> None:
    """Raise InputError for a number that is not a class; the message names its file."""
    strange = (masks != IGNORED) & (masks >= len(names))
    where = strange.flatten(1).any(1).nonzero().flatten()
    if len(where):
        first = int(where[0])
        value = int(masks[first][strange[first]].max())
        raise InputError(
            f"{shown(pairs[first][1])} has pixels of class {value}; there are {len(names)} classes, 0 to "
            f"{len(names) - 1}, and {IGNORED} is none"
        )


def _pairs(folder: Path, notes: list[str] | None = None) -> list[tuple[Path, Path]]:
    """The images of a split with their masks, sorted. Raises InputError if an image or a mask is missing."""
    for room in (IMAGES, MASKS):
        if not (folder / room).is_dir():
            raise InputError(f"{shown(folder)} needs folders {IMAGES}/ and {MASKS}/; it has no {room}/")
    hidden: list[Path] = []
    files = walk(folder / IMAGES, hidden)
    found = [path for path in files if path.suffix.lower() in ENDINGS]
    if not found:
        raise InputError(f"{shown(folder / IMAGES)} has no images")
    images = {_key(path, folder / IMAGES): path for path in found}
    masks = {_key(path, folder / MASKS): path for path in walk(folder / MASKS) if path.suffix.lower() == ".png"}
    ((key, times),) = Counter(_key(path, folder / IMAGES) for path in found).most_common(1)
    if times > 1:
        raise InputError(f"{shown(folder / IMAGES)} has several images called {shown(key)}")
    if lone := sorted(images.keys() - masks.keys()):
        raise InputError(f"{shown(images[lone[0]])} has no mask: {shown(folder / MASKS / lone[0])}.png is missing")
    if lone := sorted(masks.keys() - images.keys()):
        raise InputError(f"{shown(masks[lone[0]])} has no image of its name in {shown(folder / IMAGES)}")
    if notes is not None:
        no_images = [path.name for path in files if path.suffix.lower() not in ENDINGS]
        left_out = {"being no images by their endings": no_images}
        left_out["being hidden by a dot"] = [path.name for path in hiding(hidden, ENDINGS)]
        notes += [f"left out of {folder.name}, {why}: {few(names)}" for why, names in left_out.items() if names]
    return [(images[key], masks[key]) for key in sorted(images)]


def _key(path: Path, folder: Path) -> str:
    """The name by which an image and its mask are matched."""
    return path.relative_to(folder).with_suffix("").as_posix()


def _notes_on_classes(splits: dict[str, Split], names: tuple[str, ...]) -> list[str]:
    """A note for each split on classes without a pixel in it."""
    notes = []
    for split, own in splits.items():
        counts = torch.bincount(own.targets.flatten(), minlength=IGNORED + 1)[: len(names)].tolist()
        without = [name for name, count in zip(names, counts, strict=True) if count == 0]
        if without:
            notes.append(f"{split} has no pixel of {len(without)} of {len(names)} classes: {few(without)}")
    return notes
