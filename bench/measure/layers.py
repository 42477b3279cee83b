"""The stored values, deployed values and multiply-accumulates of each layer."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from bench import count
from bench.generated import GeneratedNetwork

Row = dict[str, Any]


def values_by_module(network: nn.Module) -> dict[str, int]:
    """Stored values by the name of the module that holds them. A generated network uses the plain network's names."""
    found: dict[str, int] = {}
    inner = "network." if isinstance(network, GeneratedNetwork) else ""
    for name, values in count.values_by_tensor(network).items():
        module = name.removeprefix(inner).rpartition(".")[0]
        found[module] = found.get(module, 0) + values
    return found


def rows(stored: Mapping[str, int], deployed: nn.Module, macs_by_module: Mapping[str, int]) -> list[Row]:
    """A row for each module that stores values, is deployed with values, or computes. The modules inside it are not
    included.

    `stored` is the result of `values_by_module` before the network was finished. `macs_by_module` is the result of
    `bench.count.macs_by_module` for the deployed network.
    """
    materialised = values_by_module(deployed)
    macs = dict(macs_by_module)
    for name, module in deployed.named_modules():
        # Go from the outside in: the numbers of inner modules still include the modules inside them.
        inside = (f"{name}.{child}" if name else child for child, _ in module.named_children())
        macs[name] = macs.get(name, 0) - sum(macs.get(child, 0) for child in inside)
    # The deployed network has no generators.
    modules = [name for name, _ in deployed.named_modules()]
    names = [*(name for name in stored if name not in modules), *modules]
    listed = [
        {
            "layer": name,
            "stored_values": stored.get(name, 0),
            "materialised_values": materialised.get(name, 0),
            "macs": macs.get(name, 0),
        }
        for name in names
    ]
    return [row for row in listed if row["stored_values"] or row["materialised_values"] or row["macs"]]
