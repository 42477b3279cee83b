"""Whether the gradients of a training are the derivative of its loss, by finite differences.

A backward pass can return anything: an autograd function may add a teacher's loss, a hook a penalty. So the loss is
computed again with the parameters moved a little along random directions. Its change is compared with the change that
the gradient predicts.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench import masks
from bench.data.batch import Batch
from bench.seeding import seed_all, seeded
from bench.training.loop import Training

# How many values of a tensor are tested alone, if each value may have its own factor: those with the largest gradients.
_SINGLES = 3
# If the loss hardly depends on the parameters (a shift before batch norm, say), there is nothing to compare.
_FLAT = 1e-4


@dataclass(frozen=True)
class _Precision:
    """How to move the parameters in one floating-point type.

    `moves` are distances, as shares of the parameters' size. They are tried in turn while the two slopes differ by more
    than `allowed`. `directions` is the number of random directions.
    """

    dtype: torch.dtype
    moves: tuple[float, ...]
    allowed: float
    directions: int


# In double precision hardly any rectifier changes sides, and even fewer do with the second distance. A network that
# holds float32 tensors outside its state can't run in double precision.
_PRECISIONS = (_Precision(torch.float64, (1e-8, 1e-10), 0.01, 1), _Precision(torch.float32, (3e-3,), 0.25, 3))


@dataclass(frozen=True)
class Difference:
    """A comparison along random directions, for one group of parameters (all in layers of one class, or in one list).

    It has the slope by the gradient, the slope of the loss, and their difference relative to the larger one. `opposed`
    says that the gradient of single values has the wrong sign.
    """

    kind: str
    by_gradient: float
    by_loss: float
    apart: float
    allowed: float
    opposed: bool

    @property
    def is_exact(self) -> bool:
        return self.apart <= self.allowed


def shift_norms(network: nn.Module) -> None:
    """Give batch norm positive shifts, as some training does.

    A channel without weights is zero everywhere. With a fresh shift of zero its rectifier stands at its edge, where it
    passes no gradient and has no derivative.
    """
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.bias is not None:
                module.bias.add_(0.1 * torch.rand(module.bias.shape, generator=random).to(module.bias.device))


def differences(training: Training, batch: Batch, seed: int, together: bool = False) -> list[Difference]:
    """A comparison for each group of parameters that the loss depends on, or one for all of them `together`. The
    training is left unchanged."""
    for precision in _PRECISIONS:
        try:
            with _in_precision(training.compressed.network, precision.dtype), seeded(seed):
                exact = batch[0].to(precision.dtype), batch[1]
                return [*_differences(training, exact, seed, together, precision)]
        except RuntimeError:
            if precision is _PRECISIONS[-1]:
                raise
    raise AssertionError


def _differences(
    training: Training, batch: Batch, seed: int, together: bool, precision: _Precision
) -> Iterator[Difference]:
    network = training.compressed.network.train()

    def loss() -> float:
        seed_all(seed)  # layers draw the same numbers each time
        with torch.no_grad():
            return float(training.loss(batch, network(batch[0])))

    seed_all(seed)
    training.loss(batch, network(batch[0])).backward()
    kept = masks.of(network)
    kinds: dict[str, dict[str, Tensor]] = {}
    slopes = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.grad is not None:
            kinds.setdefault("all" if together else _kind(network, name), {})[name] = parameter
            slopes[name] = parameter.grad * kept.get(name, 1.0)
    random = torch.Generator().manual_seed(seed)
    steepness = float(
        torch.stack([slope.norm() * _size(network.get_parameter(name)) for name, slope in slopes.items()]).norm()
    )
    for kind, parameters in kinds.items():
        for moved in precision.moves:
            found = [_along(loss, parameters, slopes, kept, random, moved) for _ in range(precision.directions)]
            by_gradient, by_loss = (math.hypot(*side) for side in zip(*found, strict=True))
            larger = max(by_gradient, by_loss)
            if larger <= _FLAT * steepness:
                break
            apart = math.hypot(*(one - other for one, other in found)) / larger
            if apart <= precision.allowed or moved == precision.moves[-1]:
                opposed = apart > precision.allowed and _opposed(loss, parameters, slopes, moved)
                yield Difference(kind, by_gradient, by_loss, apart, precision.allowed, opposed)
                break


def _kind(network: nn.Module, name: str) -> str:
    path, _, own = name.rpartition(".")
    owner = network.get_submodule(path)
    return path if isinstance(owner, nn.ParameterList | nn.ParameterDict) else f"{type(owner).__name__}.{own}"


def _along(
    loss: Callable[[], float],
    parameters: Mapping[str, Tensor],
    slopes: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
    random: torch.Generator,
    moved: float,
) -> tuple[float, float]:
    """Two slopes along one direction: by the gradient, and of the loss itself."""
    direction = {}
    for name, parameter in parameters.items():
        drawn = torch.randn(parameter.shape, generator=random).to(parameter) * kept.get(name, 1.0)
        direction[name] = drawn * (_size(parameter) / drawn.norm().clamp_min(1e-12))
    by_gradient = sum(float((slopes[name] * own).sum()) for name, own in direction.items())
    return by_gradient, _slope(loss, [(parameters[name], own) for name, own in direction.items()], moved)


def _opposed(
    loss: Callable[[], float], parameters: Mapping[str, Tensor], slopes: Mapping[str, Tensor], moved: float
) -> bool:
    """Whether single values, those with the largest gradients, change the loss in the opposite direction or not at
    all."""
    for name, parameter in parameters.items():
        largest = slopes[name].abs().flatten().topk(min(_SINGLES, parameter.numel())).indices
        for place in largest.tolist():
            single = torch.zeros_like(parameter).flatten()
            single[place] = _size(parameter)
            slope = _slope(loss, [(parameter, single.view_as(parameter))], moved)
            if slope * float(slopes[name].flatten()[place]) <= 0:
                return True
        return False
    return False


def _slope(loss: Callable[[], float], moves: list[tuple[Tensor, Tensor]], moved: float) -> float:
    sides = []
    before = [parameter.detach().clone() for parameter, _ in moves]
    for sign in (1, -1):
        for (parameter, direction), value in zip(moves, before, strict=True):
            parameter.data.copy_(value + sign * moved * direction)
        sides.append(loss())
    for (parameter, _), value in zip(moves, before, strict=True):
        parameter.data.copy_(value)
    return (sides[0] - sides[1]) / (2 * moved)


def _size(tensor: Tensor) -> Tensor:
    """The tensor's norm, or 1 for zeros."""
    norm = tensor.detach().norm()
    return norm if norm > 0 else torch.ones_like(norm)


@contextmanager
def _in_precision(network: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Convert the network's float32 tensors to another precision, and restore them afterwards. The tensor objects and
    their attributes stay."""
    tensors = [*network.parameters(), *network.buffers()]
    before = [(tensor, tensor.data) for tensor in tensors]
    for tensor, data in before:
        tensor.grad = None
        tensor.data = data.to(dtype) if data.dtype == torch.float32 and dtype != torch.float32 else data.clone()
    try:
        yield
    finally:
        for tensor, data in before:
            tensor.grad = None
            tensor.data = data
        network.train()  # forgets the generated tensors
