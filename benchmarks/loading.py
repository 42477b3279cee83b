"""Streaming images: how many a second, beside torchvision's ImageFolder with a DataLoader, and in how much memory.

    python benchmarks/loading.py [--images 2000] [--workers 2] [--rounds 3]

Photos of 500x375 pixels, as ImageNet has them on average, are made up once, cut to random areas of 224x224, mirrored,
and standardised, in batches of 64. The two take turns, each in a fresh process, after a round that is not counted. Then
the memory of an epoch is measured at so many images and at four times as many.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import environment_for_memory, memory_of_process, rotated
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.cache.images import load
from bench.data.augment import Augment
from bench.data.batches import shuffled
from bench.data.normalise import Normalise
from bench.data.streaming import Loading
from bench.plan.plan import find_dataset

BATCH, SIZE, CLASSES = 64, 224, 10
VARIANTS = ("torchvision", "bench")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(*measure(options.one, options.folder, options.workers))
        return
    with tempfile.TemporaryDirectory() as inside:
        small, large = Path(inside) / "small", Path(inside) / "large"
        make(small, options.images)
        make(large, 4 * options.images)
        found: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for number in range(options.rounds + 1):
            for name in rotated(VARIANTS, number):
                speed, _ = in_a_process(name, small, options.workers)
                found[name] += [speed] if number else []
        ratios = [ours / theirs for ours, theirs in zip(found["bench"], found["torchvision"], strict=True)]
        print("| workers | torchvision, images/s | bench, images/s | bench / torchvision (lowest to highest) |")
        print("| --: | --: | --: | --: |")
        speeds = " | ".join(f"{statistics.median(found[name]):,.0f}" for name in VARIANTS)
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {options.workers} | {speeds} | {ratio} |\n")
        print("| images | peak memory of the process, MB |\n| --: | --: |")
        for folder, images in ((small, options.images), (large, 4 * options.images)):
            print(f"| {images:,} | {in_a_process('bench', folder, options.workers)[1] / 1e6:,.0f} |")


def in_a_process(name: str, folder: Path, workers: int) -> tuple[float, float]:
    """Images a second, and the most bytes that the process had."""
    asked = [sys.executable, __file__, "--one", name, "--folder", str(folder), "--workers", str(workers)]
    ended = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment_for_memory())
    speed, memory = map(float, ended.stdout.split()[-2:])
    return speed, memory


def measure(name: str, folder: Path, workers: int) -> tuple[float, int]:
    """The same of this process: an epoch, from asking for its first batch to having its last."""
    torch.set_num_threads(1)
    batches = ours(folder, workers) if name == "bench" else theirs(folder, workers)
    started, images = time.perf_counter(), 0
    for pixels, _ in batches:
        images += len(pixels)
    return images / (time.perf_counter() - started), memory_of_process("VmHWM")


def ours(folder: Path, workers: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    data = load(find_dataset(f"folder:{folder}:size={SIZE}:stream=true"), Path(), False, None, lambda line: None)
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
    found = ImageFolder(str(folder / "train"), transforms)
    return DataLoader(found, BATCH, shuffle=True, num_workers=workers, drop_last=True)


def make(folder: Path, images: int) -> None:
    """Class folders of coarse noise with fine noise on it, about as large in bytes as photos are."""
    random = np.random.default_rng(0)
    for split, count in (("train", images), ("val", CLASSES)):
        for number in range(count):
            coarse = Image.fromarray(random.integers(0, 256, (15, 20, 3), dtype=np.uint8)).resize((500, 375), 3)
            fine = random.normal(0, 12, (375, 500, 3))
            pixels = (np.asarray(coarse) + fine).clip(0, 255).astype(np.uint8)
            path = folder / split / f"{number % CLASSES}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "JPEG", quality=92)
            path.write_bytes(content.getvalue())


if __name__ == "__main__":
    main()
