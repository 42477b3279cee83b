"""Networks whose kernels are computed from fewer numbers: the mechanism that CSG and related methods share."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.surgery import owners, tensors_by_module


class Generator(nn.Module):
    """Computes parameters of a network. `forward()` returns all of them at once, as `{parameter name: tensor}`."""

    def forward(self) -> dict[str, Tensor]:
        raise NotImplementedError

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors that `forward` returns. By default `forward` is run to get them; a subclass may
        know them."""
        with torch.no_grad():
            return {name: tuple(tensor.shape) for name, tensor in self().items()}

    def sources(self) -> dict[str, list[str]]:
        """For each generated parameter, the names of the generator's own parameters that it depends on. Autograd finds
        them."""
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
        """The stored tensors of each generated layer, as `bench.method.Compressed.layer_tensors` describes them.

        By default they are whole tensors: the parameters that the layer's kernel depends on, and all persistent
        buffers. A subclass may know which rows belong to a layer.
        """
        own = self.state_dict(keep_vars=True)
        buffers = own.keys() - dict(self.named_parameters()).keys()
        return {
            name.rpartition(".")[0]: {source: own[source] for source in (*sources, *sorted(buffers))}
            for name, sources in self.sources().items()
        }


class Generators(Generator):
    """Several generators as one, by name: one for each kernel size, say."""

    def __init__(self, groups: Mapping[str, Generator]) -> None:
        super().__init__()
        self.groups = nn.ModuleDict(groups)

    def forward(self) -> dict[str, Tensor]:
        return {name: weight for group in self.groups.values() for name, weight in group().items()}

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for group in self._each() for name, shape in group.kernel_shapes().items()}

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        # The names leave out the group: a layer's tensors have the same names whatever group it is in.
        return {layer: own for group in self._each() for layer, own in group.layer_tensors().items()}

    def _each(self) -> list[Generator]:
        return [group for group in self.groups.values() if isinstance(group, Generator)]


class GeneratedNetwork(nn.Module):
    """A network whose generated parameters come from `generator`; the rest of the network is unchanged.

    The generated parameters are removed from `network`, so that they are neither stored nor trained. In training, every
    forward pass calls the generator once, and gradients reach it through the generated tensors.

    In eval mode without gradients, the tensors are computed once, in full precision, and reused. They are computed
    again after the generator's tensors change or the network goes back to training. So inference costs no more than in
    the plain network. (torch's version counters don't see a change through `.data`: call `train()` or `eval()` after
    one.) When `torch.compile` or `torch.export` traces a graph, the graph contains the computation of the tensors. For
    deployment, compile the result of `materialise`.

    The modules hold the generated tensors between calls, so one object serves one thread at a time. Use copies in other
    threads. On several GPUs use DistributedDataParallel, not DataParallel.
    """

    def __init__(self, network: nn.Module, generator: Generator) -> None:
        super().__init__()
        self.network = network
        self.generator = generator
        # For each generated tensor: every module that holds the parameter it replaces, and the parameter's name there.
        self._places: dict[str, list[tuple[nn.Module, str]]] = {}
        self._is_placed = False
        self._computed_from: tuple[Any, ...] | None = None
        self._sources: list[Tensor] = []
        places = owners(network)
        for name, shape in generator.kernel_shapes().items():
            old = network.get_parameter(name)
            if tuple(old.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(old.shape)}, but the generator returns shape {shape}")
            self._places[name] = places[id(old)]
        for held in self._places.values():
            for module, parameter in held:
                del module._parameters[parameter]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        # A traced graph must contain the computation of the tensors.
        if not self.training and not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._refresh()
            return self.network(*args, **kwargs)
        # The tensors stay in the modules until the next forward pass: activation checkpointing reads them in the
        # backward pass.
        self._put(self.generator())
        self._computed_from = None
        outputs = self.network(*args, **kwargs)
        if torch.compiler.is_compiling():
            self._forget()  # a tensor left in a module would be one more output of the graph
        return outputs

    def train(self, mode: bool = True) -> "GeneratedNetwork":
        self._forget()
        return super().train(mode)

    def placed(self) -> dict[str, Tensor]:
        """The generated tensors of the last forward pass, by parameter name."""
        return {name: getattr(*places[0]) for name, places in self._places.items()} if self._is_placed else {}

    def works_for(self) -> dict[str, list[str]]:
        """For each parameter, by name, the layers that it serves: the layers whose kernels depend on it, or its own
        layer."""
        served: dict[str, list[str]] = {f"generator.{name}": [] for name, _ in self.generator.named_parameters()}
        modules = {module: name for name, module in self.network.named_modules()}
        for name, sources in self.generator.sources().items():
            for source in sources:
                served[f"generator.{source}"] += [modules[module] for module, _ in self._places[name]]
        others = (name for name, _ in self.network.named_parameters(remove_duplicate=False))
        return {**served, **{f"network.{name}": [name.rpartition(".")[0]] for name in others}}

    def layer_tensors(self) -> dict[str, dict[str, Tensor]]:
        """The stored tensors of each layer, generated or not, as `bench.method.Compressed.layer_tensors` describes
        them."""
        found = tensors_by_module(self.network)
        for layer, own in self.generator.layer_tensors().items():
            found[layer] = {**found.get(layer, {}), **own}
        return found

    def materialise(self) -> nn.Module:
        """A copy as a plain network, which has the generated parameters as its own."""
        self._forget()  # free the old tensors before computing new ones
        # Copy the network only: a generator's indices may be as large as all kernels together.
        copies: dict[int, Any] = {}
        network: nn.Module = copy.deepcopy(self.network, copies)
        generated = _compute(self.generator)
        for name, places in self._places.items():
            # A shared parameter stays one parameter in all its places.
            value = nn.Parameter(generated[name].clone())
            for module, parameter in places:
                if id(module) in copies:  # a removed auxiliary head may have held it too
                    copies[id(module)].register_parameter(parameter, value)
        return network

    def _refresh(self) -> None:
        """Give the modules up-to-date tensors."""
        tensors = [*self.generator.parameters(), *self.generator.buffers()]
        source = tuple((id(tensor), tensor.data_ptr(), _version(tensor), tensor.dtype) for tensor in tensors)
        if source != self._computed_from:
            self._put(_compute(self.generator))
            # Keep the tensors alive: otherwise a new tensor could get an old one's address.
            self._computed_from, self._sources = source, tensors

    def _put(self, generated: dict[str, Tensor]) -> None:
        """Set the tensors in the modules under the parameters' names.

        `torch.func.functional_call` does the same, but costs half a millisecond in ResNet-56, whose forward pass takes
        three.
        """
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
        """The state for a copy, without the tensors computed here: the copy must compute its own."""
        self._forget()
        return self.__dict__


def on_generated(network: nn.Module, generator: Generator) -> GeneratedNetwork:
    """The network with the parameters that `generator` computes. The generator moves to the network's device and
    precision."""
    like = next(network.parameters())
    return GeneratedNetwork(network, generator.to(like.device, like.dtype))


def _compute(generator: Generator) -> dict[str, Tensor]:
    """Call the generator in the precision of its tensors, whatever autocast says. The results are ordinary tensors even
    in inference mode."""
    device_type = next(iter([*generator.parameters(), *generator.buffers()])).device.type
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device_type, enabled=False):
        generated: dict[str, Tensor] = generator()
        return generated


def _version(tensor: Tensor) -> object:
    """A value that changes with every change of the tensor. A tensor made in inference mode has no version and counts
    as changed every time."""
    return object() if tensor.is_inference() else tensor._version
