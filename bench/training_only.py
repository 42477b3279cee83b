"""Parts of a network that only training uses, like auxiliary heads. They are not compressed, counted or stored.

The network's plugin names such modules (`bench.model.Model.training_only`), and the code that builds the network marks
them. They stay in the network during training, so that a method that changes channels also changes the inputs of these
modules. They are removed after training. So the deployed network and saved files never contain them.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

_MARK = "is_for_training_only"


def mark(network: nn.Module, names: Collection[str]) -> None:
    """Mark these submodules of a network. Raises ValueError for an unknown name, and for a submodule that also stands
    in another place."""
    modules = dict(network.named_modules(remove_duplicate=False))
    for name in names:
        if not name or name not in modules:
            raise ValueError(f"training_only names {name!r}, but the network has no such submodule")
        others = [other for other, module in modules.items() if module is modules[name] and other != name]
        if others:
            raise ValueError(f"training_only names {name!r}, which is also the submodule {others[0]!r}")
        setattr(modules[name], _MARK, True)


def names(network: nn.Module) -> list[str]:
    """The names of the marked submodules of a network."""
    return [name for name, module in network.named_modules(remove_duplicate=False) if hasattr(module, _MARK)]


def inside(network: nn.Module) -> set[nn.Module]:
    """The marked submodules, and all modules that stand only inside them."""
    outside: set[nn.Module] = set()
    waiting = [network]
    while waiting:
        module = waiting.pop()
        if module not in outside and not hasattr(module, _MARK):
            outside.add(module)
            waiting += module.children()
    return {module for name in names(network) for module in network.get_submodule(name).modules()} - outside


def tensors(network: nn.Module) -> set[str]:
    """The names, as in `state_dict`, of the tensors of marked submodules."""
    marked = tuple(f"{name}." for name in names(network))
    return {name for name in network.state_dict(keep_vars=True) if name.startswith(marked)} if marked else set()


def remove(network: nn.Module) -> None:
    """Set None in the places of the marked submodules."""
    for parent, own, _ in _places(network):
        setattr(parent, own, None)


@contextmanager
def left_out(network: nn.Module) -> Iterator[None]:
    """Remove the marked submodules for the duration of the block."""
    places = _places(network)
    remove(network)
    try:
        yield
    finally:
        for parent, own, module in places:
            setattr(parent, own, module)


def _places(network: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    return [
        (parent, own, module)
        for parent in network.modules()
        for own, module in parent._modules.items()
        if module is not None and hasattr(module, _MARK)
    ]
