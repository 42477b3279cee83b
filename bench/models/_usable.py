"""What a network must be for `bench` to compress and compare it: looked over once, where it is built.

A layer that `torch.nn.utils.prune` masked is refused, and not folded: its zeros would be weights like others to every
method here, and training would move them. So whoever masked it decides.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

from bench.errors import InputError, contained, place, typed_line


def require_usable(network: nn.Module) -> None:
    """Raises InputError for a network whose values can't be counted, copied or trained one by one."""
    lazy = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise InputError(f"the network's {lazy[0]} has no shape yet; use layers that are not lazy, or run it once")
    if not any(parameter.numel() for parameter in network.parameters()):
        raise InputError("the network has no parameters, so there is nothing to train or to compress")
    for name, module in network.named_modules():
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
    _require_own_memory(network)


def require_logits(network: nn.Module, image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Raises InputError unless the network takes images `(channels, height, width)` and gives a number for each class,
    in training and in evaluation. Its statistics may change: use it on what is thrown away."""
    like = next(network.parameters())
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    shown = "x".join(map(str, image_shape))
    for mode in (True, False):
        network.train(mode)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                with contained():
                    outputs = network(images)
            except Exception as error:
                raise InputError(
                    f"the network can't take images of {shown}: {typed_line(error)} ({place(error)}); where they "
                    "are too small for it, choose another network, or give folder and parquet a larger :size="
                ) from error
        if not isinstance(outputs, Tensor):
            raise InputError(
                f"the network gives a {type(outputs).__name__} {'in training' if mode else 'in eval mode'}; it must "
                "give one tensor, (images, classes)"
            )
        if outputs.shape != (2, num_classes):
            raise InputError(
                f"the network gives outputs of shape {tuple(outputs.shape)} for 2 images, and {num_classes} classes "
                f"want (2, {num_classes}); have its function take num_classes for its last layer"
            )


def _parametrised_masks(module: nn.Module) -> Iterator[tuple[str, str]]:
    """What of a module is masked by a parametrization, and the name of the mask there: zeros and ones of its shape."""
    if not parametrize.is_parametrized(module):
        return
    assert isinstance(module.parametrizations, nn.ModuleDict)
    for own, chain in module.parametrizations.items():
        for name, buffer in chain.named_buffers():
            if buffer.shape == getattr(module, own).shape and bool(((buffer == 0) | (buffer == 1)).all()):
                yield own, name


def _require_own_memory(network: nn.Module) -> None:
    """Two parameters in one memory would be two values to count, and one to train: until something copies them."""
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
