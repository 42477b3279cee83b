"""Every generator that code may draw from without being given one: torch's, Python's and NumPy's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed all three, for good."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # NumPy takes no larger one


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all three, and give them back as they were. (On the CPU: networks and methods are made there.)"""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seed_all(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
