"""Images a second: a sweep of bench against a usual training loop.

Run it by hand: `python benchmarks/throughput.py --help`. The README beside it says what it measures and why.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from measuring import rotated
from noise_images import split
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench import testing
from bench.measure.cores import cores
from bench.runs.environment import has_bfloat16
from bench.store.rows import decode_rows
from bench.store.store import HISTORY, Store

BATCH, EPOCHS = 128, 3  # the first epoch is not counted
VARIANTS = ("plain", "sweep")
# Targets. If the processor has bfloat16, a sweep uses it, and the target without a neighbour is twice as high.
TARGETS = {"alone": 1.5, "neighbour": 4.0}
TARGET_BFLOAT16 = 3.0
TARGET_GPU = 10.0
# Seeds on a GPU: as many runs as share one GPU by default.
_SEEDS_ON_GPU = 4
_HERE = Path(__file__).resolve()


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.plain:
        print(plain(options.plain, options.images, torch.device(options.device)))
        return
    if options.busy:
        busy()
    print("| network | beside | plain, images/s | sweep, images/s | sweep / plain (lowest to highest) | aimed at |")
    print("| --- | --- | --: | --: | --: | --: |")
    for network in options.networks.split(","):
        for beside in options.beside.split(","):
            with neighbour(beside == "neighbour"):
                rounds = [measure(network, options, number) for number in range(options.rounds)]
            ratios = [found["sweep"] / found["plain"] for found in rounds]
            shown = [f"{statistics.median(found[name] for found in rounds):,.0f}" for name in VARIANTS]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            target = TARGETS[beside] if options.device == "cpu" else TARGET_GPU
            if options.device == "cpu" and beside == "alone" and has_bfloat16(torch.device("cpu")):
                target = TARGET_BFLOAT16
            print(f"| {network} | {beside} | {' | '.join(shown)} | {ratio} | {target:g} |", flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="resnet8,resnet20")
    parser.add_argument(
        "--beside", default="alone,neighbour", help="alone, neighbour (two threads of products), or both"
    )
    parser.add_argument("--images", type=int, default=4000, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds; both take a turn in each")
    parser.add_argument("--jobs", default="auto", help="`--jobs` of the sweep, which has as many seeds as cores")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    parser.add_argument("--busy", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def measure(network: str, options: argparse.Namespace, number: int) -> dict[str, float]:
    """Measure both in turn, each in its own process."""
    found = {}
    for variant in rotated(VARIANTS, number):
        if variant == "sweep":
            seeds = cores() if options.device == "cpu" else _SEEDS_ON_GPU
            found[variant] = sweep(network, options.images, seeds, options.jobs, options.device)
        else:
            command = [sys.executable, str(_HERE), "--plain", network, "--images", str(options.images)]
            command += ["--device", options.device]
            found[variant] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def sweep(network: str, images: int, seeds: int, jobs: str, device: str = "cpu") -> float:
    """Images a second of a sweep over this many seeds: dense runs, side by side."""
    schedule = f"csg-cifar:epochs={EPOCHS}:batch_size={BATCH}:validation=0.02"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "bench.cli", "run", "--methods", "dense", "--seeds", str(seeds)]
        command += ["--model", network, "--dataset", f"noise-images:train={images}", "--schedule", schedule]
        command += [
            "--plugin",
            str(_HERE.with_name("noise_images.py")),
            "--out",
            folder,
            "--jobs",
            jobs,
            "--device",
            device,
        ]
        subprocess.run(command, check=True, capture_output=True)
        store = Store(Path(folder))
        total = 0.0
        for record in store.records()[0]:
            rows = decode_rows((store.folders()[record["id"]] / HISTORY).read_bytes())
            steps = record["train_images"] // BATCH
            total += steps * BATCH / statistics.median(float(row["seconds"]) for row in rows[1:])
    return total


def plain(network: str, images: int, device: torch.device) -> float:
    """Images a second of a usual loop: torchvision's transforms image by image in two processes, NCHW, float32, and a
    read of the loss after each step."""
    from torchvision import transforms

    changes = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.29, 0.29, 0.29)),
        ]
    )
    loader = DataLoader(
        _Images(images, changes), batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    model = testing.network(network).to(device, memory_format=torch.contiguous_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    loss_of, taken = nn.CrossEntropyLoss(), []
    for _ in range(EPOCHS):
        started, total = time.perf_counter(), 0.0
        for batch, labels in loader:
            loss = loss_of(model(batch.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        taken.append(time.perf_counter() - started)
    return len(loader) * BATCH / statistics.median(taken[1:])


class _Images(Dataset[tuple[Tensor, int]]):
    def __init__(self, images: int, changes: object) -> None:
        self.split, self.changes = split(images, 0), changes

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        changed: Tensor = self.changes(self.split.images[index])  # type: ignore[operator]
        return changed, int(self.split.targets[index])


@contextmanager
def neighbour(there: bool) -> Iterator[None]:
    """A context with or without another process that multiplies matrices with two threads."""
    if not there:
        yield
        return
    process = subprocess.Popen([sys.executable, str(_HERE), "--busy"])
    try:
        time.sleep(5)  # until it has imported torch
        yield
    finally:
        process.kill()
        process.wait()


def busy() -> None:
    """Multiply matrices until the process is killed."""
    torch.set_num_threads(2)
    one = torch.randn(1024, 1024)
    while True:
        one @ one


if __name__ == "__main__":
    main()
