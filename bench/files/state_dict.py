"""Reads weights as `{name: tensor}` from any ordinary file that torch.save or safetensors wrote of a state_dict.

The content tells the kind of file. This module finds the dict of weights and removes prefixes that wrappers add to
names. One line says which tensors don't fit the network. Nothing in a file is ever run.
"""

import hashlib
import pickle
import pickletools
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bench import training_only
from bench.errors import MALFORMED, InputError, first_line
from bench.files.zip_entries import damaged_entry
from bench.store.printable import one_line

# Keys under which training scripts save a state_dict, beside the epoch and the optimiser's state. Averages over the
# training (EMA) come first, since they are the weights to evaluate and deploy.
_AVERAGED = ("state_dict_ema", "model_ema", "model_ema_state_dict", "ema_state_dict", "ema_model", "params_ema", "ema")
_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights", "module")
# Dicts may be nested: {"ema": {"module": {...}}}.
_DEEPEST = 3
# Modules that torchvision's networks, and files of their weights, only have for training.
_TRAINING_ALONE = ("aux1.", "aux2.", "AuxLogits.")
# Batch norm's count of batches, which has no effect with a momentum. Older files lack it.
_COUNTER = "num_batches_tracked"
# The number of names given as examples, and the most letters of each.
_NAMED, _LETTERS = 3, 60
SAVE = "torch.save(network.state_dict(), FILE)"


@dataclass(frozen=True)
class StateDict:
    """The tensors of a file, on the CPU. `under` is the key of the wrapper in which they were found, "" if there was
    none. `notes` tell the user how they were found."""

    tensors: Mapping[str, Tensor]
    under: str
    notes: tuple[str, ...] = ()


def read(path: Path) -> StateDict:
    """The weights in a file. Raises InputError if it holds anything else."""
    found = _found(_content(path), path)
    require_values(found.tensors, path)
    for name, tensor in found.tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = "quantised" if tensor.is_quantized else str(tensor.dtype if tensor.is_complex() else tensor.layout)
            raise InputError(f"{path} can't be used: {_short(name)} is {kind}; save it as an ordinary tensor")
        values = tensor.float() if tensor.is_floating_point() else tensor
        if wrong := int((~torch.isfinite(values)).sum()):
            raise InputError(
                f"{path} can't be used: {wrong:,} of {tensor.numel():,} values of {_short(name)} are NaN or infinite"
            )
    return found


def require_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError if a tensor of a file has a shape but not all of its values."""
    for name, tensor in tensors.items():
        if tensor.device.type == "meta":
            raise InputError(f"{path} can't be used: {_short(name)} is on torch's meta device, and has no values")
        if tensor.layout != torch.strided:
            continue
        kept = tensor.untyped_storage().nbytes() // tensor.element_size()
        if tensor.numel() > kept:  # such as expand() makes: a few bytes can declare more values than memory holds
            raise InputError(
                f"{path} can't be used: {_short(name)} is {shape(tensor)}, and the file holds {kept:,} of these "
                f"{tensor.numel():,} values (an expanded view); save its .contiguous()"
            )


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
        f"{_short(name)} {shape(found[name])}, not {shape(state[name])}"
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
        examples = "; ".join(shapes[:_NAMED]) + _more(shapes)
        wrong.append(f"{len(shapes)} {_of(shapes, 'has', 'have')} another shape ({examples})")
    if whole:
        wrong.append(f"{len(whole)} {_of(whole, 'holds', 'hold')} whole numbers ({few(whole)})")
    if wrong:
        raise InputError(f"{what}: {'; '.join(wrong)}")


def shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def few(names: Sequence[str]) -> str:
    """A few of the names as examples."""
    return ", ".join(map(_short, names[:_NAMED])) + _more(names)


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""


def _short(name: object) -> str:
    return one_line(str(name)[:_LETTERS] + ("..." if len(str(name)) > _LETTERS else ""))


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


def _found(content: Any, path: Path) -> StateDict:
    """The state_dict in the content of a file. Raises InputError."""
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not a state_dict; save one by {SAVE}")
    averaged, plain = ([name for name in names if _within(content.get(name))] for names in (_AVERAGED, _PLAIN))
    if not averaged and len(plain) > 1:
        raise InputError(f"{path} holds several networks ({', '.join(plain)}); save only the right one by {SAVE}")
    if averaged or plain:
        (name, *_) = [*averaged, *plain]
        notes = []
        if averaged and plain:
            notes.append(
                f"it holds averaged weights (EMA, under {name}) and plain ones (under {', '.join(plain)}); the "
                "averaged ones are used, since they are the ones to evaluate and deploy"
            )
        return StateDict(_tensors(_within(content[name])), name, tuple(notes))
    tensors = _tensors(content)
    if not tensors:
        raise InputError(f"{path} holds no weights of a network{_instead(content)}; save them by {SAVE}")
    others = [str(name) for name in content if name not in tensors]
    return StateDict(tensors, "", (f"left out, since they are not tensors: {few(others)}",) if others else ())


def _within(value: Any, depth: int = 1) -> Mapping[str, Any] | None:
    """The dict of tensors that `value` is, or that it holds under a wrapper's key; None if there is none."""
    if not isinstance(value, Mapping):
        return None
    if depth < _DEEPEST:
        for name in (*_AVERAGED, *_PLAIN):
            if found := _within(value.get(name), depth + 1):
                return found
    return value if _tensors(value) else None


