"""How long a network takes for one image."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

# Long enough for the median of a network on a CPU to settle to a few percent, short beside any training.
_SECONDS, _AT_LEAST, _WARMUP = 0.3, 10, 5


def latency_ms(network: nn.Module, image_shape: tuple[int, int, int]) -> float:
    """Milliseconds of a forward pass of one image `(channels, height, width)` in eval mode: the median of passes one
    after the other, on the network's device and in its precision.

    (`torch.utils.benchmark` does the same, but warns of a missing GPU on import where a CUDA toolkit is installed.)
    """
    like = next(network.parameters())
    random = torch.Generator(like.device).manual_seed(0)
    image = torch.randn(1, *image_shape, device=like.device, dtype=like.dtype, generator=random)

    def run() -> None:
        network(image)
        if image.device.type == "cuda":
            torch.cuda.synchronize(image.device)

    with torch.inference_mode():
        return median_ms(run)


def median_ms(run: Callable[[], object]) -> float:
    """Milliseconds of a call: the median of calls one after the other."""
    for _ in range(_WARMUP):
        _timed(run)
    times: list[float] = []
    while len(times) < _AT_LEAST or sum(times) < _SECONDS:
        times.append(_timed(run))
    return 1000 * statistics.median(times)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
