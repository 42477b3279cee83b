"""Measures the cost of generating kernels in time and memory: CSG against the dense network and the authors' code.

Run it by hand: `python benchmarks/csg_overhead.py --help`. The README beside it says what it measures and why.
"""

import argparse
import inspect
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from csg_overhead_table import VARIANTS, Cell, Row, table, to_rows, verdicts
from measuring import environment_for_memory, memory_of_process, rotated, seconds
from torch import Tensor, nn
from torch.nn import functional

from bench import testing
from bench.errors import InputError
from bench.generated import GeneratedNetwork, Generators
from bench.kernels.combinations import SliceGroup
from bench.kernels.tiling import Tiling
from bench.methods.csg.csg import CSG
from bench.plugins import networks
from bench.runs.environment import describe, find_device
from bench.selection import convolution_called

# The CSG paper's options for each network; other networks use OTHER_SETTINGS.
PAPERS_SETTINGS = {
    "resnet20": CSG(slice=(16, 16), code=72),
    "resnet56": CSG(slice=(12, 12), code=72),
    "densenet-bc-40-36": CSG(slice=(12, 12), code=72),
    "mobilenetv2-cifar": CSG(slice=(16, 16), code=16),
}
OTHER_SETTINGS = CSG(slice=(12, 12), code=36)  # small networks store less than 72 would take
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SHORTEST_TIMING_SECONDS = 0.1
STEPS_FOR_PEAK = 3
# Runs whose rows go into one file must have these in common.
MACHINE = ("device_name", "threads", "torch_version", "batch")


class PerLayerConvolution(nn.Module):
    """A convolution as the CSG authors write it. It makes its kernel from its own codes `(slices, K)` in every forward
    pass, also in eval mode, by a `generator` that all layers share."""

    def __init__(self, like: nn.Conv2d, tiling: Tiling, codes: Tensor, generator: nn.Linear) -> None:
        super().__init__()
        rows, columns = tiling.grid
        self.padded = (rows * tiling.slice[1], columns * tiling.slice[0], *tiling.taps)
        self.out_channels, self.in_channels = tiling.shape[:2]
        self.codes = nn.Parameter(codes.detach().clone())
        self.generator = generator
        self.bias = like.bias
        self.arguments: tuple[Any, ...] = (like.stride, like.padding, like.dilation, like.groups)

    def forward(self, images: Tensor) -> Tensor:
        kernel = self.generator(self.codes).view(self.padded)[: self.out_channels, : self.in_channels]
        return functional.conv2d(images, kernel, self.bias, *self.arguments)


def per_layer(network: nn.Module, csg: GeneratedNetwork) -> nn.Module:
    """`network` with its convolutions replaced. Their codes and slices are those of `csg`, the same network with
    tiling=view."""
    assert isinstance(csg.generator, Generators)
    for group in csg.generator.groups.values():
        assert isinstance(group, SliceGroup)
        generator = nn.Linear(group.slices.shape[0], group.slices.shape[1], bias=False).to(group.slices.dtype)
        with torch.no_grad():
            generator.weight.copy_(group.slices.T)
        codes = group.codes.split(group.numbers_of_slices)
        for (name, tiling), own in zip(group.tilings.items(), codes, strict=True):
            layer = convolution_called(network, name)
            network.set_submodule(name, PerLayerConvolution(layer, tiling, own, generator))
    return network


def build(network: str, variant: str, **changes: Any) -> nn.Module:
    """A variant of the network, on the CPU, with the same weights every time. `changes` are options of CSG."""
    if variant == "dense":
        return testing.network(network)
    if variant == "per-layer":
        csg = build(network, "csg", tiling="view")
        assert isinstance(csg, GeneratedNetwork)
        return per_layer(testing.network(network), csg)
    settings = replace(PAPERS_SETTINGS.get(network, OTHER_SETTINGS), **changes)
    return testing.compress(settings, network, None).network


def check_same_function(network: str) -> None:
    """Raises SystemExit if per-layer generation computes other outputs than csg with tiling=view."""
    csg, layered = build(network, "csg", tiling="view"), build(network, "per-layer")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for training in (True, False):
        with torch.no_grad():
            expected, got = csg.train(training)(images), layered.train(training)(images)
        off = float((expected - got).abs().max() / expected.abs().max().clamp(min=1))
        if not off <= 1e-4:
            mode = "training" if training else "eval"
            raise SystemExit(
                f"{network}: per-layer generation is off from csg with tiling=view by {off:.2g} in {mode} mode"
            )


def measure(cell: Cell, options: argparse.Namespace) -> list[Row]:
    """All rows of a cell."""
    rows = []
    for name, batch in (("train_step", options.batch), ("inference_batch1", 1), ("inference_batch128", options.batch)):
        rows += to_rows(cell, name, *times(cell, name == "train_step", batch, options))
    # On the CPU, memory for compiling would hide the network's own memory.
    if cell.mode == "eager" or cell.device == "cuda":
        rows += to_rows(cell, "peak_memory", *peaks(cell, options), STEPS_FOR_PEAK)
    return rows


def times(
    cell: Cell, training: bool, batch: int, options: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, str], int]:
    """The milliseconds of each variant in each round, the reasons of failed variants, and the number of calls that one
    timing averages."""
    if cell.mode == "compile":
        torch.compiler.reset()
    device = torch.device(cell.device)
    calls, failures, quickest = {}, {}, math.inf
    for variant in VARIANTS:
        try:
            call = prepare(cell, variant, training, batch)
            seconds(call, 1, device)  # compiles, and is not counted
            quickest = min(quickest, seconds(call, 1, device))
            calls[variant] = call
        except Exception as error:
            failures[variant] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    wanted = max(SHORTEST_TIMING_SECONDS, options.seconds / (options.rounds * len(VARIANTS)))
    repetitions = max(1, math.ceil(wanted / quickest))
    taken: dict[str, list[float]] = {variant: [] for variant in calls}
    for number in range(options.rounds):
        for variant in rotated(calls, number):
            taken[variant].append(1000 * seconds(calls[variant], repetitions, device) / repetitions)
    return taken, failures, repetitions