def _tensors(content: Mapping[Any, Any] | None) -> dict[str, Tensor]:
    return {
        name: value.detach()
        for name, value in (content or {}).items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _instead(content: Mapping[Any, Any]) -> str:
    """The content instead of weights, in a few words."""
    names = [str(name) for name in content]
    if any("optim" in name.lower() for name in names) or {"state", "param_groups"} <= set(names):
        return f", but an optimiser's state ({few(names)})"
    return f" ({few(names)})" if names else ": it is an empty dict"


def _content(path: Path) -> Any:
    """The content of the file: tensors, numbers and text. Raises InputError."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or type(error).__name__}") from error
    # The header of a safetensors file is JSON after its length in eight bytes. A zip file and a pickle begin with these
    # bytes.
    if start[8:9] == b"{":
        return _safetensors(path)
    if start[:2] == b"PK":
        _require_saved_by_torch(path)
        return _pickled(path)
    if start[:1] == b"\x80":
        return _pickled(path)
    raise InputError(f"{path} {_kind(start)}; give a state_dict that torch.save or safetensors wrote")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} can't be read as safetensors: {first_line(error)}") from error


def _pickled(path: Path) -> Any:
    try:
        # Open the file here: from a path that ends in .safetensors, torch would read another format.
        with warnings.catch_warnings(), path.open("rb") as file:
            # torch warns of pickles that it did not write. The checks below decide by their content.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not torch's message: it advises to run the file's content.
        raise InputError(f"{path} {_of_code(path)}") from error
    except (*MALFORMED, EOFError, OSError) as error:
        raise InputError(f"{path} can't be read as a file of torch.save: it is cut short or damaged") from error


# The newest pickle protocol that torch reads without running anything.
_READ = 3


def _protocol(path: Path) -> int:
    """The protocol of a pickle, or of the pickle in a zip file of torch.save."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            start = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))[:2]
    else:
        with path.open("rb") as file:
            start = file.read(2)
    return start[1] if start[:1] == b"\x80" and len(start) > 1 else 0


def _require_saved_by_torch(path: Path) -> None:
    """Raise InputError for a zip file that torch.save did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        damaged = damaged_entry(path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{path} can't be read as a file of torch.save: it is cut short or damaged") from error
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise InputError(
            f"{path} is a TorchScript archive, which contains code; load it by torch.jit.load and save only its "
            f"weights: {SAVE}"
        )
    if "data.pkl" in ends:
        if damaged is not None:
            raise InputError(
                f"{path} is damaged: {_short(damaged)} in it doesn't match its checksum; fetch or copy it again"
            )
        return
    if any(name.endswith(".npy") for name in ends):
        kind = "holds arrays of NumPy (npz)"
    elif any(name.endswith(".h5") for name in ends):
        kind = "holds a network of Keras"
    elif any("exported_program" in name or name.startswith("archive/") for name in names) or "archive_format" in ends:
        kind = "is an exported program (pt2)"
    else:
        kind = "is a zip file that torch.save did not write"
    raise InputError(f"{path} {kind}; give a state_dict that torch.save or safetensors wrote")


def _kind(start: bytes) -> str:
    """The kind of a file that begins with these bytes, in a few words."""
    if not start:
        return "is empty"
    if start.startswith(b"\x89HDF"):
        return "is an HDF5 file, like those that Keras writes"
    if start.startswith(b"\x93NUMPY"):
        return "is an array of NumPy"
    if start.startswith(b"version https://git-lfs"):
        return "is only a pointer of Git LFS: fetch the file itself"
    if b'"weight_map"' in start or (start[:1] == b"{" and b"metadata" in start):
        return "is only an index of weights in several files: join those files"
    try:
        start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # the last letter may be cut off
            return "is neither a file of torch.save nor of safetensors"
    return "is a text file" if b"\0" not in start else "is neither a file of torch.save nor of safetensors"


def _of_code(path: Path) -> str:
    """Why a pickle was refused: the names of what it would have called. They are read from its instructions without
    running them."""
    called = list(dict.fromkeys(name for name in _called(path) if not name.startswith(_HARMLESS)))
    if not called and (protocol := _protocol(path)) > _READ:
        return (
            f"was saved with pickle's protocol {protocol}, which torch can't read without running its content; load "
            f"it on the machine that made it, and save it without pickle_protocol: {SAVE}"
        )
    if not called:
        return "is damaged, or holds more than tensors and numbers; bench runs no code of a file"
    own = [name for name in called if not name.startswith("torch.nn.")] or called
    if own != called or called[0].startswith("torch.nn."):
        return (
            f"holds a whole network, saved by torch.save(network), and loading it would run code ({few(own)}); load "
            f"it on the machine that made it, and save only its weights: {SAVE}"
        )
    return (
        f"would run code if it were loaded ({few(own)}), and bench runs no code of a file; if you trust it, load it "
        f"elsewhere and save only the weights: {SAVE}"
    )


# The names that a pickled state_dict uses.
_HARMLESS = ("torch._utils.", "torch._tensor.", "torch.storage.", "torch.nn.parameter.", "collections.OrderedDict")


def _called(path: Path) -> Iterator[str]:
    """The names that a pickle imports."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            content = archive.read(name)
    else:
        content = path.read_bytes()
    # The old format is several pickles in a row, followed by the bytes of the tensors.
    while content[:1] == b"\x80":
        names, end = _imports(content)
        yield from (name for name in names if not re.fullmatch(r"torch\.\w+", name))  # types and storages are harmless
        content = content[end:]


def _imports(content: bytes) -> tuple[list[str], int]:
    """The names that the first pickle of the content imports, and where that pickle ends. A damaged pickle has the
    names before the damage, and ends with the content."""
    names: list[str] = []
    texts: list[str] = []
    memo: dict[int, str] = {}
    memoised, is_text = 0, False
    try:
        for instruction, argument, place in pickletools.genops(content):
            if instruction.name == "GLOBAL":
                names.append(str(argument).replace(" ", "."))
            elif instruction.name == "STACK_GLOBAL":  # by the two texts before it, or what stands for them
                names.append(".".join(texts[-2:]))
            elif instruction.name == "MEMOIZE":
                if is_text:
                    memo[memoised] = texts[-1]
                memoised += 1
            elif instruction.name in ("BINGET", "LONG_BINGET") and argument in memo:
                texts.append(memo[argument])
            elif instruction.name == "STOP":
                return names, (place or 0) + 1
            is_text = isinstance(argument, str) and instruction.name != "GLOBAL"
            if is_text:
                texts.append(str(argument))
    except ValueError:  # damaged from here on
        pass
    return names, len(content)
