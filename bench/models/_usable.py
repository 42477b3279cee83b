"""Checks that `bench` can compress and compare a network. The checks run once, where a network is built.

A layer that `torch.nn.utils.prune` masked is refused and not folded into plain weights: its zeros would be ordinary
weights for every method here, and training would change them. So the user must decide.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

from bench import count, training_only
from bench.errors import MALFORMED, InputError, contained, first_line, place, typed_line
from bench.task import Task


def require_usable(network: nn.Module) -> None:
    """Raises InputError for a network whose values can't be counted, copied or trained one by one."""
    scripted = [name for name, module in network.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        what = f"the network's {scripted[0]}" if scripted[0] else "the network"
        raise InputError(
            f"{what} is a TorchScript module, whose layers are code by now and can't be replaced; give the module that "
            "it was made from"
        )
    lazy = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise InputError(f"the network's {lazy[0]} has no shape yet; use layers that are not lazy, or run it once")
    if not any(parameter.numel() for parameter in network.parameters()):
        raise InputError("the network has no parameters, so there is nothing to train or to compress")
    for name, parameter in network.named_parameters():
        _require_trainable(name, parameter)
    for name, module in network.named_modules():
        _require_plain_weights(name, module)
    _require_own_memory(network)


def _require_trainable(name: str, parameter: nn.Parameter) -> None:
    """Raises InputError."""
    if parameter.is_floating_point() and parameter.dtype != torch.float32:
        dtype = str(parameter.dtype).removeprefix("torch.")
        raise InputError(f"the network's {name} is {dtype}, and bench trains in float32; make it with .float()")
    # A method that replaces a frozen parameter would train values that other methods can't train.
    if not parameter.requires_grad:
        raise InputError(
            f"the network's {name} is frozen (requires_grad=False), and bench trains all of a network, the same "
            "for every method; make it trainable, or a buffer"
        )
    if parameter.device.type != "meta" and not bool(parameter.isfinite().all()):
        raise InputError(f"the network's {name} holds NaN or infinite values before anything is trained")


def _require_plain_weights(name: str, module: nn.Module) -> None:
    """Raises InputError for a module whose weights are masked, or computed from other tensors."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod):
            own = hook._tensor_name
            raise InputError(
                f"the network's {name}.{own} is masked by torch.nn.utils.prune, and its mask would be counted as "
                f"values, or lost; call prune.remove(module, {own!r}) where the network is made"
            )
        if hasattr(hook, "compute_weight"):  # torch's hook-style weight_norm and spectral_norm
            raise InputError(
                f"the network's {name} computes its weight in a hook ({type(hook).__name__}), so that it can't be "
                "copied; use torch.nn.utils.parametrizations, or remove it where the network is made"
            )
    computed = [own for own, value in vars(module).items() if isinstance(value, Tensor) and not value.is_leaf]
    if computed:
        raise InputError(
            f"the network's {name or 'module'} keeps {computed[0]}, a tensor computed from parameters, so that it "
            "can't be copied; compute it in forward()"
        )
    for own, mask in _parametrised_masks(module):
        raise InputError(
            f"the network's {name}.{own} is masked by a parametrization, and {mask} would be counted as values; "
            f"call parametrize.remove_parametrizations(module, {own!r}) where the network is made"
        )


def require_outputs(network: nn.Module, image_shape: tuple[int, int, int], num_classes: int, task: Task) -> None:
    """Raises InputError unless the network takes images `(channels, height, width)` and gives the outputs that the task
    needs, in training and in evaluation.

    In evaluation the outputs must be the same every time, also without the training-only modules. The network's
    statistics may change, so call this with a network that is not used afterwards.
    """
    device = next(network.parameters()).device
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0)).to(device)
    shown = "x".join(map(str, image_shape))
    heads = training_only.names(network)
    for mode in (True, False):
        network.train(mode)
        given = images.clone()
        with torch.set_grad_enabled(mode), torch.random.fork_rng(devices=[]):
            try:
                with contained(), _noted(network, heads) as run:
                    outputs = network(given)
            except Exception as error:
                raise InputError(
                    f"the network can't take images of {shown}: {typed_line(error)} ({place(error)}); where they "
                    "are too small for it, choose another network, or give folder and parquet a larger :size="
                ) from error
        try:
            task.check(task.blank(2, image_shape), num_classes, outputs)
        except ValueError as error:
            where = "in training" if mode else "in eval mode"
            raise InputError(f"{where} the network {first_line(error)}") from error
        if not torch.equal(given, images):
            raise InputError("the network changes the images that it is given; have its forward() work on a copy")
        if mode and not task.output(outputs).requires_grad:
            raise InputError("no gradient reaches the network's parameters; leave no_grad() out of its forward()")
    if idle := [name for name in heads if name not in run]:
        raise InputError(
            f"the network runs its {idle[0]} in training alone, so its channels can't be seen in eval mode; "
            "have forward() run it wherever it is not None"
        )
    _require_the_same_again(network, images, task, task.output(outputs), heads)


@contextmanager
def _noted(network: nn.Module, names: Sequence[str]) -> Iterator[set[str]]:
    """The set of those of these submodules that run while the context is open."""
    run: set[str] = set()
    hooks = [network.get_submodule(name).register_forward_hook(lambda *_, name=name: run.add(name)) for name in names]
    try:
        yield run
    finally:
        for hook in hooks:
            hook.remove()


def _require_the_same_again(
    network: nn.Module, images: Tensor, task: Task, before: Tensor, heads: Sequence[str]
) -> None:
    """Raises InputError unless the network in eval mode gives the same outputs as before, also without these heads."""

    def same(outputs: Any) -> bool:
        return torch.allclose(before, task.output(outputs), rtol=0, atol=0, equal_nan=True)

    said = f"training_only names {', '.join(heads)}, and with None there the network"
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # other random numbers than before, if the network draws any
        try:
            with training_only.left_out(network), contained():
                again = network(images)
        except Exception as error:
            if not heads:
                raise
            raise InputError(f"{said} fails: {typed_line(error)} ({place(error)})") from error
        if same(again):
            return
        # Find out which of the two reasons applies.
        if heads and same(network(images)):
            raise InputError(f"{said} gives other outputs")
    raise InputError(
        "the network gives other outputs when it is asked again in eval mode; draw random numbers, and count calls, in "
        "training alone (self.training)"
    )


def require_reloadable(network: nn.Module, other: nn.Module, image_shape: tuple[int, int, int], task: Task) -> None:
    """Raises InputError unless `other`, the same network from another seed, gives the same outputs after it gets the
    stored values of `network`. Else the network needs something that is neither counted nor saved."""
    with torch.no_grad():
        have, places = ({**count.stored_tensors(one), **count.statistics(one)} for one in (network, other))
        if {name: tensor.shape for name, tensor in have.items()} != {name: own.shape for name, own in places.items()}:
            raise InputError("the network has other layers with another seed; make its shape from its options alone")
        for name, place in places.items():
            place.copy_(have[name])
        one, two = _of_both(network.eval(), other.eval(), image_shape, task)
        same = torch.allclose(one, two, rtol=1e-4, atol=1e-4, equal_nan=True)
    if not same:
        raise InputError(
            "the network gives other outputs when it is made again with the values that it stores: something that it "
            "needs is no parameter or buffer of it (a layer in a plain list, a tensor that is a plain attribute); use "
            "nn.ModuleList, or register_buffer"
        )


def _of_both(
    network: nn.Module, other: nn.Module, image_shape: tuple[int, int, int], task: Task
) -> tuple[Tensor, Tensor]:
    """The outputs of two networks for the same images. The images are small if the networks take them, since large ones
    take seconds."""
    _, *size = image_shape
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0))
    small = images[..., : min(size[0], _ENOUGH), : min(size[1], _ENOUGH)]
    try:
        return task.output(network(small)), task.output(other(small))
    except MALFORMED:
        return task.output(network(images)), task.output(other(images))


# The pixels a side that are enough to compare two networks.
_ENOUGH = 64


def _parametrised_masks(module: nn.Module) -> Iterator[tuple[str, str]]:
    """The masked parameters of a module with a parametrization, each with the name of its mask: zeros and ones of its
    shape."""
    if not parametrize.is_parametrized(module):
        return
    assert isinstance(module.parametrizations, nn.ModuleDict)
    for own, chain in module.parametrizations.items():
        for name, buffer in chain.named_buffers():
            if buffer.shape == getattr(module, own).shape and bool(((buffer == 0) | (buffer == 1)).all()):
                yield own, name


def _require_own_memory(network: nn.Module) -> None:
    """Raises InputError if two parameters share memory. They would be counted as two values but trained as one, until
    something copies them."""
    spans: dict[tuple[object, int], list[tuple[int, int, str]]] = {}
    for name, tensor in network.named_parameters():
        if tensor.device.type == "meta" or not tensor.numel():
            continue
        last = sum(int((size - 1) * stride) for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        first = int(tensor.storage_offset()) * tensor.element_size()
        span = (first, first + (last + 1) * tensor.element_size(), name)
        spans.setdefault((tensor.device, tensor.untyped_storage().data_ptr()), []).append(span)
    for own in spans.values():
        own.sort()
        for (_, end, one), (start, _, other) in pairwise(own):
            if start < end:
                raise InputError(
                    f"the network's {one} and {other} are two parameters in one memory, which would be counted twice "
                    "and part at the first copy; hold one parameter in both places"
                )
