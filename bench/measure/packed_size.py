"""The bytes of a network's stored values, as budgets of bytes count them, and the packed forms of values in a file.

A float has the bytes of its type. It has two if the method rounds it to half precision for good; a float that merely
happens to be round has four. Each whole number has as many bits as the largest of its tensor needs. For a masked
tensor, the kept values and their places count; the places are stored as a bitmap or as gaps, whichever is smaller.
Batch norm's statistics and a file's header are the same for all methods and don't count.
"""

import math
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from bench import count, masks

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
_HALF_BYTES = 2


def counted_bytes(model: nn.Module, half: Collection[str] = ()) -> int:
    """The bytes of the network's stored values; `half` names the tensors that are rounded to half precision for
    good."""
    kept = masks.of(model)
    return sum(
        _bytes(tensor.detach(), kept.get(name), name in half) for name, tensor in count.stored_tensors(model).items()
    )


def is_half(tensor: Tensor) -> bool:
    """Whether half precision holds all of its values exactly."""
    return torch.equal(tensor.half().to(tensor.dtype), tensor)


def is_packed_whole(tensor: Tensor) -> bool:
    """Whether a file packs the tensor into the bits of its largest number: it has whole numbers, none of them
    negative."""
    return tensor.dtype in _WHOLE and tensor.numel() > 0 and (tensor.dtype == torch.bool or int(tensor.min()) >= 0)


def bits_of(whole: Tensor) -> int:
    """The bits that the largest of these numbers needs; at least 1."""
    return max(1, int(whole.max()).bit_length()) if whole.numel() else 1


def form_of(mask: Tensor) -> tuple[Literal["bitmap", "gaps"], int, int]:
    """The smaller form for a mask's places: its name, its bits per number, and how many numbers it has."""
    gaps = gaps_of(mask)
    bits = bits_of(gaps)
    return ("gaps", bits, gaps.numel()) if bits * gaps.numel() < mask.numel() else ("bitmap", 1, mask.numel())


def gaps_of(mask: Tensor) -> Tensor:
    """The distances from one kept value to the next, each at least 1. The first is counted from just before the
    beginning."""
    places = mask.flatten().nonzero().flatten()
    return torch.diff(places, prepend=places.new_tensor([-1]))


def _bytes(tensor: Tensor, mask: Tensor | None, half: bool) -> int:
    if mask is not None:
        _, bits, numbers = form_of(mask)
        return _octets(bits * numbers) + int(mask.count_nonzero()) * _float_bytes(tensor, half)
    if is_packed_whole(tensor):
        return _octets(bits_of(tensor) * tensor.numel())
    return tensor.numel() * _float_bytes(tensor, half)


def _float_bytes(tensor: Tensor, half: bool) -> int:
    return _HALF_BYTES if half and tensor.dtype == torch.float32 else tensor.element_size()


def _octets(bits: int) -> int:
    return math.ceil(bits / 8)
