"""A method for tests whose values are masks over random weights: one bit each, and as many as there were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from bench.generated import Generator, on_generated
from bench.method import Compressed, Context, Method
from bench.selection import EVERY_LAYER, layers_called, select


@dataclass(frozen=True)
class MaskedRandom(Method):
    """Of each kernel the first `share` are random numbers, of which a mask keeps those that have the weight's sign."""

    share: Annotated[float, "of each kernel's values"] = 1.0
    sized_by_budget = False
    sized_by_bytes = True

    def sizes(self, network: nn.Module) -> Sequence[Mapping[str, Any]]:
        return [{"share": 1 - step / 1000} for step in range(1000)]

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        layers = select(network, EVERY_LAYER)
        structure = {name: round(self.share * layer.weight.numel()) for name, layer in layers.items()}
        weights = {name: layer.weight.detach().clone() for name, layer in layers.items()}
        made = self.rebuild(network, structure, context)
        kernels = made.network.get_submodule("generator")
        assert isinstance(kernels, Kernels)
        for name, weight in weights.items():
            kernels.fill(name, weight)
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        layers = layers_called(network, structure)
        shapes = {name: tuple(layer.weight.shape) for name, layer in layers.items()}
        return Compressed(on_generated(network, Kernels(shapes, structure)), structure)


class Kernels(Generator):
    """By layer, `masked` values are a random number each, or zero, and the rest are learned."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], masked: Mapping[str, int]) -> None:
        super().__init__()
        self.shapes, self.masked = shapes, masked
        for place, (name, shape) in enumerate(shapes.items()):
            number, random = masked[name], torch.Generator().manual_seed(place)
            self.register_buffer(f"random{place}", torch.randn(number, generator=random) / 8, persistent=False)
            self.register_buffer(f"mask{place}", torch.zeros(number, dtype=torch.bool))
            self.register_parameter(f"learned{place}", nn.Parameter(torch.zeros(torch.Size(shape).numel() - number)))

    def fill(self, name: str, weight: Tensor) -> None:
        place, flat = list(self.shapes).index(name), weight.flatten()
        random = self.get_buffer(f"random{place}")
        self.get_buffer(f"mask{place}").copy_(random * flat[: len(random)] > 0)
        with torch.no_grad():
            self.get_parameter(f"learned{place}").copy_(flat[len(random) :])

    def forward(self) -> dict[str, Tensor]:
        def kernel(place: int, shape: tuple[int, ...]) -> Tensor:
            masked = self.get_buffer(f"random{place}") * self.get_buffer(f"mask{place}")
            return torch.cat([masked, self.get_parameter(f"learned{place}")]).view(shape)

        return {f"{name}.weight": kernel(place, shape) for place, (name, shape) in enumerate(self.shapes.items())}

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": shape for name, shape in self.shapes.items()}
