"""Reads weights as `{name: tensor}` from any ordinary file that torch.save or safetensors wrote of a state_dict.

Training scripts save it beside other things, and under names of their own. This module finds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import InputError
from bench.files.weights.content import content_of
from bench.files.weights.words import SAVE, few, shape, short

# Keys under which training scripts save a state_dict, beside the epoch and the optimiser's state. Averages over the
# training (EMA) come first, since they are the weights to evaluate and deploy.
_AVERAGED = ("state_dict_ema", "model_ema", "model_ema_state_dict", "ema_state_dict", "ema_model", "params_ema", "ema")
_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights", "module")
# Dicts may be nested: {"ema": {"module": {...}}}.
_DEEPEST = 3


@dataclass(frozen=True)
class StateDict:
    """The tensors of a file, on the CPU. `under` is the key of the wrapper in which they were found, "" if there was
    none. `notes` tell the user how they were found."""

    tensors: Mapping[str, Tensor]
    under: str
    notes: tuple[str, ...] = ()


def read(path: Path) -> StateDict:
    """The weights in a file. Raises InputError if it holds anything else."""
    found = _found(content_of(path), path)
    require_values(found.tensors, path)
    for name, tensor in found.tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = "quantised" if tensor.is_quantized else str(tensor.dtype if tensor.is_complex() else tensor.layout)
            raise InputError(f"{path} can't be used: {short(name)} is {kind}; save it as an ordinary tensor")
        values = tensor.float() if tensor.is_floating_point() else tensor
        if wrong := int((~torch.isfinite(values)).sum()):
            raise InputError(
                f"{path} can't be used: {wrong:,} of {tensor.numel():,} values of {short(name)} are NaN or infinite"
            )
    return found


def require_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError if a tensor of a file has a shape but not all of its values."""
    for name, tensor in tensors.items():
        if tensor.device.type == "meta":
            raise InputError(f"{path} can't be used: {short(name)} is on torch's meta device, and has no values")
        if tensor.layout != torch.strided:
            continue
        kept = tensor.untyped_storage().nbytes() // tensor.element_size()
        if tensor.numel() > kept:  # such as expand() makes: a few bytes can declare more values than memory holds
            raise InputError(
                f"{path} can't be used: {short(name)} is {shape(tensor)}, and the file holds {kept:,} of these "
                f"{tensor.numel():,} values (an expanded view); save its .contiguous()"
            )


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
