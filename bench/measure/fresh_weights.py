"""Initial weights for layers whose numbers of channels were changed after the network was built.

A network's own code often draws weights by a law that depends on the layer's size. He et al. (2015), for example, use a
variance of two divided by the fan. The drawn weights show which law it was: for each known law, the variance times the
fan is a known number. The same law gives the standard deviation at the new size. Constant tensors (ones, zeros) stay
constant.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.surgery import channels_last, give_channels

# The variance times the fan in the common laws: torch's own for its layers, Xavier's and LeCun's, He's.
_GAINS = (1 / 3, 1.0, 2.0)
# Standard deviations that don't depend on the size.
_DEVIATIONS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0)
# A variance measured on n values has a relative error of about sqrt(2 / n). A difference of more than this many errors
# is no accident.
_SIGMAS = 4
# A threshold between the kurtosis of a uniform distribution (1.8) and of a normal one (3).
_KURTOSIS = 2.4


@dataclass(frozen=True)
class Law:
    """How large initial values are: their variance is `gain` divided by the fan named `fan`, around a mean of zero."""

    fan: str
    gain: float

    def deviation(self, shape: Sequence[int], groups: int) -> float:
        return math.sqrt(self.gain / _fans(shape, groups)[self.fan])


def _fans(shape: Sequence[int], groups: int) -> dict[str, float]:
    """The fans of a kernel of this shape. torch's fan-out ignores groups; other libraries divide by them."""
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
    """Change a freshly made network to these numbers of channels (`surgery.channels_of`), in place. Tensors whose shape
    changes are drawn anew."""
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
    """The law by which each tensor was drawn. A law depends on a kernel's size, or is one of the known constant
    deviations.

    A tensor may fit several laws; then it gets the law that most tensors of the network fit.
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
    """Measurements of a drawn tensor: its number of values, its variance, and the fans of its kernel. (A bias belongs
    to a kernel.)"""

    kind: str
    values: int
    variance: float
    fans: Mapping[str, float]

    def fitting(self) -> list[Law]:
        """The known laws that these values fit."""
        allowed = _SIGMAS * math.sqrt(2 / self.values)
        known = [Law(fan, gain) for fan in self.fans if fan != "none" for gain in _GAINS]
        known += [Law("none", deviation**2) for deviation in _DEVIATIONS]
        return [law for law in known if abs(math.log(self.variance * self.fans[law.fan] / law.gain)) <= allowed]


def _measure(name: str, tensors: Mapping[str, Tensor], groups: Mapping[str, int]) -> _Measured | None:
    """Measure a tensor; None if it is constant, or neither a kernel nor a bias of one."""
    tensor, kernel = tensors[name], tensors[_kernel_of(name, tensors)]
    if kernel.dim() < 2 or not tensor.is_floating_point() or tensor.numel() < 2 or _constant(tensor) is not None:
        return None
    kind = f"{kernel.dim()} of {tensor.dim()} dimensions"
    # The variance around zero, the mean in all these laws. The tensor's own mean would be as uncertain as its variance.
    variance = tensor.double().square().mean().item()
    return _Measured(kind, tensor.numel(), variance, _fans(kernel.shape, groups.get(_kernel_of(name, tensors), 1)))


def _kernel_of(name: str, tensors: Mapping[str, Tensor]) -> str:
    """The name of the kernel that decides a tensor's fans: a bias uses its layer's kernel; any other tensor counts as a
    kernel itself."""
    kernel = f"{name.removesuffix('bias')}weight"
    return kernel if name.endswith("bias") and kernel in tensors else name


def _own_law(kernels: Sequence[_Measured]) -> Law:
    """A law for kernels that no known law fits. It uses the fan for which the variance times the fan varies least among
    them. For a single kernel it uses the fan-in, which keeps the size of the layer's outputs."""

    def products(fan: str) -> list[tuple[float, int]]:
        return [(math.log(kernel.variance * kernel.fans[fan]), kernel.values) for kernel in kernels]

    def mean(fan: str) -> float:
        return sum(own * values for own, values in products(fan)) / sum(kernel.values for kernel in kernels)

    def spread(fan: str) -> float:
        return sum(values * (own - mean(fan)) ** 2 for own, values in products(fan))

    fan = "in" if len(kernels) == 1 else min(kernels[0].fans, key=spread)
    return Law(fan, math.exp(mean(fan)))


def _constant(tensor: Tensor) -> float | None:
    """The tensor's value, if all its elements are equal."""
    first = tensor.flatten()[0]
    return float(first) if bool((tensor == first).all()) else None


def _fill(
    tensor: Tensor, before: Tensor, law: Law | None, groups: int, kernel: Sequence[int], seed: torch.Generator
) -> None:
    """Draw initial values for a kernel of this shape or for its bias."""
    constant = _constant(before) if before.numel() else 0.0
    if constant is not None:
        tensor.fill_(constant)
    elif law is None:  # unknown law: draw from the old values
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
