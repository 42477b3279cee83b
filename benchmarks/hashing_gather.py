"""Measures the cost of making a kernel from hashed buckets, forward and backward: hashing's gathers against a naive
one.

Run it by hand: `python benchmarks/hashing_gather.py --help`. The README beside it says what it measures and why.
"""

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import environment_for_memory, memory_of_process, rotated, seconds
from torch import Tensor
from torch.nn import functional

from bench.kernels.flat import FlatKernels
from bench.methods.hashing.hashing import HashedKernels
from bench.runs.environment import describe

VARIANTS = ("naive", "per value", "blocks", "convolution")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
SHORTEST_TIMING_SECONDS = 0.1
STEPS_FOR_PEAK = 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Layer:
    """A convolution with as many input as output channels, and the way in which it is hashed."""

    channels: int
    kernel: int
    buckets: int
    block: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.channels, self.channels, self.kernel, self.kernel

    @property
    def weights(self) -> int:
        return math.prod(self.shape)

    def hashed(self, variant: str) -> HashedKernels:
        """The layer hashed by the method."""
        block = self.block if variant == "blocks" else 1
        made = HashedKernels(FlatKernels({"layer": self.shape}, {"layer": True}), self.buckets, "layer", block, 1, 2)
        with torch.no_grad():
            made.buckets.normal_(generator=torch.Generator().manual_seed(0))
        return made

    def upstream(self) -> Tensor:
        """A gradient for the weights."""
        return torch.randn(self.weights, generator=torch.Generator().manual_seed(1))


Gather = Callable[[Tensor], Tensor]


def naive(kernels: HashedKernels) -> Gather:
    """A naive gather that computes the same function of the buckets: `buckets[index] * signs`, int64 and float32."""
    places = torch.arange(len(kernels.buckets), dtype=torch.float64)
    signs = kernels.values_of(torch.ones_like(places))
    index = (kernels.values_of(places) * signs).long()
    signs = signs.float()
    return lambda buckets: buckets[index] * signs


def check(layer: Layer, variant: str) -> tuple[Tensor, Tensor]:
    """The weights and a gradient of the buckets. Raises SystemExit if the naive gather gives others."""
    kernels = layer.hashed(variant)
    results = []
    for gather in (kernels.values_of, naive(kernels)):
        values = gather(kernels.buckets)
        (gradient,) = torch.autograd.grad(values, kernels.buckets, layer.upstream())
        results.append((values.detach(), gradient))
    (values, gradient), (expected, expected_gradient) = results
    if not (torch.equal(values, expected) and torch.allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-4)):
        raise SystemExit(f"{variant}: the naive gather gives something else")
    return values, gradient


def prepare(layer: Layer, variant: str, options: argparse.Namespace) -> tuple[Callable[[], None], int]:
    """A call that goes forward and backward once, and the bytes of its index and signs."""
    if variant == "convolution":
        return _convolution(layer, options), 0
    kernels = layer.hashed(variant)
    buckets, upstream = kernels.buckets, layer.upstream()
    kept = sum(buffer.nbytes for buffer in kernels.buffers())
    gather: Gather = kernels.values_of
    if variant == "naive":
        gather, kept = naive(kernels), layer.weights * (8 + 4)

    def step() -> None:
        buckets.grad = None
        gather(buckets).backward(upstream)

    return step, kept


def _convolution(layer: Layer, options: argparse.Namespace) -> Callable[[], None]:
    """A convolution with an ordinary kernel, on images like those inside a network."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(options.batch, layer.channels, options.pixels, options.pixels, generator=random)
    images = images.to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(layer.shape, generator=random).to(memory_format=torch.channels_last).requires_grad_()

    def step() -> None:
        images.grad = kernel.grad = None
        functional.conv2d(images, kernel, padding=layer.kernel // 2).sum().backward()

    return step


def times(layer: Layer, options: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds of each variant in each round."""
    steps = {variant: prepare(layer, variant, options)[0] for variant in VARIANTS}
    clock = CLOCKS[options.clock]
    quickest = min(min(seconds(step, 1, CPU, clock) for _ in range(3)) for step in steps.values())
    repetitions = math.ceil(SHORTEST_TIMING_SECONDS / quickest) if options.rounds > 2 else 1
    taken: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(options.rounds):
        for variant in rotated(VARIANTS, number):
            taken[variant].append(1000 * seconds(steps[variant], repetitions, CPU, clock) / repetitions)
    return taken


def peak(layer: Layer, variant: str, options: argparse.Namespace) -> int:
    """The bytes by which this process grows in one forward and backward pass, beyond the index and the memory of a
    first step."""
    step, _ = prepare(layer, variant, options)
    step()
    # Reset the record of the peak, which so far is that of hashing.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = memory_of_process("VmRSS")
    for _ in range(STEPS_FOR_PEAK):
        step()
    return memory_of_process("VmHWM") - before


def peak_in_fresh_process(variant: str, arguments: Sequence[str]) -> int:
    command = [sys.executable, __file__, *arguments, "--threads", str(torch.get_num_threads()), "--peak-of", variant]
    done = subprocess.run(command, env=environment_for_memory(), capture_output=True, text=True, check=True)
    return int(done.stdout)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--channels", type=int, default=512, help="input and output channels of the layer")
    parser.add_argument("--kernel", type=int, default=3, help="height and width of its kernel")
    parser.add_argument("--ratio", type=int, default=8, help="weights for each bucket")
    parser.add_argument("--block", type=int, default=144, help="weights that the variant blocks hashes together")
    parser.add_argument("--batch", type=int, default=8, help="images of the convolution")
    parser.add_argument("--pixels", type=int, default=8, help="height and width of these images")
    parser.add_argument("--rounds", type=int, default=15, help="rounds over all variants")
    parser.add_argument("--threads", type=int, help="threads of torch; default: torch's own number")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: time of this process, for a machine with other work"
    )
    parser.add_argument("--peak-of", choices=VARIANTS, help=argparse.SUPPRESS)  # for the processes it starts itself
    options = parser.parse_args(arguments)
    for name in ("channels", "kernel", "block", "batch", "pixels", "rounds", "threads"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} can't be {getattr(options, name)}; it is at least 1")
    if options.ratio < 2:
        parser.error(f"--ratio can't be {options.ratio}; it is at least 2")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    weights = options.channels**2 * options.kernel**2
    layer = Layer(options.channels, options.kernel, weights // options.ratio, options.block)
    if options.peak_of:
        print(peak(layer, options.peak_of, options))
        return
    for variant in ("per value", "blocks"):
        check(layer, variant)
    given = sys.argv[1:] if arguments is None else arguments
    taken = times(layer, options)
    print("| way | forward and backward | / naive (lowest to highest) | index and signs | peak of a step |")
    print("| --- | --: | --: | --: | --: |")
    for variant in VARIANTS:
        ratios = [own / its for own, its in zip(taken[variant], taken["naive"], strict=True)]
        ratio = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        kept, most = prepare(layer, variant, options)[1], peak_in_fresh_process(variant, given)
        print(f"| {variant} | {statistics.median(taken[variant]):.2f} ms | {ratio} | {_mib(kept)} | {_mib(most)} |")
    machine, size = describe(CPU), "x".join(map(str, layer.shape))
    print(f"\n{size} from {layer.buckets:,} buckets, blocks of {layer.block}; {options.rounds} rounds")
    print(f"convolution of {options.batch} images of {options.pixels}x{options.pixels}")
    print(f"{options.clock} time on {machine['device_name']}, threads: {machine['threads']}")
    print(f"torch {machine['torch_version']}")


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


if __name__ == "__main__":
    main()
