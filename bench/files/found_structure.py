"""A structure that another run found (channels kept by pruning, or masks), for a method that trains it from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench import count
from bench.errors import BudgetError, InputError
from bench.files import network_file
from bench.method import Context, Method

# In the structure of a run that was given one: the number of epochs in which it was found; None if unknown.
FOUND_IN = "found_in_epochs"


@dataclass(frozen=True)
class FoundStructure:
    """The result of another run: the structure in its file, the masks, and the shapes of all stored tensors. That run
    searched for the structure for `epochs` epochs in the network `model`; None if the number is unknown."""

    path: Path
    model: str
    epochs: int | None
    structure: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    masks: Mapping[str, Tensor] = field(repr=False)

    @classmethod
    def read(cls, path: Path, method: str) -> "FoundStructure":
        """Read the structure from a run of this method. Raises InputError."""
        saved = network_file.read(path)
        description = saved.description
        if description.methods != method:
            raise InputError(f"{path} is a run of {description.methods}; structure= takes a run of {method}")
        if saved.old is not None:
            raise InputError(f"{path} comes from version 0.1 and holds no structure; make that run again")
        structure = description.steps[0].structure
        return cls(
            path,
            description.model.text,
            # A run that was given its structure did not find it in its own epochs.
            structure.get(FOUND_IN, description.epochs),
            structure,
            {name: tuple(tensor.shape) for name, tensor in saved.tensors.items()},
            saved.masks,
        )

    def exceptions(self) -> str:
        """`Method.exceptions` of a method that trains this structure again."""
        epochs = "an unknown number of" if self.epochs is None else self.epochs
        return f"its structure was found before, in {epochs} epochs of {self.model}"

    def require_initial(self, context: Context) -> None:
        """Raise BudgetError unless training begins with initial weights."""
        if context.trained:
            raise BudgetError(
                f"the structure of {self.path.name} must be trained from the seed's initial weights, but this network "
                "has others; give no weights"
            )

    def require_same_network(self, network: nn.Module) -> None:
        """Raise BudgetError unless the network with this structure stores tensors of the same shapes as the run."""
        have = {
            name: tuple(tensor.shape)
            for name, tensor in (count.stored_tensors(network) | count.statistics(network)).items()
        }
        odd = sorted(name for name in have.keys() | self.shapes.keys() if have.get(name) != self.shapes.get(name))
        if odd:
            here, there = (
                "missing" if odd[0] not in shapes else "x".join(map(str, shapes[odd[0]])) or "one value"
                for shapes in (have, self.shapes)
            )
            raise BudgetError(
                f"{self.path.name} has the structure of another network ({self.model}): {odd[0]} is {there} there and "
                f"{here} here"
            )


class MayBeFound(Method):
    """A method with the option `structure`: a run of the same method whose structure it trains from scratch."""

    structure: Path | None

    def found(self, path: Path) -> FoundStructure:
        """The structure that the run found. Raises InputError if it can't be used."""
        raise NotImplementedError

    @property
    def sized_by_budget(self) -> bool:
        return self.structure is None

    def identity(self) -> str:
        if self.structure is None:
            return ""
        self.found(self.structure)  # an unusable run is refused before anything is trained
        return network_file.fingerprint(self.structure)

    def exceptions(self) -> str:
        return "" if self.structure is None else self.found(self.structure).exceptions()


def given_path(path: Path) -> Path:
    """The folder of the run that the option `structure` names; labels show the folder's name. Raises ValueError."""
    if not path.exists():
        raise ValueError(f"structure can't be {str(path)!r}: no such file; give the folder of another run")
    return network_file.folder_of(path)


def require_alone(method: Method, *others: str) -> None:
    """Raise ValueError if an option other than `structure` and these says how to find a structure."""
    for option in fields(method):
        value = getattr(method, option.name)
        if option.name not in ("structure", *others) and value != option.default:
            raise ValueError(f"structure= already decides what is kept; leave {option.name}={value} out")
