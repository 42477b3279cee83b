"""The file of a dense network's state. The dense training before compression is done once for a seed, and kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from bench.store import seal
from bench.store.seal import Broken
from bench.store.store import Store, seal_beside
from bench.training.epoch import Epoch

FORMAT = 1
_KEY = "bench"


def keep(store: Store, prefix_id: str, model: nn.Module, history: Sequence[Epoch]) -> None:
    """Write the dense network's state and the epochs that led to it. Raises InputError if the disk won't take it."""
    # Copied, since two names may share a tensor, and safetensors takes no shared memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    header = {"format": FORMAT, "history": [epoch.row() for epoch in history]}
    store.write_sealed(store.prefix(prefix_id), save(tensors, metadata={_KEY: json.dumps(header)}))


def restore(path: Path, model: nn.Module) -> list[Epoch]:
    """Put the state into `model`, and return the epochs that led to it. Raises Broken if the file differs from its
    seal, has no seal, or has another format. `model` is unchanged then."""
    try:
        seal.read(seal_beside(path)).check(path.name, seal.read_file(path))
    except FileNotFoundError:
        raise Broken(f"{path.name} has no seal") from None
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {}).get(_KEY, "{}"))
        if header.get("format") != FORMAT:
            raise Broken(f"{path.name} has format {header.get('format', 0)}; this bench reads {FORMAT}")
        if strange := sorted(header.keys() - {"format", "history"}):
            raise Broken(f"{path.name} has the unknown field {strange[0]!r}")
        state = model.state_dict()
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(file.get_tensor(name))
    return [Epoch.of(row) for row in header["history"]]
