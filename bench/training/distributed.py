"""Several processes as one group (`bench.training.group`), by torch.distributed.

Decisions of the loop go through gloo, directly between the processes, so they never wait for a GPU. Tensors go through
gloo between CPUs and through NCCL between GPUs.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch import distributed as dist

from bench.seeding import LAYERS, mixed, seed_all
from bench.task import Meter
from bench.training.batch_norm import OverAll
from bench.training.group import Group

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

# How long one process waits for another, which may be writing a large state to a slow disk.
PATIENCE = timedelta(minutes=10)
# torch 2.6 hangs if a group is destroyed while gloo's threads still hold its last tensors.
_SETTLING_SECONDS = 0.2

Result = TypeVar("Result")


class Unreachable(RuntimeError):
    """Another process has ended, has left the group, or doesn't answer."""


class Distributed(Group):
    """Processes that meet at a store of torch.distributed and each compute on their `device`.

    Gradients are added up after the backward pass, in one piece. DistributedDataParallel would start earlier, but it
    doesn't fit. It keeps references to parameters, which methods replace, and it wraps the network, which methods know.
    And if one generator makes all kernels, its gradients come last, so an early start gains nothing.

    Every method raises Unreachable.
    """

    def __init__(self, store: "Store", rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device
        # On GPUs, NCCL moves the tensors on the GPU, and gloo the others.
        backend = "gloo" if device.type == "cpu" else f"cpu:gloo,{device.type}:nccl"
        self._reached(
            lambda: dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        )

    def leave(self) -> None:
        """Leave the group for good. Processes that wait for this one raise Unreachable."""
        if dist.is_initialized():
            time.sleep(_SETTLING_SECONDS)
            dist.destroy_process_group()

    @contextmanager
    def as_one_batch(self, seed: int) -> Iterator[None]:
        seed_all(mixed(seed, 1 + self.rank, LAYERS))
        try:
            with OverAll(self._gathered):
                yield
        finally:
            seed_all(mixed(seed, 0, LAYERS))

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        own = [*parameters]
        anywhere = self.any(*(parameter.grad is not None for parameter in own))
        by_type: dict[torch.dtype, list[nn.Parameter]] = {}
        for parameter, has in zip(own, anywhere, strict=True):
            if has:
                by_type.setdefault(parameter.dtype, []).append(parameter)
        for alike in by_type.values():
            gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in alike]
            flat = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
            parts = flat.split([one.numel() for one in alike])
            for parameter, part in zip(alike, parts, strict=True):
                gradient = part.view_as(parameter)
                # Fused optimisers need the gradient and the parameter in the same memory order, also with channels
                # last.
                is_alike = gradient.stride() == parameter.stride()
                parameter.grad = gradient if is_alike else torch.empty_like(parameter).copy_(gradient)

    def total(self, value: int | Tensor) -> Tensor:
        found = torch.as_tensor(value).clone()
        self._reached(lambda: dist.all_reduce(found))
        return found

    def merged(self, meter: Meter, make: Callable[[], Meter]) -> Meter:
        # Clone each tensor: two names may share one.
        own = {name: value.cpu().contiguous().clone() for name, value in meter.sums.items()}
        whole = make()
        for sums in self._all(save(own)):
            other = make()
            other.sums = {name: value.to(self.device) for name, value in load(sums).items()}
            whole.merge(other)
        return whole

    def any(self, *asked: bool) -> tuple[bool, ...]:
        found = torch.tensor(asked, dtype=torch.uint8)
        self._reached(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return tuple(map(bool, found.tolist()))

    def wait(self) -> None:
        self.any(True)

    def largest(self, number: int) -> int:
        found = torch.tensor(number)
        self._reached(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return int(found)

    def require_same(self, network: nn.Module) -> None:
        found = hashlib.sha256()
        for tensor in (*network.parameters(), *network.buffers()):
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        hashes = self._all(found.digest())
        if others := [number for number, own in enumerate(hashes) if own != hashes[0]]:
            raise RuntimeError(
                f"the network of process {others[0]} no longer equals that of process 0; all processes need the same "
                "processor, versions and code"
            )

    def spread(self, content: bytes) -> bytes:
        """Process 0's value, for all processes; the values of the others are ignored."""
        length = torch.tensor(len(content))
        self._reached(lambda: dist.broadcast(length, 0))
        found = _padded(content if self.rank == 0 else b"", int(length))
        if length:
            self._reached(lambda: dist.broadcast(found, 0))
        return bytes(found.numpy())

    def _all(self, own: bytes) -> list[bytes]:
        """The values of all processes, in order of rank."""
        lengths = self._gathered(torch.tensor([len(own)])).flatten().tolist()
        rows = zip(self._gathered(_padded(own, max(lengths))), lengths, strict=True)
        return [bytes(row[:length].numpy()) for row, length in rows]

    def _gathered(self, own: Tensor) -> Tensor:
        """The tensors of all processes, all of one shape, in order of rank: `(processes, ...)`."""
        found = [torch.empty_like(own) for _ in range(self.size)]
        self._reached(lambda: dist.all_gather(found, own))
        return torch.stack(found)

    def _reached(self, do: Callable[[], Result]) -> Result:
        try:
            return do()
        except RuntimeError as error:
            raise Unreachable(f"another process can't be reached: {error}") from error


def _padded(content: bytes, length: int) -> Tensor:
    """The bytes as numbers, padded with zeros."""
    found = torch.zeros(length, dtype=torch.uint8)
    if content:
        found[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return found
