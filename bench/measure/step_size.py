"""How far a step of SGD goes: the same learning rate moves methods differently far.

Methods share the schedule's learning rate, and a parameter that stands for many weights, or a product of factors, moves
kernels further with it than a weight does, or less far. Two numbers say how far, both of one small step at the start:

    kernels   |change of the kernels| / (rate |gradient of the kernels|), over all generated kernels; 1 for a kernel
              that is trained itself
    logits    |change of the outputs on the batch|, by that of the dense network with the same step
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench import masks
from bench.generated import GeneratedNetwork
from bench.method import Compressed
from bench.seeding import seed_all, seeded

# So small that what is measured is linear in it, so large that float32 shows it.
_RATE = 1e-3


@dataclass(frozen=True)
class Step:
    """`outputs` is the norm of their change; `kernels` as above, None if none are generated."""

    outputs: float
    kernels: float | None


def measure(
    compressed: Compressed, batch: tuple[Tensor, Tensor], loss: Callable[[Any], Tensor], output: Callable[[Any], Tensor]
) -> Step:
    """Measure one step on a batch. `loss` and `output` take what the network gives: the loss that is trained on, and
    the one tensor that is compared. The network is left as it was, and so are random numbers.

    A method's own factors on the learning rate are in the step; weight decay and momentum are not.
    """
    network = compressed.network
    groups = compressed.parameter_groups(0.0, _RATE)
    with left_as_it_was(network), seeded(0):
        network.train()
        with torch.enable_grad():
            before = network(batch[0])
            kernels = {name: kernel for name, kernel in _generated(network).items() if kernel.requires_grad}
            for kernel in kernels.values():
                kernel.retain_grad()
            loss(before).backward()
        slopes = _norm([kernel.grad for kernel in kernels.values() if kernel.grad is not None])
        old = {name: kernel.detach().clone() for name, kernel in kernels.items()}
        old_output = output(before).detach().clone()
        with torch.no_grad():
            for group in groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter -= group["lr"] * parameter.grad
            masks.enforce(masks.pairs(network))  # as after each step
        seed_all(0)  # what layers draw is the same again
        with torch.enable_grad():  # as before: without, kernels that were computed for inference would be used
            after = output(network(batch[0])).detach()
        moved = _norm([kernel.detach() - old[name] for name, kernel in _generated(network).items() if name in old])
        return Step(float((after - old_output).norm()), moved / (_RATE * slopes) if slopes > 0 else None)


def _generated(network: nn.Module) -> dict[str, Tensor]:
    """The kernels of the last forward pass that something was computed for."""
    return network.placed() if isinstance(network, GeneratedNetwork) else {}


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.norm() for tensor in tensors]).norm()) if tensors else 0.0


@contextmanager
def left_as_it_was(network: nn.Module) -> Iterator[None]:
    """What is done inside is undone: parameters, buffers and gradients, of which there are none at first."""
    training = network.training
    tensors = [*network.parameters(), *network.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    gradients = [parameter.grad for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        network.train(training)
