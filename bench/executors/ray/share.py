"""What a run is given of a node: cores, and a part of a GPU."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import ray
import torch

from bench.dataset import Data
from bench.executors.here import fit_on_gpu
from bench.plan.run import Run

# By name: of a node, as Ray has them.
Resources = Mapping[str, float]


@dataclass(frozen=True)
class Share:
    """`cpus` cores, of which `loaders` decode images that are streamed, and a GPU where `on_gpu` runs share it; 0: none
    is used."""

    cpus: int
    loaders: int = 0
    on_gpu: int = 0

    @classmethod
    def of(cls, nodes: Sequence[Resources], todo: Sequence[Run], data: Data, device: torch.device) -> Self:
        """For these runs on these nodes. As many share a GPU as one of this machine has room for; what cores they leave
        decode images."""
        threads = torch.get_num_threads()
        on_gpu = fit_on_gpu(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0
        least = cls(threads, 0, on_gpu)
        having = [node for node in nodes if least.fits(node)]
        if not data.is_streamed or not having:
            return least
        at_once = min(sum(map(least.fits, having)), len(todo))
        cpus = int(min(node["CPU"] for node in having)) // math.ceil(at_once / len(having))
        return cls(max(cpus, threads), max(cpus - threads, 0), on_gpu)

    def __str__(self) -> str:
        cores = f"{self.cpus} core{'' if self.cpus == 1 else 's'}"
        return f"{cores} and 1/{self.on_gpu} of a GPU" if self.on_gpu else cores

    @property
    def options(self) -> dict[str, Any]:
        """Of a task."""
        return {"num_cpus": self.cpus, "num_gpus": 1 / self.on_gpu if self.on_gpu else 0}

    def fits(self, node: Resources) -> int:
        """How many runs a node makes at once."""
        by_cores = int(node.get("CPU", 0)) // self.cpus
        return min(by_cores, int(node.get("GPU", 0)) * self.on_gpu) if self.on_gpu else by_cores

    def room(self) -> int:
        """How many runs the cluster makes at once, as it is now."""
        return sum(map(self.fits, self.nodes().values()))

    @staticmethod
    def nodes() -> dict[str, Resources]:
        """The resources of the nodes that are alive, by their ids."""
        return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
