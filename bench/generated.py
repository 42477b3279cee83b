"""Networks whose kernels are computed from something smaller: the mechanism that CSG and its relatives share."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.surgery import owners, tensors_by_module


class Generator(nn.Module):
    """Computes parameters of a network: `forward()` returns `{parameter name: tensor}`, all of them at once."""

    def forward(self) -> dict[str, Tensor]:
        raise NotImplementedError

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what `forward` returns. Computed for that, unless a subclass knows them."""
        with torch.no_grad():
            return {name: tuple(tensor.shape) for name, tensor in self().items()}

    def sources(self) -> dict[str, list[str]]:
        """The names of its own parameters that each parameter which it computes depends on. Autograd tells."""
        own = dict(self.named_parameters())
        frozen = [parameter for parameter in own.values() if not parameter.requires_grad]
        try:
            for parameter in frozen:
                parameter.requires_grad = True
            with torch.enable_grad():
                generated = self()
            found = {}
            for name, tensor in generated.items():
                reached = torch.autograd.grad(tensor.sum(), [*own.values()], retain_graph=True, allow_unused=True)
                found[name] = [source for source, gradient in zip(own, reached, strict=True) if gradient is not None]
            return found
        finally:
            for parameter in frozen:
                parameter.requires_grad = False

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        """What it stores for each layer that it generates, as `bench.method.Compressed.layer_tensors` says.

        Whole tensors, unless a subclass knows which rows of them are a layer's: the parameters that the layer's kernel
        depends on, and all persistent buffers.
        """
        own = self.state_dict(keep_vars=True)
        buffers = own.keys() - dict(self.named_parameters()).keys()
        return {
            name.rpartition(".")[0]: {source: own[source] for source in (*sources, *sorted(buffers))}
            for name, sources in self.sources().items()
        }


class Generators(Generator):
    """Several as one, by name: one for each kernel size, say."""

    def __init__(self, groups: Mapping[str, Generator]) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)

    def forward(self) -> dict[str, Tensor]:
        return {name: weight for group in self.groups.values() for name, weight in group().items()}

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for group in self._each() for name, shape in group.kernel_shapes().items()}

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        # Without the group's name: what makes a layer is the same whatever group it is in.
        return {layer: own for group in self._each() for layer, own in group.layer_tensors().items()}

    def _each(self) -> list[Generator]:
        return [group for group in self.groups.values() if isinstance(group, Generator)]


