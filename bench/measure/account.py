"""Counting the values, bytes and computation of a compressed network, for runs, `bench footprint` and the conformance
kit.

compress -> to_size -> stored -> (training) -> deploy
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench import budget, count, training_only
from bench.budget import Requested
from bench.errors import BudgetError
from bench.measure import packed_size
from bench.measure.layers import Row, rows, values_by_module
from bench.method import Compressed, Context, Method, Resizable
from bench.seeding import seeded

Shape = tuple[int, int, int]  # of an image: (channels, height, width)


@dataclass(frozen=True)
class Stored:
    """The counts of a compressed network; `solved` has the numbers chosen for the budget."""

    stored_values: int
    counted_bytes: int
    statistics_values: int
    trained_values: int
    solved: Mapping[str, Any]

    def check(self, requested: Requested, trained: bool = False) -> None:
        """Raise BudgetError if the budget is not met. The tolerance for bytes is larger for a `trained` network."""
        requested.check(self.stored_values, self.counted_bytes, trained)


@dataclass(frozen=True)
class Deployed:
    """A deployed network and its counts.

    `generation_macs` are the multiply-accumulates that each forward pass in training adds to compute kernels. `layers`
    has a row for each layer.
    """

    network: nn.Module
    materialised_values: int
    macs: int
    generation_macs: int
    layers: list[Row]


def compress(
    method: Method,
    network: nn.Module,
    values: int | None,
    seed: int,
    trained: bool,
    family: str = "",
    find_resizable: Callable[[], Resizable] | None = None,
    account_only: bool = False,
    training_images: int = 0,
    seeds: Sequence[int] = (),
) -> Compressed:
    """Have the method compress `network`, with the random numbers of this seed.

    Raises BudgetError, also for a budget of more than the network stores, and for options that make the network larger.
    See Context for `account_only`, `training_images` and `seeds`.

    The global generators are seeded too: new layers draw their first weights from them.
    """
    dense_values = count.stored_values(network)
    if values is not None:
        budget.require_no_more(values, dense_values)
    with seeded(seed):
        if values is None:
            method.check_size(network, Context(torch.Generator().manual_seed(seed), trained, family, find_resizable))
        random = torch.Generator().manual_seed(seed)
        context = Context(random, trained, family, find_resizable, account_only, training_images, seeds)
        made = method.compress(network, values, context)
    compressed = require(made, "compress()")
    if values is None and method.at_size == "at once":
        _require_no_larger(compressed.network, dense_values)
    return compressed


def rebuild(method: Method, network: nn.Module, structure: Mapping[str, Any], family: str = "") -> Compressed:
    """Have the method make a network of the shape that `structure` describes, from a fresh network. Nothing in it is
    random."""
    with seeded(0):
        context = Context(torch.Generator().manual_seed(0), trained=False, family=family)
        made = method.rebuild(network, structure, context)
    return require(made, "rebuild()")


def require(made: object, what: str) -> Compressed:
    """Raise TypeError unless this is a Compressed; plugins for version 0.1 return a plain network."""
    if not isinstance(made, Compressed):
        raise TypeError(
            f"{what} returned {type(made).__name__}, not a Compressed; since version 0.2 it must "
            "`return Compressed(network, structure)` (bench.method)"
        )
    _require_module(made.network, f"the Compressed that {what} returned has as its network")
    return made


def _require_module(made: object, what: str) -> None:
    if not isinstance(made, nn.Module):
        raise TypeError(f"{what} {made!r:.80}, which is a {type(made).__name__}, not a torch.nn.Module")


def _require_no_larger(network: nn.Module, dense_values: int) -> None:
    """Raise BudgetError if the method's options make the network larger. Whole numbers don't count here: clustering
    keeps the number of weights, but stores each in a few bits."""
    tensors = count.stored_tensors(network)
    values = count.values_by_tensor(network)
    stored = sum(values[name] for name, tensor in tensors.items() if tensor.is_floating_point() or tensor.is_complex())
    if stored > dense_values:
        raise BudgetError(
            f"with these options it stores {stored:,} values, but the dense network only {dense_values:,}, so nothing "
            "is compressed; choose smaller options"
        )


def to_size(method: Method, compressed: Compressed) -> Compressed:
    """Bring the compressed network to its final size before any training. Use it on a network that is thrown away."""
    if method.at_size == "at the end":
        compressed.after_step(1.0)
    return compressed


def stored(compressed: Compressed, settled: bool = False) -> Stored:
    """Count the stored values of a network as it is now. For a `settled` network, check the promised rounding."""
    half = compressed.half
    if settled and half:
        tensors = count.stored_tensors(compressed.network)
        half = [name for name in half if name in tensors and packed_size.is_half(tensors[name].detach())]
    return Stored(
        stored_values=count.stored_values(compressed.network),
        counted_bytes=packed_size.counted_bytes(compressed.network, half),
        statistics_values=sum(tensor.numel() for tensor in count.statistics(compressed.network).values()),
        trained_values=count.trained_values(compressed.network),
        solved=dict(compressed.solved),
    )


def deploy(compressed: Compressed, image_shape: Shape) -> Deployed:
    """Finish the network, which may take it apart, and count the deployed network."""
    compressed.network.eval()
    training_only.remove(compressed.network)
    in_training = count.forward_macs(compressed.network, image_shape)
    of_layers = values_by_module(compressed.network)
    network = compressed.finish()
    _require_module(network, "finish() returned")
    network = network.eval()
    of_modules = count.macs_by_module(network, image_shape)
    macs = of_modules.get("", 0)
    return Deployed(
        network=network,
        materialised_values=count.stored_values(network),
        macs=macs,
        generation_macs=in_training - macs,
        layers=rows(of_layers, network, of_modules),
    )
