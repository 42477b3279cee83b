"""Pascal VOC 2012's images for segmentation, from its official folders; streamed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from bench.dataset import Data, Decoding, Streamed
from bench.datasets._decoding.decode import check_size
from bench.datasets._files import check_directory, ends_of_files, few, read, shown, stamp_of
from bench.datasets._of_files import OfStreamedFiles
from bench.datasets._streaming.contents import WholeFiles
from bench.datasets._streaming.reader import Pillow, WholeInside
from bench.errors import InputError

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
# The paths of the folder inside the given one.
_INSIDE = ("VOCdevkit/VOC2012", "VOC2012", "")
_IMAGES, _LISTS = "JPEGImages", "ImageSets/Segmentation"
# The folder of VOC's own masks; the folder of masks that SBD adds (Hariharan et al., "Semantic Contours from Inverse
# Detectors", 2011), as PNG; and the list of both together.
_MASKS, _MORE_MASKS, _MORE = "SegmentationClass", "SegmentationClassAug", "trainaug"


@dataclass(frozen=True)
class VOC(OfStreamedFiles):
    """VOCdevkit as it is published: 1,464 images to train and 1,449 to test, val, with 21 classes; 10,582 with SBD.

    SBD's masks are used if they are there as PNG, in SegmentationClassAug/ with ImageSets/Segmentation/trainaug.txt
    (`train=trainaug`); a note says so. Validation is held out of the training images. Pixels of 255 have no class. Each
    image lies whole in a picture of `size` pixels a side. The rest of the picture is black, and its pixels have no
    class.
    """

    task = "segmentation"
    network = "deeplabv3_resnet50"

    directory: Annotated[Path, "folder with VOCdevkit/VOC2012, or that folder"]
    size: Annotated[int, "pixels a side of the pictures; larger images are brought to it"] = 513
    train: Annotated[
        Literal["train", "trainaug"] | None, "which list is trained on; none: trainaug where SBD's masks are there"
    ] = None

    def __post_init__(self) -> None:
        check_size(self.size)
        check_directory(self.directory)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding) -> Data:
        folder = self._folder()
        train = self._train(folder)
        has_sbd = train == _MORE
        note = f"trained on {train}.txt, {'with' if has_sbd else 'without'} the masks of SBD; tested on val.txt"
        splits = [
            self._split(folder, train, _MORE_MASKS if has_sbd else _MASKS),
            self._split(folder, "val", _MASKS),
        ]
        return Data(splits[0], splits[1], CLASSES, notes=(note,))

    def identity(self) -> str:
        """A hash of the names, sizes and ends of all files."""
        return ends_of_files(self._files(), self._folder(), 4096)

    def stamp(self, data_dir: Path) -> str:
        return stamp_of(self._files(), self._folder())

    def _folder(self) -> Path:
        if not self.directory.is_dir():
            raise InputError(f"no such folder: {shown(self.directory)}")
        for inside in _INSIDE:
            folder = self.directory / inside
            if (folder / _LISTS).is_dir() and (folder / _IMAGES).is_dir():
                return folder
        have = few(sorted(path.name for path in self.directory.iterdir())) or "nothing"
        raise InputError(
            f"{shown(self.directory)} has no VOCdevkit/VOC2012 with {_IMAGES}/ and {_LISTS}/; it has {have}"
        )

    def _train(self, folder: Path) -> str:
        has_sbd = (folder / _MORE_MASKS).is_dir() and (folder / _LISTS / f"{_MORE}.txt").is_file()
        if self.train == _MORE and not has_sbd:
            raise InputError(
                f"train={_MORE} takes SBD's masks as PNG in {shown(folder / _MORE_MASKS)} and a list of both, "
                f"{_LISTS}/{_MORE}.txt"
            )
        return self.train or (_MORE if has_sbd else "train")

    def _files(self) -> list[Path]:
        folder = self._folder()
        train = self._train(folder)
        masks = {train: _MORE_MASKS if train == _MORE else _MASKS, "val": _MASKS}
        lists = [folder / _LISTS / f"{name}.txt" for name in masks]
        pairs = [path for name, own in masks.items() for pair in _pairs(folder, name, own) for path in pair]
        return [*lists, *pairs]

    def _split(self, folder: Path, name: str, masks: str) -> Streamed:
        pairs = _pairs(folder, name, masks)
        images, targets = (WholeFiles.of(folder, [pair[place] for pair in pairs]) for place in (0, 1))
        return Streamed(images, targets, Pillow(), (self.size, self.size), WholeInside(self.size))


def _pairs(folder: Path, name: str, masks: str) -> Sequence[tuple[Path, Path]]:
    """The images of a list with their masks. Raises InputError if a file is missing."""
    path = folder / _LISTS / f"{name}.txt"
    if not path.is_file():
        raise InputError(f"{shown(path)} is missing")
    names = read(path).decode(errors="replace").split()
    if not names:
        raise InputError(f"{shown(path)} names no image")
    found = [(folder / _IMAGES / f"{own}.jpg", folder / masks / f"{own}.png") for own in names]
    for image, mask in found:
        for file in (image, mask):
            if not file.is_file():
                raise InputError(f"{shown(file)} is missing, which {_LISTS}/{name}.txt names")
    return found
