"""Running a network alone, without data: a copy that can be run, and an image of noise that it accepts."""

import copy
from contextlib import suppress

import torch
from torch import Tensor, nn

from bench.errors import MALFORMED, BudgetError
from bench.surgery import without_memory

# The image sides, in pixels, that are tried in turn. Small images are fast, but not every network accepts them.
_SIDES = (8, 32, 64, 128, 224)
# Then every side up to this one is tried.
_LARGEST_SIDE = 320


def runnable(network: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    """A copy that can be run, in eval mode, and images that it accepts: of two sizes, or of one if it accepts no other.

    A large network runs without memory (torch's meta device), if it can.
    """
    is_large = sum(parameter.numel() for parameter in network.parameters()) > _LARGE
    made = (without_memory(network) if is_large else copy.deepcopy(network).cpu()).eval()
    try:
        images = example(made)
    except MALFORMED:
        if not is_large:
            raise
        made = copy.deepcopy(network).cpu().eval()  # its code may read values
        images = example(made)
    larger = images.new_zeros(*images.shape[:2], *(side + side // 2 for side in images.shape[2:]))
    with suppress(*MALFORMED), torch.no_grad():
        made(larger)
        return made, [images, larger]
    return made, [images]


# A network with more values runs without memory. From this size on, that is faster than computing, despite torch's
# overhead.
_LARGE = 8_000_000


def example(network: nn.Module) -> Tensor:
    """An image of noise that the network accepts, on its device. Raises BudgetError if the network has no convolution
    to infer the channels from, and the network's own error if it accepts no image."""
    parameter = next(network.parameters())
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise BudgetError("it has 0 convolutions (Conv2d) to cut channels out of")
    refused: RuntimeError | None = None
    # The first registered convolution may not be the first one used.
    for channels in dict.fromkeys([*(module.in_channels for module in convolutions), 3, 1]):
        for side in _SIDES:
            image = _noise(channels, side).to(parameter.device, parameter.dtype)
            error = _refusal(network, image)
            if error is None:
                return image
            refused = error if channels == convolutions[0].in_channels else refused
    # A network that flattens the image accepts only one size. Find it without computing.
    bare = without_memory(network)
    for side in range(1, _LARGEST_SIDE):
        image = _noise(convolutions[0].in_channels, side).to(parameter.dtype)
        if _refusal(bare, image.to("meta")) is None and _refusal(network, image.to(parameter.device)) is None:
            return image.to(parameter.device)
    assert refused is not None
    raise refused


def takes(network: nn.Module, channels: int, side: int) -> bool:
    """Whether the network accepts images of this size."""
    parameter = next(network.parameters())
    return _refusal(network, _noise(channels, side).to(parameter.device, parameter.dtype)) is None


def _noise(channels: int, side: int) -> Tensor:
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))


def _refusal(network: nn.Module, image: Tensor) -> RuntimeError | None:
    """torch's error for an image of a size that the network doesn't accept; None if it accepts it."""
    try:
        with torch.no_grad():
            network(image)
    except RuntimeError as error:
        return error
    return None
