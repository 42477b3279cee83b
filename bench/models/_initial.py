"""The initial weights that the CIFAR networks here share."""

from torch import nn


def he_normal_(network: nn.Module) -> None:
    """Draws every convolution's weights anew as in He et al. 2015 ("Delving Deep into Rectifiers").

    In a depthwise convolution PyTorch's fan_out ignores the groups and the weights come out small. Left so, as in
    torchvision's networks: batch norm follows and takes the scale away.
    """
    for module in network.modules():
        # A network without storage is built to be counted, many times in a row: drawing nothing takes half of the time.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
