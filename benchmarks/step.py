"""One training step: the share of the processor's matrix-product speed that it reaches, and the harness's extra time.

Run it by hand: `python benchmarks/step.py --help`. The README beside it says what it measures and why.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from measuring import rotated, seconds
from noise_images import split
from torch.nn import functional

from bench import count, testing
from bench.data.normalise import Normalise
from bench.method import Compressed
from bench.plan.task_choice import find_task
from bench.runs import environment
from bench.training import schedule
from bench.training.compiling import Compile
from bench.training.loop import Trainer, Training

BATCH, IMAGES, SIDE = 128, 2048, 32
PRODUCT, BARE, HARNESS, COMPILED = "product", "bare", "harness", "compiled"
# Targets: the share of the matrix product's speed, and the factor by which the harness may slow the step.
TARGET, TARGET_HARNESS = 0.6, 1.03
# The side of the matrices.
_MATRIX = 1024


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    rows = [
        measure(network, getattr(torch, precision), device, options)
        for network in options.networks.split(",")
        for precision in options.precisions.split(",")
    ]
    if options.json:
        Path(options.json).write_text(json.dumps({"about": about(options), "rows": rows}, indent=1), encoding="utf-8")
    print(table(rows))
    print(f"\n{about(options)}")
    if options.profile:
        for network in options.networks.split(","):
            profile(network, getattr(torch, options.precisions.split(",")[0]), device)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="resnet20")
    parser.add_argument("--precisions", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15, help="number of rounds; all take a turn in each")
    parser.add_argument("--steps", type=int, default=4, help="of a turn")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of this process only")
    parser.add_argument("--compiled", action="store_true", help="also measure the loop with compiled steps")
    parser.add_argument("--profile", action="store_true", help="print the time of a step by operation")
    parser.add_argument("--json", help="write the figures to this file")
    return parser.parse_args(arguments)


def measure(
    network: str, precision: torch.dtype, device: torch.device, options: argparse.Namespace
) -> dict[str, object]:
    """Medians over the rounds, and the range of ratios within a round."""
    training = trained(network, precision, device)
    calls: dict[str, Callable[[], object]] = {
        PRODUCT: product(precision, device),
        BARE: bare(network, precision, device),
        HARNESS: training.take_step,
    }
    if options.compiled:
        calls[COMPILED] = trained(network, precision, device, "on").take_step
    operations = {**dict.fromkeys(calls, step_operations(network)), PRODUCT: 2 * _MATRIX**3}
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        seconds(call, 2, device)
    for number in range(options.rounds):
        for name in rotated(calls, number):
            taken = seconds(calls[name], options.steps * (8 if name == PRODUCT else 1), device, clock)
            rates[name].append(operations[name] * options.steps * (8 if name == PRODUCT else 1) / taken / 1e9)
    more = {}
    if options.compiled:
        saved = [harness / own for harness, own in zip(rates[HARNESS], rates[COMPILED], strict=True)]
        more = {"compiled": statistics.median(saved), "compiled_range": [min(saved), max(saved)]}
    share = [own / whole for own, whole in zip(rates[BARE], rates[PRODUCT], strict=True)]
    added = [own / harness for own, harness in zip(rates[BARE], rates[HARNESS], strict=True)]
    return {
        "network": network,
        "precision": str(precision).removeprefix("torch."),
        **{f"{name}_gflops": statistics.median(own) for name, own in rates.items()},
        "images_per_second": statistics.median(rates[HARNESS]) * 1e9 / step_operations(network) * BATCH,
        "share": statistics.median(share),
        "share_range": [min(share), max(share)],
        "harness": statistics.median(added),
        "harness_range": [min(added), max(added)],
        **more,
    }


def step_operations(network: str) -> float:
    """Operations for a batch: two for each multiply-accumulate, forward and twice that backward."""
    return 6 * BATCH * count.forward_macs(testing.network(network), (3, SIDE, SIDE))


def product(precision: torch.dtype, device: torch.device) -> Callable[[], object]:
    one, other = (torch.randn(_MATRIX, _MATRIX, device=device, dtype=precision) for _ in range(2))
    made = torch.empty_like(one)
    return lambda: torch.mm(one, other, out=made)


def bare(network: str, precision: torch.dtype, device: torch.device) -> Callable[[], object]:
    """Forward, loss, backward and the optimiser on one batch in memory."""
    model = testing.network(network).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(BATCH, 3, SIDE, SIDE, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(BATCH, device=device) % 10

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            outputs = model(images)
        functional.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()

    return step


def trained(network: str, precision: torch.dtype, device: torch.device, compile: Compile = "off") -> Training:
    """The loop of a sweep, on a schedule with augmentation that never ends."""
    data = split(IMAGES, 0).to(device)
    normalise = Normalise.of(data).to(device)
    _, recipe = schedule.find(f"csg-cifar:epochs=100000:batch_size={BATCH}")
    model = testing.network(network).to(device, memory_format=torch.channels_last)
    task = find_task("classification").task
    trainer = Trainer.of(data, data, normalise, task, 10, recipe, 0, precision, compile=compile)
    return Training(trainer, Compressed(model), 0)


def table(rows: Sequence[dict[str, object]]) -> str:
    lines = [
        "| network | precision | product, GFLOP/s | bare step, GFLOP/s | of the product | harness / bare "
        "| compiled / harness | images/s |",
        "| --- | --- | --: | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        shares = "{:.0%} ({:.0%} to {:.0%})".format(row["share"], *row["share_range"])  # type: ignore[misc]
        added = "{:.3f} ({:.3f} to {:.3f})".format(row["harness"], *row["harness_range"])  # type: ignore[misc]
        compiled = (
            "{:.3f} ({:.3f} to {:.3f})".format(row["compiled"], *row["compiled_range"]) if COMPILED in row else ""
        )  # type: ignore[misc]
        lines.append(
            f"| {row['network']} | {row['precision']} | {row['product_gflops']:.1f} | {row['bare_gflops']:.1f} "
            f"| {shares} | {added} | {compiled} | {row['images_per_second']:,.0f} |"
        )
    return "\n".join([*lines, "", f"Aimed at: {TARGET:.0%} or more of the product, and {TARGET_HARNESS:g} or less."])


def about(options: argparse.Namespace) -> str:
    name = environment.processor(torch.device(options.device))
    return (
        f"{name}, {torch.backends.cpu.get_cpu_capability()}, {options.threads} threads, torch {torch.__version__}, "
        f"{datetime.now(UTC).isoformat(timespec='seconds')}"
    )


def profile(network: str, precision: torch.dtype, device: torch.device) -> None:
    """The time of a few steps of the loop, by operation."""
    training = trained(network, precision, device)
    training.take_step()
    with torch.profiler.profile() as profiled:
        for _ in range(4):
            training.take_step()
    print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50))


if __name__ == "__main__":
    main()
