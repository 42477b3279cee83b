"""ResNet-26, called ResNet-18 in the CSG paper's table of ImageNet. It has bottleneck blocks instead of basic ones."""

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from bench.model import Model
from bench.models.torchvision_cnn import take_channels

NAMES = {"resnet26": 'ResNet-26 for ImageNet: bottleneck blocks 2, 2, 2, 2 (the CSG paper\'s "ResNet-18")'}


def build(channels: int, num_classes: int) -> nn.Module:
    """torchvision's ResNet with two bottleneck blocks a stage. For images without 3 channels its first convolution is
    replaced."""
    network: nn.Module = ResNet(Bottleneck, [2, 2, 2, 2], num_classes=num_classes)
    if channels != 3:
        take_channels(network, channels)
    return network


def model(name: str) -> Model:
    return Model(build, NAMES[name])