class GeneratedNetwork(nn.Module):
    """A network that runs, otherwise untouched, on the parameters that `generator` returns.

    The generated parameters are taken out of `network`, so that they are neither stored nor trained. In training, every
    forward pass calls the generator once; gradients reach it through the generated tensors. In eval mode without
    gradients they are computed once, in full precision, and reused until the generator's tensors change or the network
    goes back to training, so that inference costs what the plain network's does. (A change through `.data` is invisible
    to torch's version counters: call `train()` or `eval()` after one.) Where a graph is traced, by `torch.compile` or
    `torch.export`, they are computed in it: compile what `materialise` gives for deployment.

    The tensors are handed over through the modules, so one object is for one thread at a time: run copies in others,
    and several GPUs by DistributedDataParallel, not DataParallel.
    """

    def __init__(self, network: nn.Module, generator: Generator) -> None:
        super().__init__()
        self.network = network
        self.generator = generator
        # Where each generated tensor goes: its name, and every module that holds the parameter it stands for.
        self._places: dict[str, list[tuple[nn.Module, str]]] = {}
        self._is_placed = False
        self._computed_from: tuple[Any, ...] | None = None
        self._sources: list[Tensor] = []
        places = owners(network)
        for name, shape in generator.kernel_shapes().items():
            old = network.get_parameter(name)
            if tuple(old.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(old.shape)}, but {shape} is generated")
            self._places[name] = places[id(old)]
        for held in self._places.values():
            for module, parameter in held:
                del module._parameters[parameter]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        # Where a graph is traced, what is computed must be in it.
        if not self.training and not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._refresh()
            return self.network(*args, **kwargs)
        # They stay there until the next forward pass: activation checkpointing looks for them in the backward pass.
        self._put(self.generator())
        self._computed_from = None
        outputs = self.network(*args, **kwargs)
        if torch.compiler.is_compiling():
            self._forget()  # what is left would be one more output of the graph
        return outputs

    def train(self, mode: bool = True) -> "GeneratedNetwork":
        self._forget()
        return super().train(mode)

    def placed(self) -> dict[str, Tensor]:
        """What was generated for the last forward pass, by the parameters' names."""
        return {name: getattr(*places[0]) for name, places in self._places.items()} if self._is_placed else {}

    def works_for(self) -> dict[str, list[str]]:
        """The layers that each parameter, by its name, serves: those whose kernels depend on it, or its own."""
        served: dict[str, list[str]] = {f"generator.{name}": [] for name, _ in self.generator.named_parameters()}
        modules = {module: name for name, module in self.network.named_modules()}
        for name, sources in self.generator.sources().items():
            for source in sources:
                served[f"generator.{source}"] += [modules[module] for module, _ in self._places[name]]
        others = (name for name, _ in self.network.named_parameters(remove_duplicate=False))
        return {**served, **{f"network.{name}": [name.rpartition(".")[0]] for name in others}}

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        """What is stored for each layer, generated or not, as `bench.method.Compressed.layer_tensors` says."""
        found = tensors_by_module(self.network)
        for layer, own in self.generator.layer_tensors().items():
            found[layer] = {**found.get(layer, {}), **own}
        return found

    def materialise(self) -> nn.Module:
        """A copy as a plain network, with the generated parameters as its own."""
        self._forget()  # what was computed before need not be in memory beside what is computed here
        # The network alone: a generator's indices may be as large as all kernels together.
        copies: dict[int, Any] = {}
        network: nn.Module = copy.deepcopy(self.network, copies)
        generated = _compute(self.generator)
        for name, places in self._places.items():
            # One parameter in all its places, as it was before.
            value = nn.Parameter(generated[name].clone())
            for module, parameter in places:
                if id(module) in copies:  # an auxiliary head that holds it too is gone by now
                    copies[id(module)].register_parameter(parameter, value)
        return network

    def _refresh(self) -> None:
        """Have the modules find tensors that are up to date."""
        tensors = [*self.generator.parameters(), *self.generator.buffers()]
        source = tuple((id(tensor), tensor.data_ptr(), _version(tensor), tensor.dtype) for tensor in tensors)
        if source != self._computed_from:
            self._put(_compute(self.generator))
            # The tensors are kept with it, for otherwise a new one might come to lie where an old one lay.
            self._computed_from, self._sources = source, tensors

    def _put(self, generated: dict[str, Tensor]) -> None:
        """Have the modules find the tensors under the parameters' names. (`torch.func.functional_call` does so too, but
        costs half a millisecond in ResNet-56, whose forward pass takes three.)"""
        for name, places in self._places.items():
            for module, parameter in places:
                setattr(module, parameter, generated[name])
        self._is_placed = True

    def _forget(self) -> None:
        if self._is_placed:
            for places in self._places.values():
                for module, parameter in places:
                    delattr(module, parameter)
        self._is_placed = False
        self._computed_from = None
        self._sources = []

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which must not take what was computed here for what they would compute."""
        self._forget()
        return self.__dict__


def on_generated(network: nn.Module, generator: Generator) -> GeneratedNetwork:
    """The network on what the generator computes, which goes to the network's device and precision."""
    like = next(network.parameters())
    return GeneratedNetwork(network, generator.to(like.device, like.dtype))


def _compute(generator: Generator) -> dict[str, Tensor]:
    """In the precision of its tensors whatever autocast says, and as ordinary tensors also in inference mode."""
    device_type = next(iter([*generator.parameters(), *generator.buffers()])).device.type
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device_type, enabled=False):
        generated: dict[str, Tensor] = generator()
        return generated


def _version(tensor: Tensor) -> object:
    """Goes up with every change. What was made in inference mode has none, and counts as changed every time."""
    return object() if tensor.is_inference() else tensor._version
