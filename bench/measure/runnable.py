"""A network run on its own, without data: a copy that can be run, and an image of noise that it takes."""

import copy
from contextlib import suppress

import torch
from torch import Tensor, nn

from bench.errors import MALFORMED, BudgetError
from bench.surgery import without_memory

# Sides of the images that are tried in turn, in pixels: small ones are quick, but not every network takes them.
_SIDES = (8, 32, 64, 128, 224)
# Up to here, then, each.
_LARGEST_SIDE = 320


def runnable(network: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    """A copy that can be run, without memory where it runs so, in eval mode, and images of two sizes that it takes (one
    where it takes no other)."""
    is_large = sum(parameter.numel() for parameter in network.parameters()) > _LARGE
    made = (without_memory(network) if is_large else copy.deepcopy(network).cpu()).eval()
    try:
        images = example(made)
    except MALFORMED:
        if not is_large:
            raise
        made = copy.deepcopy(network).cpu().eval()  # it looks at values, say
        images = example(made)
    larger = images.new_zeros(*images.shape[:2], *(side + side // 2 for side in images.shape[2:]))
    with suppress(*MALFORMED), torch.no_grad():
        made(larger)
        return made, [images, larger]
    return made, [images]


# A network of so many values is run without memory: the time that torch needs for that is then no longer the larger.
_LARGE = 8_000_000


def example(network: nn.Module) -> Tensor:
    """An image of noise of a size that the network takes, on its device. Raises BudgetError if there is no
    convolution to tell its channels by, and what the network says where it takes none."""
    parameter = next(network.parameters())
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise BudgetError("it has 0 convolutions (Conv2d) to cut channels out of")
    refused: RuntimeError | None = None
    # The first one registered need not be the first one used.
    for channels in dict.fromkeys([*(module.in_channels for module in convolutions), 3, 1]):
        for side in _SIDES:
            image = _noise(channels, side).to(parameter.device, parameter.dtype)
            error = _refusal(network, image)
            if error is None:
                return image
            refused = error if channels == convolutions[0].in_channels else refused
    # What flattens an image takes one size alone; which, is found without computing.
    bare = without_memory(network)
    for side in range(1, _LARGEST_SIDE):
        image = _noise(convolutions[0].in_channels, side).to(parameter.dtype)
        if _refusal(bare, image.to("meta")) is None and _refusal(network, image.to(parameter.device)) is None:
            return image.to(parameter.device)
    assert refused is not None
    raise refused


def takes(network: nn.Module, channels: int, side: int) -> bool:
    """Whether the network runs on images of this size."""
    parameter = next(network.parameters())
    return _refusal(network, _noise(channels, side).to(parameter.device, parameter.dtype)) is None


def _noise(channels: int, side: int) -> Tensor:
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))


def _refusal(network: nn.Module, image: Tensor) -> RuntimeError | None:
    """torch's error for an image of a size that the network can't take."""
    try:
        with torch.no_grad():
            network(image)
    except RuntimeError as error:
        return error
    return None
