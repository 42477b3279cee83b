"""The bytes of a network's stored values, as budgets of bytes count them, and the forms in which a file packs values.

A float has the bytes of its type, and two where the method rounds it to half precision for good; a float that merely
happens to be round has four. Whole numbers have the bits of the largest. A masked tensor counts the kept values and
their places: the cheaper of a bitmap and of the gaps between them. Batch norm's statistics and a file's header, which
are the same for all methods, are left out.
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
    """Bytes of what the network stores; `half` names the tensors that are rounded to half precision for good."""
    kept = masks.of(model)
    return sum(
        _bytes(tensor.detach(), kept.get(name), name in half) for name, tensor in count.stored_tensors(model).items()
    )


def is_half(tensor: Tensor) -> bool:
    """Whether half precision holds all of its values exactly."""
    return torch.equal(tensor.half().to(tensor.dtype), tensor)


def is_packed_whole(tensor: Tensor) -> bool:
    """Whether a file has it in the bits of its largest number: whole numbers, none of them negative."""
    return tensor.dtype in _WHOLE and tensor.numel() > 0 and (tensor.dtype == torch.bool or int(tensor.min()) >= 0)


def bits_of(whole: Tensor) -> int:
    """Bits that the largest of these numbers needs; at least 1."""
    return max(1, int(whole.max()).bit_length()) if whole.numel() else 1


def form_of(mask: Tensor) -> tuple[Literal["bitmap", "gaps"], int, int]:
    """The cheaper form that says what a mask keeps, its bits a number, and its numbers."""
    gaps = gaps_of(mask)
    bits = bits_of(gaps)
    return ("gaps", bits, gaps.numel()) if bits * gaps.numel() < mask.numel() else ("bitmap", 1, mask.numel())


def gaps_of(mask: Tensor) -> Tensor:
    """From one kept value to the next, so at least 1; the first is counted from just before the beginning."""
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
