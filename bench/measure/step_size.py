"""How far a step of SGD moves a network: at one learning rate, methods move different distances.

Methods share the schedule's learning rate. A parameter that stands for many weights, or a product of factors, moves
kernels further, or less far, than a plain weight does. Two numbers measure this, for one small step at the start:

    kernels   |change of the kernels| / (rate |gradient of the kernels|), over all generated kernels; 1 for a kernel
              that is trained directly
    logits    |change of the outputs on the batch| / |the same change in the dense network|
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

# Small enough that the change is linear in it, and large enough that float32 shows the change.
_RATE = 1e-3


@dataclass(frozen=True)
class Step:
    """`outputs` is the norm of the outputs' change. `kernels` is as above; None if no kernel is generated."""

    outputs: float
    kernels: float | None


def measure(
    compressed: Compressed, batch: tuple[Tensor, Tensor], loss: Callable[[Any], Tensor], output: Callable[[Any], Tensor]
) -> Step:
    """Measure one step on a batch. `loss` and `output` take the network's output and return the training loss and the
    tensor to compare. The network and the random generators are left unchanged.

    The step includes the method's own factors on the learning rate, but no weight decay and no momentum.
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
        seed_all(0)  # layers draw the same numbers again
        with torch.enable_grad():  # else the kernels cached for inference would be used
            after = output(network(batch[0])).detach()
        moved = _norm([kernel.detach() - old[name] for name, kernel in _generated(network).items() if name in old])
        return Step(float((after - old_output).norm()), moved / (_RATE * slopes) if slopes > 0 else None)


def _generated(network: nn.Module) -> dict[str, Tensor]:
    """The generated kernels of the last forward pass."""
    return network.placed() if isinstance(network, GeneratedNetwork) else {}


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.norm() for tensor in tensors]).norm()) if tensors else 0.0


@contextmanager
def left_as_it_was(network: nn.Module) -> Iterator[None]:
    """Undo all changes of the block to parameters, buffers and gradients. Inside, gradients are None at first."""
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