def prepare(cell: Cell, variant: str, training: bool, batch: int) -> Callable[[], None]:
    """A call that makes one training step, or one forward pass for inference."""
    device, precision = torch.device(cell.device), PRECISIONS[cell.precision]
    model = build(cell.network, variant).to(device).train(training)
    if not training and cell.mode == "compile" and isinstance(model, GeneratedNetwork):
        model = model.materialise()  # what a user would compile for deployment
    run: Callable[[Tensor], Tensor] = model
    if cell.mode == "compile":
        # Otherwise guards tell the variants apart, since they share a class, and the last variant waits for the guards
        # of others.
        isolates = "isolate_recompiles" in inspect.signature(torch.compile).parameters
        arguments: dict[str, Any] = {"isolate_recompiles": True} if isolates else {}
        run = torch.compile(model, dynamic=False, **arguments)
    random = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 32, 32, generator=random).to(device, memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), generator=random).to(device)

    def forward() -> Tensor:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            return run(images)

    def infer() -> None:
        with torch.inference_mode():
            forward()

    if not training:
        return infer
    # A low rate, so that the values of a network that sees one batch many times stay normal.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        functional.cross_entropy(forward().float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def peaks(cell: Cell, options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Peak bytes of each variant by round, each in a fresh process, and the reasons of failed variants."""
    command = [sys.executable, __file__, "--networks", cell.network, "--precisions", cell.precision]
    command += ["--modes", cell.mode, "--device", cell.device, "--batch", str(options.batch)]
    command += ["--threads", str(torch.get_num_threads()), "--peak-of"]
    environment = environment_for_memory()
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    failures = {}
    for number in range(min(options.rounds, 3)):
        for variant in rotated(found, number):
            done = subprocess.run([*command, variant], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                failures[variant] = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
                del found[variant]
            else:
                found[variant].append(float(done.stdout.split()[-1]))
    return found, failures


def peak(cell: Cell, variant: str, batch: int) -> int:
    """Peak bytes of training: on CUDA all allocated memory, on the CPU the growth of the process."""
    step = prepare(cell, variant, True, batch)
    if cell.device == "cuda":
        step()
        torch.cuda.reset_peak_memory_stats()
    before = memory_of_process("VmRSS") if cell.device == "cpu" else 0
    for _ in range(STEPS_FOR_PEAK):
        step()
    return torch.cuda.max_memory_allocated() if cell.device == "cuda" else memory_of_process("VmHWM") - before


def read(path: Path, header: Mapping[str, Any]) -> list[Row]:
    """The rows of an earlier run. Raises SystemExit if that run was on another machine or with other options."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    for name in MACHINE:
        if saved["header"][name] != header[name]:
            there, here = saved["header"][name], header[name]
            raise SystemExit(f"{path}: {name} is {there} there and {here} here; give another --json, or no --resume")
    return [Row(**row) for row in saved["rows"]]


def write(path: Path, rows: Sequence[Row], header: Mapping[str, Any]) -> None:
    """Write the file whole or not at all, so that an interrupted run keeps its rows."""
    partial = path.with_name(path.name + ".partial")
    content = {"header": dict(header), "rows": [asdict(row) for row in rows]}
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(PAPERS_SETTINGS), help="by name")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--modes", nargs="+", choices=("eager", "compile"), default=["eager", "compile"])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--rounds", type=int, default=7, help="rounds over all variants; at most 3 for memory")
    parser.add_argument("--seconds", type=float, default=10.0, help="least seconds for each measure of time")
    parser.add_argument("--threads", type=int, help="threads of torch; default: torch's own number")
    parser.add_argument(
        "--batch", type=int, default=128, help="batch size of a training step and of inference_batch128"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file, after each cell")
    parser.add_argument("--table", type=Path, help="write the Markdown table to this file")
    parser.add_argument("--resume", action="store_true", help="skip the cells that the JSON file has")
    parser.add_argument("--peak-of", choices=VARIANTS, help=argparse.SUPPRESS)  # for the processes it starts itself
    options = parser.parse_args(arguments)
    for name in ("rounds", "batch", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} can't be {getattr(options, name)}; it is at least 1")
    if options.resume and options.json is None:
        parser.error("--resume goes with --json FILE, which has what to go on from")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    device = find_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.peak_of:
        cell = Cell(options.networks[0], options.precisions[0], options.modes[0], device.type)
        print(peak(cell, options.peak_of, options.batch))
        return
    for network in options.networks:
        networks.find(network)  # checked first, before other networks take hours
    header = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "batch": options.batch, **describe(device)}
    rows = read(options.json, header) if options.resume and options.json.is_file() else []
    have = {Cell(row.network, row.precision, row.mode, row.device) for row in rows}
    for network in options.networks:
        cells = [Cell(network, each, mode, device.type) for each in options.precisions for mode in options.modes]
        cells = [cell for cell in cells if cell not in have]
        if cells:
            check_same_function(network)
        for cell in cells:
            new = measure(cell, options)
            print(*new, sep="\n", flush=True)
            rows += new
            if options.json:
                write(options.json, rows, header)
    text = table(rows, header)
    if options.table:
        options.table.write_text(text + "\n", encoding="utf-8")
    print("", text, "", *verdicts(rows), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
