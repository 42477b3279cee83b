"""Seeding for the generators that code may draw from without being given one: those of torch, Python and NumPy."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed all three generators, for good."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # NumPy takes no larger seed


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all three generators, and restore their states afterwards. (On the CPU only: networks and methods are made
    there.)"""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seed_all(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def state(device: torch.device) -> dict[str, Any]:
    """The states of all three generators, and of torch's on `device`: tensors, numbers and text, for `set_state`."""
    version, words, gauss = random.getstate()
    kind, key, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        **({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}),
        "python": [version, list(words), gauss],
        "numpy": [str(kind), np.asarray(key).tolist(), *rest],
    }


def set_state(stood: Mapping[str, Any], device: torch.device) -> None:
    """Restore the states of all three generators."""
    torch.set_rng_state(stood["torch"])
    if "cuda" in stood and device.type == "cuda":
        torch.cuda.set_rng_state(stood["cuda"], device)
    version, words, gauss = stood["python"]
    random.setstate((version, tuple(words), gauss))
    kind, key, *rest = stood["numpy"]
    np.random.set_state((kind, np.array(key, dtype=np.uint32), *rest))


# The purposes of random numbers, besides initial weights. No two purposes may share a generator.
ORDER, AUGMENT, LAYERS, WINDOWS, MIX, OPERATIONS, CORRUPTIONS, FLIPS = 0, 1, 2, 3, 4, 5, 6, 7


def mixed(seed: int, position: int, purpose: int) -> int:
    """One seed from a seed, an epoch or step, and a purpose."""
    # torch's CPU generator keeps the low 32 bits of its seed. The odd multipliers spread nearby seeds and positions
    # apart.
    return (seed * 0x9E3779B1 + position * 0x85EBCA77 + purpose * 0xC2B2AE3D) % 2**32


def generator(seed: int, position: int, purpose: int) -> torch.Generator:
    """A torch generator on the CPU, so that every device draws the same numbers."""
    return torch.Generator().manual_seed(mixed(seed, position, purpose))
