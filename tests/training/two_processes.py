"""Two processes that call functions of tests together, as one group of `bench.training.distributed`."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from bench.training.distributed import Distributed

# Calls a function with the group and what else is given in each process; what it returned there, in their order.
Both = Callable[..., list[Any]]

_group: Distributed | None = None


@contextmanager
def both(folder: Path) -> Iterator[Both]:
    """The processes meet at a file in the folder."""
    context = multiprocessing.get_context("spawn")
    pools = [
        ProcessPoolExecutor(1, context, initializer=_begin, initargs=(str(folder / "meeting"), rank))
        for rank in range(2)
    ]

    def call(function: Callable[..., Any], *arguments: Any) -> list[Any]:
        waited = [pool.submit(_call, function, *arguments) for pool in pools]
        return [one.result(timeout=120) for one in waited]

    try:
        yield call
        call(Distributed.leave)
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(meeting: str, rank: int) -> None:
    global _group
    torch.set_num_threads(1)
    _group = Distributed(dist.FileStore(meeting, 2), rank, 2, torch.device("cpu"))


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    assert _group is not None
    return function(_group, *arguments)
