"""Methods that count several values as one, and some that are honest and look like it: for the conformance kit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.generated import Generator, on_generated
from bench.method import Compressed, Context, Method
from bench.selection import main_convolutions

_BITS = 31
_LOW = 11


class Packed(Generator):
    """All kernels as one vector, made of what is stored."""

    def __init__(self, shapes: Mapping[str, torch.Size], how: str) -> None:
        super().__init__()
        self.shapes = shapes
        self.how = how
        self.size = sum(shape.numel() for shape in shapes.values())
        random = torch.Generator().manual_seed(1)
        self.register_buffer("drawn", 0.1 * torch.randn(self.size, generator=random), persistent=False)
        numbers = -(-self.size // _BITS)
        if how in ("bits", "gray"):
            self.register_buffer("codes", torch.randint(1, 2**_BITS - 1, (numbers,), generator=random).int())
        elif how in ("bytes", "table"):
            self.register_buffer("codes", torch.randint(2 if how == "bytes" else 16, (self.size,)).to(torch.uint8))
            self.table = nn.Parameter(torch.randn(16, generator=random) / 10)
        elif how == "places":
            self.values = nn.Parameter(torch.randn(numbers, generator=random) / 10)
            self.register_buffer("codes", torch.randperm(self.size, generator=random)[:numbers])
        elif how == "mantissas":
            self.values = nn.Parameter(torch.randn(-(-self.size // 2), generator=random) / 10)
        else:
            self.values = nn.Parameter(torch.randn(self.size, generator=random) / 10)

    def forward(self) -> dict[str, Tensor]:
        parts = self.flat()[: self.size].split([shape.numel() for shape in self.shapes.values()])
        return {
            f"{name}.weight": part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def flat(self) -> Tensor:
        match self.how:
            case "bits":
                return self.drawn * unpacked(self.codes)[: self.size]
            case "gray":
                codes = self.codes
                for shift in (1, 2, 4, 8, 16):
                    codes = codes ^ (codes >> shift)
                return self.drawn * unpacked(codes)[: self.size]
            case "bytes":
                return self.drawn * self.codes + 0 * self.table.sum()
            case "table":
                return self.table.index_select(0, self.codes.int())
            case "places":
                return torch.zeros_like(self.drawn).index_add(0, self.codes, self.values)
            case "mantissas":
                hidden = self.values.detach().view(torch.int32) % 2**_LOW
                return torch.cat([self.values, hidden / 2**_LOW - 0.5])
            case "rectified":
                return functional.relu(self.values) * self.drawn
        return self.values


def unpacked(codes: Tensor) -> Tensor:
    """One number for each bit."""
    return ((codes[:, None] >> torch.arange(_BITS)) & 1).flatten()


class PackedConv2d(nn.Conv2d):
    """Unpacks its mask whenever it is used, also once it is deployed."""

    def pack(self) -> "PackedConv2d":
        random = torch.Generator().manual_seed(2)
        drawn = self.weight.detach().clone()
        del self._parameters["weight"]
        self.register_buffer("drawn", drawn, persistent=False)
        numbers = -(-drawn.numel() // _BITS)
        self.register_buffer("codes", torch.randint(1, 2**_BITS - 1, (numbers,), generator=random).int())
        return self

    def forward(self, x: Tensor) -> Tensor:
        mask = unpacked(self.codes)[: self.drawn.numel()].view(self.drawn.shape)
        return functional.conv2d(x, self.drawn * mask, self.bias, self.stride, self.padding)


@dataclass(frozen=True)
class PackedMethod(Method):
    """Kernels from numbers that hold one value each, or several."""

    how: Annotated[str, "how values are stored"] = "bits"

    sized_by_budget = False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return self.rebuild(network, {}, context)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        convolutions = main_convolutions(network)
        if self.how == "layers":
            for conv in convolutions.values():
                conv.__class__ = PackedConv2d
                conv.pack()
            return Compressed(network)
        shapes = {name: conv.weight.shape for name, conv in convolutions.items()}
        return Compressed(on_generated(network, Packed(shapes, self.how)))
