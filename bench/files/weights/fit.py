"""Fits tensors of a file to a network: removes prefixes that wrappers add to names, and converts types.

One line says which tensors don't fit.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from bench import training_only
from bench.errors import InputError
from bench.files.weights.words import EXAMPLES, and_more, few, shape, short

# Modules that torchvision's networks, and files of their weights, only have for training.
_TRAINING_ALONE = ("aux1.", "aux2.", "AuxLogits.")
# Batch norm's count of batches, which has no effect with a momentum. Older files lack it.
_COUNTER = "num_batches_tracked"


def renamed(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """The tensors by the names that the network uses.

    Wrappers put a prefix (`module.`, `_orig_mod.`, `model.`, `backbone.`) before all names. The prefix is removed if
    more names then match the network's. A few names may lack the prefix.
    """
    found = [{name: tensor for name, tensor in tensors.items() if name != "n_averaged" or name in wanted}]
    compiled = {re.sub(r"(?:(?<=^)|(?<=\.))_orig_mod\.", "", name): tensor for name, tensor in found[0].items()}
    found.append(compiled)
    while prefix := _prefix(found[-1]):
        names = {name: name.removeprefix(prefix) for name in found[-1]}
        # No tensor replaces another with the same name.
        found.append({name if new in names else new: found[-1][name] for name, new in names.items()})
    return max(found, key=lambda names: len(names.keys() & set(wanted)))  # the first of equally good ones


def _prefix(names: Collection[str]) -> str:
    """The part before the first dot that more than half of the names share; empty if there is none."""
    firsts = Counter(name.partition(".")[0] + "." for name in names if "." in name)
    (first, times), *_ = firsts.most_common(1) or [("", 0)]
    return first if 2 * times > len(names) else ""


def fitted(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    any_shape: Collection[str],
    what: str,
    may_lack: Collection[str] = (),
) -> tuple[dict[str, Tensor], list[str]]:
    """All tensors of a state_dict of `network`, by its names and with its types, and notes on the changes to them.

    Tensors named in `any_shape` may have another shape. Tensors named in `may_lack` may be missing; then they are the
    network's own, and so are those of a training-only module that is missing as a whole. Raises InputError, whose
    message begins with `what`, if tensors are missing, left over or of another shape.
    """
    state = network.state_dict()
    found = renamed(tensors, state.keys())
    notes = []
    fresh = lacking(found, network)
    if fresh:
        heads = ", ".join(
            name for name in training_only.names(network) if any(one.startswith(f"{name}.") for one in fresh)
        )
        notes.append(f"it has no {heads}; only training uses this, so it starts fresh from the seed")
    if dropped := [name for name in found.keys() - state.keys() if name.startswith(_TRAINING_ALONE)]:
        notes.append(f"{_counted(len(dropped), 'tensor')} of auxiliary classifiers left out: only training uses them")
    found = {name: tensor for name, tensor in found.items() if name not in dropped}
    for name in state.keys() - found.keys():
        if name.endswith(_COUNTER) or name in may_lack or name in fresh:
            found[name] = state[name]
    # Some writers keep only one of the names of a parameter that has two.
    for names in _shared(network):
        if known := [name for name in names if name in found]:
            found |= {name: found[known[0]] for name in names if name not in found}
    _require_fit(found, state, any_shape, what)
    kinds = sorted({str(found[name].dtype) for name in state if found[name].dtype != state[name].dtype})
    if kinds:
        floats = ", ".join(kind.removeprefix("torch.") for kind in kinds)
        notes.append(f"values of {floats} were converted to the network's type, usually float32")
    return {name: found[name].to(state[name].dtype) for name in state}, notes


def lacking(found: Collection[str], network: nn.Module) -> set[str]:
    """The names of a network's tensors in training-only modules of which the file holds nothing."""
    heads = training_only.names(network)
    absent = tuple(f"{head}." for head in heads if not any(name.startswith(f"{head}.") for name in found))
    return {name for name in network.state_dict() if name.startswith(absent)} if absent else set()


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and bytes. The same tensors give the same hash, whatever file they come from."""
    made = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        made.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()[:16]


def _require_fit(
    found: Mapping[str, Tensor], state: Mapping[str, Tensor], any_shape: Collection[str], what: str
) -> None:
    missing = [name for name in state if name not in found]
    more = [name for name in found if name not in state]
    shapes = [
        f"{short(name)} {shape(found[name])}, not {shape(state[name])}"
        for name in state
        if name in found and found[name].shape != state[name].shape and name not in any_shape
    ]
    whole = [
        name for name in state if name in found and state[name].is_floating_point() > found[name].is_floating_point()
    ]
    wrong = []
    if missing:
        wrong.append(f"{len(missing)} of {len(state)} tensors {_of(missing, 'is', 'are')} missing ({few(missing)})")
    if more:
        wrong.append(f"{len(more)} {_of(more, 'is', 'are')} left over ({few(more)})")
    if shapes:
        examples = "; ".join(shapes[:EXAMPLES]) + and_more(shapes)
        wrong.append(f"{len(shapes)} {_of(shapes, 'has', 'have')} another shape ({examples})")
    if whole:
        wrong.append(f"{len(whole)} {_of(whole, 'holds', 'hold')} whole numbers ({few(whole)})")
    if wrong:
        raise InputError(f"{what}: {'; '.join(wrong)}")


def _of(names: Sequence[str], verb: str, plural: str) -> str:
    return verb if len(names) == 1 else plural


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shared(network: nn.Module) -> Iterable[list[str]]:
    """Lists of names, one for each tensor that has several names."""
    names: dict[int, list[str]] = {}
    tensors = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    return (own for own in names.values() if len(own) > 1)
