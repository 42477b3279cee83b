"""The share of a node that each run gets: cores, and a part of a GPU."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import ray
import torch

from bench.dataset import Data
from bench.executors.here import fit_on_gpu
from bench.plan.run import Run

# A node's resources by name, as Ray reports them.
Resources = Mapping[str, float]


@dataclass(frozen=True)
class Share:
    """`cpus` cores for each run, of which `loaders` decode streamed images. `on_gpu` runs share a GPU; 0: no GPU is
    used."""

    cpus: int
    loaders: int = 0
    on_gpu: int = 0

    @classmethod
    def of(cls, nodes: Sequence[Resources], todo: Sequence[Run], data: Data, device: torch.device) -> Self:
        """The share for these runs on these nodes. As many runs share a GPU as would fit on one of this machine. The
        cores that are left decode images."""
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
        """The options of a Ray task."""
        return {"num_cpus": self.cpus, "num_gpus": 1 / self.on_gpu if self.on_gpu else 0}

    def fits(self, node: Resources) -> int:
        """How many runs fit on a node at once."""
        by_cores = int(node.get("CPU", 0)) // self.cpus
        return min(by_cores, int(node.get("GPU", 0)) * self.on_gpu) if self.on_gpu else by_cores

    def room(self) -> int:
        """How many runs fit on the cluster at once, as it is now."""
        return sum(map(self.fits, self.nodes().values()))

    @staticmethod
    def nodes() -> dict[str, Resources]:
        """The resources of the nodes that are alive, by their ids."""
        return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
