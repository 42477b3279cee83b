"""Packs tensors for an artifact's file in the fewest bytes that hold them exactly.

* Floating-point values are stored in half precision if it holds them exactly.
* Whole numbers (such as indices into a codebook) have as few bits as the largest needs. Booleans have one bit.
* Of a masked tensor only the kept values are stored, and their places: as a bitmap or as the gaps between them,
  whichever is smaller. Gaps have as few bits as the largest needs.

`pack` gives plain tensors and a JSON-able layout, by tensor name. `unpack` is its inverse.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy
import torch
from torch import Tensor

from bench.measure.packed_size import bits_of, form_of, gaps_of, is_half, is_packed_whole

# In a file, the mask of `conv.weight` has the name `conv.weight:mask`. No parameter's name has a colon.
MASK = ":mask"


def pack(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Pack `tensors`, which are on the CPU, by name. `masks` (bool) has the masks of the masked ones.

    Raises ValueError if a value outside of its mask is not zero.
    """
    packed: dict[str, Tensor] = {}
    layout: dict[str, Any] = {}
    for name, tensor in tensors.items():
        # Contiguous: channels last is only the memory format for computing.
        tensor = tensor.contiguous()
        if name in masks:
            mask = masks[name].cpu().contiguous()
            if tensor[~mask].any():
                raise ValueError(f"{name} has values other than zero outside of its mask")
            packed[name + MASK], layout[name] = _pack_mask(mask)
            tensor = tensor[mask]
        if tensor.dtype == torch.float32:
            tensor = tensor.half() if is_half(tensor) else tensor
        elif is_packed_whole(tensor):
            layout[name] = {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
            layout[name]["bits"] = bits_of(tensor)
            tensor = _pack_bits(tensor.flatten(), layout[name]["bits"])
        packed[name] = tensor
    return packed, layout


# The most values in one tensor: more than in any network here. A larger tensor of zeros could use up all memory.
_MOST = 2**30


def unpack(packed: Mapping[str, Tensor], layout: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the tensors and the masks. Raises ValueError, TypeError or LookupError if the layout doesn't fit."""
    tensors = {name: tensor for name, tensor in packed.items() if not name.endswith(MASK)}
    masks: dict[str, Tensor] = {}
    for name, have in layout.items():
        shape, bits = torch.Size(have["shape"]), int(have["bits"])
        if shape.numel() > _MOST:
            raise ValueError(f"{name} declares {shape.numel():,} values and holds {packed[name].numel():,}")
        if "dtype" in have:
            whole = _unpack_bits(packed[name], bits, shape.numel())
            tensors[name] = whole.to(getattr(torch, have["dtype"])).view(shape)
            continue
        values = packed[name]
        if have["mask"] == "bitmap":
            mask = _unpack_bits(packed[name + MASK], 1, shape.numel()).bool()
        else:
            mask = torch.zeros(shape.numel(), dtype=torch.bool)
            mask[_unpack_bits(packed[name + MASK], bits, values.numel()).cumsum(0) - 1] = True
        masks[name] = mask.view(shape)
        tensors[name] = values.new_zeros(shape).masked_scatter(masks[name], values)
    return tensors, masks


def _pack_mask(mask: Tensor) -> tuple[Tensor, dict[str, Any]]:
    form, bits, _ = form_of(mask)
    numbers = gaps_of(mask) if form == "gaps" else mask.flatten()
    return _pack_bits(numbers, bits), {"shape": list(mask.shape), "mask": form, "bits": bits}


def _pack_bits(whole: Tensor, bits: int) -> Tensor:
    """Numbers `(n,)` as bytes `(ceil(n bits / 8),)`, lowest bits first."""
    width = math.ceil(bits / 8)
    packed = [numpy.empty(0, numpy.uint8)]
    for part in whole.split(_PACKED_AT_ONCE):
        octets = part.long().numpy().astype("<i8").view(numpy.uint8).reshape(-1, 8)[:, :width]
        columns = numpy.unpackbits(octets, axis=1, count=bits, bitorder="little")
        packed.append(numpy.packbits(columns, bitorder="little"))
    return torch.from_numpy(numpy.concatenate(packed))


# Unpacking uses a byte for each bit, so packing all numbers at once would use many times their memory. The limit is a
# multiple of 8, so that each part fills whole bytes.
_PACKED_AT_ONCE = 2**17


def _unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """The numbers that were packed, int64 `(count,)`."""
    if packed.dtype != torch.uint8 or packed.numel() != math.ceil(bits * count / 8) or not 1 <= bits <= 63:
        raise ValueError(f"{packed.numel()} values of {packed.dtype} don't hold {count} numbers of {bits} bits")
    columns = numpy.unpackbits(packed.numpy(), count=bits * count, bitorder="little").reshape(count, bits)
    octets = numpy.zeros((count, 8), numpy.uint8)
    octets[:, : math.ceil(bits / 8)] = numpy.packbits(columns, axis=1, bitorder="little")
    return torch.from_numpy(octets.view("<i8").astype(numpy.int64).reshape(count))
