"""Whether each stored number is one number, and not several numbers in disguise.

Budgets count values. A method could pack 31 bits of a mask into an int32, or a second weight into the low bits of a
float; each would be counted as one value. So this test flips single bits and several bits of a number, within the range
of the tensor's other numbers. It then compares everything that meets an image in a forward pass (kernels, batch norm's
factors, masks), however it was computed.

* A number that moves further in one direction must change at least the weights that it changed when it moved less. This
  holds for an entry of a table, a position or a factor. (A rectifier between the number and the weights also only
  switches more of them on.) If bits stand for different things, they change different weights.
* The lowest bits of a float matter least: a value packed into them would change as much as the highest bits do.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench import count, masks

# Limits on the numbers tried: of each tensor, of the network, of a network with more tensors than that, and flips of
# each number.
# A large network gets fewer, so that the test looks at about `_WORK` weights at most, but never fewer than `_AT_LEAST`.
_OF_A_TENSOR, _NUMBERS, _MOST_NUMBERS, _FLIPS = 3, 16, 24, 8
_WORK, _AT_LEAST = 30_000_000, 6
# Relative to the largest weight of a kernel: a smaller change may be the rounding error of a sum.
_ROUNDING = 1e-5
# A larger move must change at least this share of what a smaller move changes. (An index that says where a value goes
# changes two places; another move changes one of them and a third place.)
_KEPT = 0.4
# The number of high bits of a mantissa. Flipping the bits below them changes the number by less than one part in
# thousands.
_HIGH_BITS = 12
_LEAST = 0.1


Changes = dict[int, Tensor]  # which elements changed, by the place of the tensor that meets the image


@dataclass(frozen=True)
class _Move:
    """A change of one number: by how much it moved, the largest change it caused, and where the changes are clear or
    only possible."""

    by: float
    most: float
    clear: Changes
    perhaps: Changes


def several_in_one(network: nn.Module, image: Tensor, random: torch.Generator) -> str:
    """The name of a stored tensor whose numbers each hold several values, and the evidence; empty if there is none.

    `network` is changed during the test and restored. `image` is a batch of one or more images.
    """
    network.eval()
    decoded = _decoded(network, image)
    stored = {tensor.untyped_storage().data_ptr() for tensor in count.stored_tensors(network).values()}
    met = sum(tensor.numel() for tensor in _met(network, image, stored))
    numbers = max(_AT_LEAST, min(max(_NUMBERS, min(len(decoded), _MOST_NUMBERS)), _WORK // (_FLIPS * max(1, met))))
    for name, flat, place in _chosen(decoded, numbers, random):
        # A stored tensor that meets the image directly can't change with another tensor's number.
        others = stored - {flat.untyped_storage().data_ptr()}
        what = _check(network, image, others, flat, place, random)
        if what:
            return f"{name} {what}"
    return ""


def _decoded(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """The stored tensors from which something is computed before it meets the image. A tensor that meets the image
    directly can hide nothing."""
    watch = _Watch(image)
    with torch.no_grad(), watch:
        _fresh(network)(image)
    places = watch.read
    kept = masks.of(network)
    return {
        name: tensor
        for name, tensor in count.stored_tensors(network).items()
        if name not in kept and tensor.numel() and tensor.untyped_storage().data_ptr() in places
    }


def _chosen(tensors: dict[str, Tensor], numbers: int, random: torch.Generator) -> Iterator[tuple[str, Tensor, int]]:
    """Random numbers to test: of whole-number tensors first, a few of each tensor, and zeros only if a tensor has
    nothing else."""
    each = max(1, min(_OF_A_TENSOR, numbers // max(1, len(tensors))))
    names = list(tensors)
    mixed = [names[index] for index in torch.randperm(len(names), generator=random).tolist()]
    for name in sorted(mixed, key=lambda name: tensors[name].is_floating_point())[:numbers]:
        tensor = tensors[name].detach()
        flat = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        nonzero = flat.reshape(-1).nonzero().flatten()
        pool = nonzero if len(nonzero) else torch.arange(flat.numel())
        for number in torch.randperm(len(pool), generator=random)[:each].tolist():
            yield name, flat, int(pool[number])


def _check(
    network: nn.Module, image: Tensor, stored: set[int], tensor: Tensor, place: int, random: torch.Generator
) -> str:
    where = tuple(int(index) for index in torch.unravel_index(torch.tensor(place), tensor.shape))
    before = tensor[where].clone()
    base = _met(network, image, stored)
    moves = []
    for value in _others(tensor, before, random):
        tensor[where] = value
        try:
            found = _met(network, image, stored)
        except (IndexError, RuntimeError):  # not a valid number here
            continue
        finally:
            tensor[where] = before
        if [part.shape for part in found] != [part.shape for part in base]:
            return "changes the shapes of the network's tensors if one of its numbers changes"
        moves.append(_move(float(value) - float(before), base, found))
    small = abs(float(before)) * 2.0**-_HIGH_BITS
    low, high = [move for move in moves if abs(move.by) <= small], [move for move in moves if abs(move.by) > small]
    by_low = max((move.most for move in low if move.clear), default=0.0)
    if tensor.is_floating_point() and high and by_low > _LEAST * max(move.most for move in high):
        return "changes the network as much by its lowest bits as by its highest"
    for sign in (1, -1):
        ordered = sorted((move for move in moves if move.by * sign > 0), key=lambda move: abs(move.by))
        for position, less in enumerate(ordered):
            changed = sum(int(own.sum()) for own in less.clear.values())
            for more in ordered[position + 1 :] if changed else ():
                both = less.clear.keys() & more.perhaps.keys()
                if sum(int((less.clear[key] & more.perhaps[key]).sum()) for key in both) < _KEPT * changed:
                    return "changes different weights by different bits of a number"
    return ""


def _others(tensor: Tensor, before: Tensor, random: torch.Generator) -> Sequence[Tensor]:
    """The changed values of a number, with single bits and several bits flipped. Whole numbers stay within the range of
    their tensor, and floats keep their sign and exponent."""
    if tensor.is_floating_point():
        whole = before.view(_WHOLE[tensor.element_size()])
        bits = _MANTISSAS[tensor.dtype]
        least, most = None, None
    elif tensor.dtype == torch.bool:
        return []
    else:
        whole = before.long()
        least, most = int(tensor.min()), int(tensor.max())
        bits = max(1, (most - least).bit_length(), most.bit_length())
    single = [1 << bit for bit in torch.randperm(bits, generator=random)[: _FLIPS // 2].tolist()]
    several = [int(torch.randint(1, 1 << min(bits, 62), (), generator=random)) for _ in range(_FLIPS)]
    if bits > _HIGH_BITS + 1:  # also only the lowest bits
        several[0] &= (1 << (bits - _HIGH_BITS - 1)) - 1
    found = {}
    for flip in dict.fromkeys([*single, *several]):
        value = int(whole) ^ flip
        if least is None:
            found[value] = (whole ^ flip).view(tensor.dtype)
        elif most is not None and least <= value <= most and flip:
            found[value] = torch.tensor(value, dtype=tensor.dtype)
    return list(found.values())[:_FLIPS]


_WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_MANTISSAS = {torch.float16: 10, torch.bfloat16: 7, torch.float32: 23, torch.float64: 52}


def _move(by: float, base: Sequence[Tensor], found: Sequence[Tensor]) -> _Move:
    most, clear, perhaps = 0.0, {}, {}
    for place, (one, other) in enumerate(zip(base, found, strict=True)):
        if torch.equal(one, other):
            continue
        change = (other.float() - one.float()).abs()
        rounding = _ROUNDING * float(one.float().abs().max())
        most = max(most, float(change.max()))
        perhaps[place] = change > rounding
        if bool((change > 4 * rounding).any()):
            clear[place] = change > 4 * rounding
    return _Move(by, most, clear, perhaps)


def _met(network: nn.Module, image: Tensor, stored: set[int]) -> list[Tensor]:
    """All tensors that meet the image in a forward pass, except those in the memory of `stored` tensors."""
    watch = _Watch(image, stored)
    with torch.no_grad(), watch:
        _fresh(network)(image)
    return watch.met


def _fresh(network: nn.Module) -> nn.Module:
    """The network with nothing kept from an earlier pass."""
    return network.train().eval()


class _Watch(TorchDispatchMode):
    """Follows a forward pass. `met` lists, in order, the tensors that meet a tensor depending on the image, without
    those in the memory of `stored` tensors. `read` is the memory of tensors from which something was computed before
    that."""

    def __init__(self, image: Tensor, stored: Collection[int] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.stored = stored
        # Keep the tensors alive: otherwise a new tensor could get an old one's id.
        self.of_image = {id(image): image}
        self.met: list[Tensor] = []
        self.read: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        result = func(*args, **(kwargs or {}))
        others = [tensor for tensor in given if id(tensor) not in self.of_image]
        if len(others) < len(given):
            self.met += [tensor.clone() for tensor in others if tensor.untyped_storage().data_ptr() not in self.stored]
            for made in tree_leaves(result):
                if isinstance(made, Tensor):
                    self.of_image[id(made)] = made
        else:
            for made in tree_leaves(result):
                if isinstance(made, Tensor):
                    self.read |= {own.untyped_storage().data_ptr() for own in others if not _is_view(own, made)}
        return result


def _is_view(tensor: Tensor, made: Tensor) -> bool:
    """Whether both are the same numbers in the same memory, so that nothing was computed."""
    return made.dtype == tensor.dtype and made.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
