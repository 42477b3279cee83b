"""The generator of another run's network, which CSG takes as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import BudgetError, InputError
from bench.files import network_file
from bench.kernels.combinations import SliceGroup
from bench.methods.csg.generator import Structure


@dataclass(frozen=True)
class Reused:
    """The generators of another run's network, by kernel size."""

    path: Path
    slice: tuple[int, int]
    slices_cut: Mapping[str, tuple[int, int]]
    slices: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "Reused":
        """The generators in a file. Raises InputError if the file holds no CSG network with a stored generator."""
        saved = network_file.read(path)
        suffix, prefix = ".slices", "generator.groups."
        found = {
            name.removeprefix(prefix).removesuffix(suffix): tensor
            for name, tensor in saved.tensors.items()
            if name.startswith(prefix) and name.endswith(suffix)
        }
        try:
            structure = Structure.of(saved.description.steps[0].structure) if found else None
        except ValueError as error:
            raise InputError(f"{path} can't be reused: {error}") from error
        if structure is None or structure.hidden:
            raise InputError(f"{path} holds no linear generator to reuse; give a csg run that learned one")
        return cls(path, structure.slice, structure.slices, found)

    def code(self, size: str, wanted: int | None) -> int:
        """The number of the generator's slices that are used. Raises BudgetError if there is no generator of this
        size."""
        if self._source(size) not in self.slices:
            raise BudgetError(f"{self.path} has generators for {', '.join(self.slices)}, and this network needs {size}")
        return len(self.slices[self._source(size)]) if wanted is None else wanted

    def slice_of(self, size: str) -> tuple[int, int]:
        return self.slices_cut.get(self._source(size), self.slice)

    def fill(self, group: SliceGroup, size: str) -> None:
        """Copy the slices into the group."""
        with torch.no_grad():
            group.slices.copy_(self.slices[self._source(size)][: group.length.whole])

    def _source(self, size: str) -> str:
        """The name of the generator to use: the one of this name, or else the one of the same kernel size."""
        return size if size in self.slices else size.partition("-")[0]
