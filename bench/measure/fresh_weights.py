"""Initial weights for layers that have other numbers of channels than where the network was made.

A network's own code draws its weights by a law that often depends on the layer's size, as He et al.'s (2015): a
variance of two over the fan. Which law it is shows in the weights that it drew: for a law that is known, the variance
times the fan is a known number. The same law gives the deviation at the new size. Constants (ones, zeros) stay.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.surgery import channels_last, give_channels

# The variance times the fan, in the laws that are in use: torch's own for its layers, Xavier's and LeCun's, He's.
_GAINS = (1 / 3, 1.0, 2.0)
# Deviations that are the same whatever the size.
_DEVIATIONS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)
# A variance that was measured on n values is off by about sqrt(2 / n) of it; so many times that is no accident.
_SIGMAS = 4
# Between the kurtosis of a uniform distribution (1.8) and that of a normal one (3).
_KURTOSIS = 2.4


@dataclass(frozen=True)
class Law:
    """How large initial values are: a variance of `gain` over the fan that `fan` names, around zero."""

    fan: str
    gain: float

    def deviation(self, shape: Sequence[int], groups: int) -> float:
        return math.sqrt(self.gain / _fans(shape, groups)[self.fan])


def _fans(shape: Sequence[int], groups: int) -> dict[str, float]:
    """The fans of a kernel of this shape. torch's fan-out ignores groups; others' doesn't."""
    taps = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * taps, shape[0] * taps
    return {
        "in": fan_in,
        "out": fan_out,
        "out of a group": fan_out / groups,
        "both": (fan_in + fan_out) / 2,
        "none": 1.0,
    }


def at_channels(network: nn.Module, channels: Mapping[str, Sequence[int]], seed: torch.Generator) -> nn.Module:
    """The network, freshly made, with these numbers of channels (`surgery.channels_of`), in place: what changes its
    shape is drawn anew."""
    before = {name: tensor.detach() for name, tensor in _tensors(network).items()}
    groups = _groups(network)
    laws = _laws(before, groups)
    give_channels(network, channels)
    groups = _groups(network)
    with torch.no_grad():
        after = _tensors(network)
        for name, tensor in after.items():
            if tensor.shape != before[name].shape:
                kernel = _kernel_of(name, after)
                _fill(tensor, before[name], laws.get(name), groups.get(kernel, 1), after[kernel].shape, seed)
    return channels_last(network)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _groups(network: nn.Module) -> dict[str, int]:
    """The number of groups of each grouped convolution's kernel."""
    return {
        f"{name}.weight" if name else "weight": module.groups
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    }


def _laws(tensors: Mapping[str, Tensor], groups: Mapping[str, int]) -> dict[str, Law]:
    """The law that each tensor was drawn by, where it is one that depends on a kernel's size, or is small and known.

    One tensor may fit several, so the one that most tensors of the network fit is taken.
    """
    measured = {name: kernel for name, tensor in tensors.items() if (kernel := _measure(name, tensors, groups))}
    fitting = {name: kernel.fitting() for name, kernel in measured.items()}
    votes = Counter(law for laws in fitting.values() for law in laws)
    found = {name: max(laws, key=lambda law: votes[law]) for name, laws in fitting.items() if laws}
    for kind in {kernel.kind for kernel in measured.values()}:
        others = {name: kernel for name, kernel in measured.items() if kernel.kind == kind and name not in found}
        found |= dict.fromkeys(others, _own_law([*others.values()])) if others else {}
    return found


@dataclass(frozen=True)
class _Measured:
    """What was drawn: how many values, their variance, and the fans of the kernel that they are, or are the bias of."""

    kind: str
    values: int
    variance: float
    fans: Mapping[str, float]

    def fitting(self) -> list[Law]:
        """The known laws that it fits."""
        allowed = _SIGMAS * math.sqrt(2 / self.values)
        known = [Law(fan, gain) for fan in self.fans if fan != "none" for gain in _GAINS]
        known += [Law("none", deviation**2) for deviation in _DEVIATIONS]
        return [law for law in known if abs(math.log(self.variance * self.fans[law.fan] / law.gain)) <= allowed]


def _measure(name: str, tensors: Mapping[str, Tensor], groups: Mapping[str, int]) -> _Measured | None:
    """None for what is no kernel and no bias of one, or is constant."""
    tensor, kernel = tensors[name], tensors[_kernel_of(name, tensors)]
    if kernel.dim() < 2 or not tensor.is_floating_point() or tensor.numel() < 2 or _constant(tensor) is not None:
        return None
    kind = f"{kernel.dim()} of {tensor.dim()} dimensions"
    # Around zero, as all these laws are; its own mean is as uncertain as its variance.
    variance = tensor.double().square().mean().item()
    return _Measured(kind, tensor.numel(), variance, _fans(kernel.shape, groups.get(_kernel_of(name, tensors), 1)))


def _kernel_of(name: str, tensors: Mapping[str, Tensor]) -> str:
    """A bias has the size that the fans of its kernel give it; anything else is taken for a kernel itself."""
    kernel = f"{name.removesuffix('bias')}weight"
    return kernel if name.endswith("bias") and kernel in tensors else name


def _own_law(kernels: Sequence[_Measured]) -> Law:
    """For kernels that no known law fits: of the fans the one with which the variance times the fan is the most alike;
    for a single one the fan-in, which keeps the size of what comes out."""

    def products(fan: str) -> list[tuple[float, int]]:
        return [(math.log(kernel.variance * kernel.fans[fan]), kernel.values) for kernel in kernels]

    def mean(fan: str) -> float:
        return sum(own * values for own, values in products(fan)) / sum(kernel.values for kernel in kernels)

    def spread(fan: str) -> float:
        return sum(values * (own - mean(fan)) ** 2 for own, values in products(fan))

    fan = "in" if len(kernels) == 1 else min(kernels[0].fans, key=spread)
    return Law(fan, math.exp(mean(fan)))


def _constant(tensor: Tensor) -> float | None:
    """The value that all of it has, if there is one."""
    first = tensor.flatten()[0]
    return float(first) if bool((tensor == first).all()) else None


def _fill(
    tensor: Tensor, before: Tensor, law: Law | None, groups: int, kernel: Sequence[int], seed: torch.Generator
) -> None:
    """Initial values, of a kernel of this shape or its bias."""
    constant = _constant(before) if before.numel() else 0.0
    if constant is not None:
        tensor.fill_(constant)
    elif law is None:  # whatever it is, its values are like those that were there
        values = before.flatten()
        tensor.copy_(values[torch.randint(len(values), tuple(tensor.shape), generator=seed)])
    else:
        deviation = law.deviation(kernel, groups)
        if _is_uniform(before):
            tensor.uniform_(-math.sqrt(3) * deviation, math.sqrt(3) * deviation, generator=seed)
        else:
            tensor.normal_(std=deviation, generator=seed)


def _is_uniform(tensor: Tensor) -> bool:
    squares = tensor.double().square()
    return bool(squares.square().mean() < _KURTOSIS * squares.mean().square())
