"""A backbone in the compressed form that a finished run's method stored. A run of the same method can start from it."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench import count
from bench.files.weights.words import shape
from bench.method import Compressed

Layers = Mapping[str, Mapping[str, Tensor]]

# How far the kernels of one compressed form may differ, relative to their norm: sums may be added in another order.
_ROUNDING = 1e-4


class Misfit(ValueError):
    """A network can't start from the compressed backbone; the message says why."""


@dataclass(frozen=True)
class CompressedBackbone:
    """The compressed backbone of the run `name`, for the submodule `backbone` of other networks.

    `identity` is a hash of the run's file. `layers` has the tensors that the run's `method` stores for each layer
    (`bench.method.Compressed.layer_tensors`), by the layer's name in the backbone. `seeds` are the further seeds that
    its kernels depend on. `kernels` are the full kernels, by their names in the backbone.
    """

    name: str
    method: str
    identity: str
    backbone: str
    seeds: Sequence[int] = ()
    layers: Layers = field(default_factory=dict, compare=False, repr=False)
    kernels: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    def start(self, make: Callable[[Sequence[int]], Compressed]) -> tuple[Compressed, str]:
        """A compressed network that starts from this backbone, and "". If that is impossible, a network made without
        it, and the reason.

        `make` compresses a fresh network whose backbone has the full kernels. The method's first seeds are those that
        `make` gets.
        """
        made = make(self.seeds)
        try:
            self.fill(made)
        except Misfit as error:
            return make(()), str(error)
        return made, ""

    def fill(self, compressed: Compressed) -> None:
        """Put the backbone's tensors into the network and leave the rest. Raises Misfit if the network's layers are
        stored in another form, would store another number of values, or would have other kernels. The network is
        unusable after a Misfit."""
        values = count.stored_values(compressed.network)
        pairs = list(self._pairs(compressed))
        with torch.no_grad():
            for own, given in pairs:
                own.copy_(given)
        # Have the method update everything that it computes from the tensors.
        compressed.load_state(compressed.state())
        if (filled := count.stored_values(compressed.network)) != values:
            raise Misfit(f"it would store {filled:,} values, not {values:,}")
        self._require_kernels(compressed)

    def _pairs(self, compressed: Compressed) -> Iterator[tuple[Tensor, Tensor]]:
        """Each tensor of the network's backbone that must be filled, with its new value. Raises Misfit."""
        frozen = {own.untyped_storage().data_ptr() for own in compressed.network.parameters() if not own.requires_grad}
        layers, inside = compressed.layer_tensors(), f"{self.backbone}."
        names = {
            layer: f"{layer}.".removeprefix(inside).rstrip(".") for layer in layers if f"{layer}.".startswith(inside)
        }
        mine = {name: layers[layer] for layer, name in names.items()}
        others = {id(own) for layer in layers.keys() - names.keys() for own in layers[layer].values()}
        found: dict[int, Tensor] = {}
        for layer, tensors in mine.items():
            theirs = self.layers.get(layer, {})
            for alone, where in (
                (theirs.keys() - tensors, "there but not here"),
                (tensors.keys() - theirs, "here but not there"),
            ):
                if alone:
                    raise Misfit(f"{layer} has {' and '.join(sorted(alone))} {where}")
            for name, own in tensors.items():
                given, what = theirs[name], f"{name} of {layer}"
                if own.shape != given.shape:
                    raise Misfit(f"{what} is {shape(given)} there and {shape(own)} here")
                if id(own) in others:
                    raise Misfit(f"layers outside the backbone use {what} too")
                if id(own) in found:
                    if found[id(own)] is not given:
                        raise Misfit(f"several layers share {what} here, but not there")
                    continue
                found[id(own)] = given
                if own.untyped_storage().data_ptr() not in frozen:
                    yield own, given
                elif not torch.equal(own.cpu(), given):
                    raise Misfit(f"{what} is not trained here, and has other values there")

    def _require_kernels(self, compressed: Compressed) -> None:
        """Raise Misfit if the tensors give other kernels, for example because kernels are cut into slices in another
        way."""
        made = copy.deepcopy(compressed).dense_state()
        for name, kernel in self.kernels.items():
            own = made.get(f"{self.backbone}.{name}", torch.zeros(()))
            if own.shape != kernel.shape or (own.cpu() - kernel).double().norm() > _ROUNDING * kernel.double().norm():
                raise Misfit(f"the same tensors would give another {name}")


def at_places(layers: Layers, places: Mapping[str, str]) -> dict[str, Mapping[str, Tensor]]:
    """The layers that have a place, and the layers inside them, by their names at that place."""
    found = {}
    for layer, tensors in layers.items():
        outer = layer
        while outer not in places and outer:
            outer = outer.rpartition(".")[0]
        if outer in places and (outer or not layer):  # an outer "" stands for the network itself
            inner = layer.removeprefix(outer).lstrip(".")
            found[".".join(filter(None, (places[outer], inner)))] = tensors
    return found


def copied(layers: Layers) -> dict[str, dict[str, Tensor]]:
    """Copies of the tensors on the CPU. A tensor that several layers share is one object in the copies too."""
    copies: dict[int, Tensor] = {}
    for own in (own for tensors in layers.values() for own in tensors.values()):
        if id(own) not in copies:
            copies[id(own)] = own.detach().cpu().clone()
    return {layer: {name: copies[id(own)] for name, own in tensors.items()} for layer, tensors in layers.items()}
