"""Finding the layers that methods work on, and putting others in their place."""

from torch import nn


def main_convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutions that methods compress, by name in the order of the network.

    Those with a kernel larger than 1x1 and one group, without the first: the first convolution sees the image, is
    small, and is left alone by the CSG authors as by most of the literature. One rule for all methods, so that they
    differ in how they compress and not in what.
    """
    convolutions = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    return {
        name: conv for name, conv in convolutions[1:] if conv.groups == 1 and max(conv.kernel_size) > 1
    }  # fmt: skip


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where the submodule `name` is."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
