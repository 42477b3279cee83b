"""Streaming images: images a second and memory, compared with torchvision's ImageFolder and a DataLoader.

    python benchmarks/loading.py [--images 2000] [--workers 2] [--rounds 3] [--rows 100]

The script makes up photos of 500x375 pixels, the average size in ImageNet. They are cut to random areas of 224x224,
mirrored and standardised, in batches of 64. Each photo is a file (torchvision and folder), or they lie in a Parquet
file with row groups of `--rows` rows (parquet, which is copied to the cache, and groups, which may use no cache).

All take turns, each in a fresh process, after a round that is not counted. The table also has the time before the first
epoch, for checking and copying files. Finally the memory of an epoch is measured for this number of images and for four
times as many.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from measuring import environment_for_memory, memory_of_process, rotated
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.cache.images import FOLDER, LIMIT, load
from bench.data.augment import Augment
from bench.data.batches import shuffled
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.plan.dataset_choice import find_dataset

BATCH, SIZE, CLASSES = 64, 224, 10
VARIANTS = ("torchvision", "folder", "parquet", "in groups")


@dataclass(frozen=True)
class Measured:
    """Images a second in an epoch, the seconds before it, and the peak memory of the process and of a worker, in
    bytes."""

    speed: float
    before: float
    process: int
    worker: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100, help="rows in a row group of the Parquet file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(asdict(measure(options.one, options.folder, options.workers))))
        return
    with tempfile.TemporaryDirectory() as inside:
        small, large = Path(inside) / "small", Path(inside) / "large"
        make(small, options.images, options.rows)
        make(large, 4 * options.images, options.rows)
        found: dict[str, list[Measured]] = {name: [] for name in VARIANTS}
        for number in range(options.rounds + 1):
            for name in rotated(VARIANTS, number):
                found[name].append(in_a_process(name, small, options.workers))
        print(f"{options.workers} workers, groups of {options.rows} rows\n")
        print(
            "| images | images/s | / torchvision (lowest to highest) | seconds before the first epoch, and later ones |"
        )
        print("| --- | --: | --: | --: |")
        plain = found["torchvision"][1:]
        for name, (first, *rounds) in found.items():
            ratios = [one.speed / other.speed for one, other in zip(rounds, plain, strict=True)]
            speed, before = (statistics.median(getattr(one, what) for one in rounds) for what in ("speed", "before"))
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"| {name} | {speed:,.0f} | {ratio} | {first.before:.1f}, {before:.1f} |")
        print("\n| images | number | peak memory of the process, MB | of a worker, MB |\n| --- | --: | --: | --: |")
        for name in VARIANTS[1:]:
            for folder, images in ((small, options.images), (large, 4 * options.images)):
                in_a_process(name, folder, options.workers)  # to check and copy the files
                one = in_a_process(name, folder, options.workers)
                print(f"| {name} | {images:,} | {one.process / 1e6:,.0f} | {one.worker / 1e6:,.0f} |")


def in_a_process(name: str, folder: Path, workers: int) -> Measured:
    asked = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--workers", str(workers)]
    cache = {FOLDER: str(folder / "cache"), LIMIT: "0" if name == "in groups" else "100"}
    environment = {**environment_for_memory(), **cache}
    ended = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment)
    return Measured(**json.loads(ended.stdout.splitlines()[-1]))


def measure(name: str, folder: Path, workers: int) -> Measured:
    """Measure an epoch in this process, from the request for its first batch to the arrival of its last."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    batches = theirs(folder, workers) if name == "torchvision" else ours(name, folder, workers)
    started, images = time.perf_counter(), 0
    for pixels, _ in batches:
        images += len(pixels)
    speed = images / (time.perf_counter() - started)
    worker = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Measured(speed, started - began, memory_of_process("VmHWM"), worker)


def ours(name: str, folder: Path, workers: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    files = f"folder:{folder / 'files'}" if name == "folder" else f"parquet:{folder / 'parquet'}"
    data = load(find_dataset(f"{files}:size={SIZE}:stream=true"), Path(), False, None, lambda line: None)
    augment = Augment(flip=True, area=(0.08, 1.0))
    loading = Loading(torch.device("cpu"), workers)
    return shuffled(data.train, Normalise.of(data.test), augment, 0, BATCH, loading).batches(0)


def theirs(folder: Path, workers: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    transforms = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    found = ImageFolder(str(folder / "files" / "train"), transforms)
    return DataLoader(found, BATCH, shuffle=True, num_workers=workers, drop_last=True)


def make(folder: Path, images: int, rows: int) -> None:
    """Class folders of coarse noise with fine noise on it, about as large in bytes as photos, and the same images in
    Parquet files."""
    random = np.random.default_rng(0)
    (folder / "parquet").mkdir(parents=True)
    schema = pyarrow.schema([("image", pyarrow.struct([("bytes", pyarrow.binary())])), ("label", pyarrow.int64())])
    for split, count in (("train", images), ("val", CLASSES)):
        with pyarrow.parquet.ParquetWriter(folder / "parquet" / f"{split}.parquet", schema) as writer:
            for first in range(0, count, rows):
                group = []
                for number in range(first, min(first + rows, count)):
                    content = photo(random)
                    group.append({"image": {"bytes": content}, "label": number % CLASSES})
                    path = folder / "files" / split / f"{number % CLASSES}" / f"{number}.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                writer.write_table(pyarrow.Table.from_pylist(group, schema))


def photo(random: np.random.Generator) -> bytes:
    coarse = Image.fromarray(random.integers(0, 256, (15, 20, 3), dtype=np.uint8)).resize((500, 375), 3)
    fine = random.normal(0, 12, (375, 500, 3))
    content = io.BytesIO()
    Image.fromarray((np.asarray(coarse) + fine).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=92)
    return content.getvalue()


if __name__ == "__main__":
    main()
