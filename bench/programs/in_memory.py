"""Compresses a network in a program's memory, for the program's own training loop."""

import copy
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import nn

from bench import budget as budgets
from bench import count
from bench.budget import Requested
from bench.errors import InputError, contained, typed_line
from bench.measure import account, in_bytes, packed_size
from bench.measure.resizable import traced_resizable
from bench.method import Compressed, Method, Resizable
from bench.models._usable import require_usable
from bench.plan.at_start import find_at_start
from bench.plan.spec import LARGEST_SEED
from bench.seeding import seeded


def compress(
    network: nn.Module,
    method: str | Method,
    budget: str | int | float | None = None,
    seed: int = 0,
    trained: bool = True,
    plugins: Sequence[str] = (),
) -> Compressed:
    """Compress a network: the implementation of `bench.compress`, whose docstring describes it."""
    require_module(network)
    seed = _seed(seed)
    if isinstance(plugins, str):
        raise InputError(f"plugins are a list of files; give plugins=[{plugins!r}]")
    require_usable(network)
    device = _device(network)
    chosen = _find(method, plugins)
    requested = _requested(chosen, network, budget)
    if chosen.needs_trained and not trained:
        raise InputError("the method compresses a trained network; train it first and give trained=True")

    def others() -> Resizable:
        return _resizable(network, seed, trained)

    def compressed_copy() -> Compressed:
        with contained():
            copied = _copy(network)
            made = in_bytes.compress(chosen, copied, requested, seed, trained, find_resizable=others)
        made.network.to(device)
        return made

    if chosen.at_size == "at the end":
        # Check on a copy whether the method reaches the size. The copy is dropped before the other is made, so that
        # there is only one in memory.
        with contained():
            reached = account.stored(account.to_size(chosen, compressed_copy()))
        reached.check(requested)
        made = compressed_copy()
    else:
        made = compressed_copy()
        account.stored(made).check(requested)
    made.network.train()
    return made


def require_module(network: object) -> None:
    """Raises InputError if `network` is not a network."""
    if not isinstance(network, nn.Module):
        raise InputError(f"the network must be a torch.nn.Module, not a {type(network).__name__}")


def _seed(seed: object) -> int:
    """A seed in the range that sweeps allow; NumPy's integers are accepted. Raises InputError."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= int(seed) <= LARGEST_SEED:
        raise InputError(f"seed can't be {seed!r}; it is a whole number from 0 to {LARGEST_SEED}")
    return int(seed)


def _find(method: str | Method, plugins: Sequence[str]) -> Method:
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        raise InputError(f"a method is text, such as 'csg:init=svd', or a Method, not a {type(method).__name__}")
    return find_at_start(method, plugins).method


def _requested(method: Method, network: nn.Module, budget: str | int | float | None) -> Requested:
    """The requested budget. Raises InputError if it is missing, not allowed, or of the wrong kind (values or bytes)."""
    if budget is None:
        if method.sized_by_budget:
            raise InputError("the method needs a budget, such as budget='4x'")
        return Requested()
    asked = budgets.parse(str(budget))
    if not (method.sized_by_bytes if asked.in_bytes else method.sized_by_budget):
        if method.sized_by_bytes:
            raise InputError(f"the method needs a budget in bytes, and {budget!r} is in values; give budget='4x-bytes'")
        raise InputError(f"the method's options fix its size; leave budget={budget!r} out")
    return asked.requested(count.stored_values(network), packed_size.counted_bytes(network))


def _device(network: nn.Module) -> torch.device:
    devices = {parameter.device for parameter in network.parameters()}
    if any(tensor.device.type == "meta" for tensor in (*network.parameters(), *network.buffers())):
        raise InputError(
            "the network is on torch's meta device, without values; give it memory and weights first (to_empty() and "
            "load_state_dict())"
        )
    if len(devices) > 1:
        raise InputError(f"the network is on several devices ({', '.join(sorted(map(str, devices)))}); move it to one")
    return devices.pop()


def _copy(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except Exception as error:
        raise InputError(f"the network can't be copied: {typed_line(error)}") from error


def _resizable(network: nn.Module, seed: int, trained: bool) -> Resizable:
    """The network at other widths. Raises BudgetError if no number of channels can change."""
    from bench.measure import widths  # torch-pruning takes more than a second to import

    return traced_resizable(lambda: _fresh(network, seed, trained), seed, widths.trace(_copy(network).cpu()))


def _fresh(network: nn.Module, seed: int, trained: bool) -> nn.Module:
    """A copy with initial weights. Each layer of torch draws its own again, since the code that made the network is not
    at hand."""
    made = _copy(network).cpu()
    if trained:
        with seeded(seed):
            for module in made.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
    return made
