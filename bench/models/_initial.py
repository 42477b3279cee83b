"""The initial weights that the CIFAR networks here share."""

from torch import nn


def he_normal_(network: nn.Module) -> None:
    """Draws every convolution's weights as in He et al. 2015 ("Delving Deep into Rectifiers").

    In a depthwise convolution PyTorch's fan_out ignores the groups, so the weights come out small. They stay small, as
    in torchvision's networks, since the batch norm that follows removes the scale.
    """
    for module in network.modules():
        # A network on the meta device is only built to be counted, many times in a row. Drawing nothing halves the
        # time.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
