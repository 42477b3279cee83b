"""Networks whose kernels are computed from something smaller: the mechanism that CSG and its relatives share."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Generator(nn.Module):
    """Computes parameters of a network: `forward()` returns `{parameter name: tensor}`, all of them at once."""

    def forward(self) -> dict[str, Tensor]:
        raise NotImplementedError


class GeneratedNetwork(nn.Module):
    """A network that runs, otherwise untouched, on the parameters that `generator` returns.

    The generated parameters are taken out of `network`, so that they are neither stored nor trained. Every forward pass
    calls the generator once; gradients reach it through the generated tensors.
    """

    def __init__(self, network: nn.Module, generator: Generator) -> None:
        super().__init__()
        self.network = network
        self.generator = generator
        with torch.no_grad():
            for name, tensor in generator().items():
                module, parameter = _owner(network, name)
                old = module._parameters[parameter]
                if old is None or old.shape != tensor.shape:
                    shape = None if old is None else tuple(old.shape)
                    raise ValueError(f"{name} has shape {shape}, but {tuple(tensor.shape)} is generated")
                module._parameters[parameter] = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return functional_call(self.network, self.generator(), args, kwargs)

    def materialise(self) -> nn.Module:
        """A copy as a plain network, with the generated parameters as its own."""
        network = copy.deepcopy(self.network)
        with torch.no_grad():
            for name, tensor in self.generator().items():
                module, parameter = _owner(network, name)
                module._parameters[parameter] = nn.Parameter(tensor.detach().clone())
        return network


def _owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, parameter = name.rpartition(".")
    return network.get_submodule(path), parameter
