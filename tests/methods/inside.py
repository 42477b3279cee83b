"""What tests look at in networks whose kernels are generated."""

from typing import TypeVar

from torch import Tensor

from bench.generated import GeneratedNetwork, Generator, Generators
from bench.method import Compressed

Kind = TypeVar("Kind", bound=Generator)


def generator_of(made: Compressed, kind: type[Kind]) -> Kind:
    """What its kernels come from."""
    assert isinstance(made.network, GeneratedNetwork)
    assert isinstance(made.network.generator, kind)
    return made.network.generator


def groups_of(made: Compressed, kind: type[Kind]) -> dict[str, Kind]:
    """The same by name, where there are several: one for each kernel size, say."""
    groups = generator_of(made, Generators).groups
    return {name: group for name, group in groups.items() if isinstance(group, kind)}


def kernels_of(made: Compressed) -> dict[str, Tensor]:
    """By parameter name."""
    kernels: dict[str, Tensor] = generator_of(made, Generator)()
    return kernels
