"""The dense training that comes before a method compresses: made once for a seed, and kept for all that start there."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from bench.store.store import Store
from bench.training.loop import Epoch

_KEY = "history"


def keep(store: Store, prefix_id: str, model: nn.Module, history: Sequence[Epoch]) -> None:
    """Write the dense network's state and the epochs that led to it. Raises InputError where the disk won't take it."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    rows = json.dumps([epoch.row() for epoch in history])
    store.write(store.prefix(prefix_id), save(tensors, metadata={_KEY: rows}))


def restore(path: Path, model: nn.Module) -> list[Epoch]:
    """Put the state into `model` and give the epochs that led to it."""
    with safe_open(path, framework="pt") as file:
        rows = json.loads(file.metadata()[_KEY])
        state = model.state_dict()
        with torch.no_grad():
            for name, tensor in state.items():
                tensor.copy_(file.get_tensor(name))
    return [Epoch(**row) for row in rows]
