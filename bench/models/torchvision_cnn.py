"""torchvision's convolutional networks for classification, by torchvision's names; made for images of ImageNet's size.

A network with fresh weights has the same layers as its pretrained version, so each can be rebuilt from the stored
values of the other.
"""

from functools import partial
from typing import Any

import torch
import torchvision.models
from torch import nn

from bench.errors import InputError
from bench.model import Inputs, Model

_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def build(name: str, channels: int, num_classes: int) -> nn.Module:
    """torchvision's network with fresh weights. For images without 3 channels its first convolution is replaced."""
    options: dict[str, Any] = {}
    if name in _WITH_AUXILIARY_HEADS:
        # The pretrained versions rescale the three colours first. Fresh networks must do so too, to be rebuilt from
        # them.
        options = {"aux_logits": False, "init_weights": True, "transform_input": channels == 3}
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
    if channels != 3:
        take_channels(network, channels)
    return network


def pretrained(name: str, channels: int, num_classes: int) -> nn.Module:
    """torchvision's network with its newest ImageNet weights, which torchvision downloads once into its cache.

    For a number of classes other than 1000 the last layer is fresh. Raises InputError if there are not 3 channels, or
    if the weights can't be downloaded.
    """
    network = fetched(name, channels)
    if name in _WITH_AUXILIARY_HEADS:
        _drop_auxiliary_heads(network)
    if num_classes != 1000:
        _give_classes(network, num_classes)
    return network


def fetched(name: str, channels: int) -> nn.Module:
    """torchvision's network with its newest weights, for the classes of these weights. Raises InputError if there are
    not 3 channels, or if the weights can't be downloaded."""
    if channels != 3:
        raise InputError(
            f"the pretrained {name} takes images of 3 channels, not {channels}; choose a dataset of colour images, "
            "or train the network from fresh weights"
        )
    try:
        network: nn.Module = torchvision.models.get_model(name, weights="DEFAULT")
    except (RuntimeError, OSError) as error:
        raise InputError(f"the weights of {name} can't be fetched into {torch.hub.get_dir()}: {error}") from error
    return network


def take_channels(network: nn.Module, channels: int) -> None:
    """Give the first convolution fresh weights for this many channels, in place. Its other arguments stay."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 3
    first.in_channels = channels
    first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, channels, *first.kernel_size))
    first.reset_parameters()


def _give_classes(network: nn.Module, num_classes: int) -> None:
    """Give the last layer fresh weights for this many classes, in place. It is a linear layer, except in SqueezeNet,
    where it is a convolution."""
    last: nn.Linear | nn.Conv2d
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if linear:
        last = linear[-1]
        last.out_features = num_classes
    else:
        last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
        last.out_channels = num_classes
    assert last.bias is not None
    last.weight = nn.Parameter(last.weight.new_empty(num_classes, *last.weight.shape[1:]))
    last.bias = nn.Parameter(last.bias.new_empty(num_classes))
    last.reset_parameters()


def _drop_auxiliary_heads(network: nn.Module) -> None:
    """Remove the auxiliary heads, as if the network was built without them: the output is then one tensor in training
    too."""
    network.aux_logits = False  # type: ignore[assignment]
    for name in ("aux1", "aux2", "AuxLogits"):
        if hasattr(network, name):
            setattr(network, name, None)


def model(name: str) -> Model:
    fresh, finished = partial(build, name), partial(pretrained, name)
    family = next((family for mark, family in _FAMILIES.items() if name.startswith(mark)), "")
    return Model(fresh, NAMES[name], finished, inputs_of(name), family=family)


def inputs_of(name: str) -> Inputs:
    """The inputs for the network's pretrained weights."""
    wanted = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    (size,) = wanted.crop_size if hasattr(wanted, "crop_size") else wanted.resize_size
    mean, deviation = ([255 * value for value in values] for values in (wanted.mean, wanted.std))
    return Inputs(size, size, mean, deviation)


# Families for which the CSG authors chose layers, and their relatives.
_FAMILIES = {"mobilenet_v2": "mobilenetv2", "shufflenet_v2": "shufflenetv2", "resnet18": "resnet18"}

# Why some networks of torchvision are left out, with the beginnings of their names.
LEFT_OUT = {
    "a transformer has its values in linear layers, and bench compares methods of compressing convolutions": (
        "vit_ swin_ maxvit"
    ),
    "it finds objects, and bench compares networks that classify images or their pixels": (
        "fasterrcnn_ maskrcnn_ keypointrcnn_ retinanet_ ssd300_ ssdlite320_ fcos_"
    ),
    "it takes videos or pairs of images, and bench compares networks that classify images": (
        "r3d_ mc3_ r2plus1d_ mvit_ s3d swin3d_ raft_"
    ),
    "its values are quantised already, and can't be trained": "quantized_",
}

# torchvision's convolutional networks. Vision transformers are left out: they have few convolutions, and the methods
# here compress convolutions. A test compares this list with torchvision's.
NAMES = {
    "alexnet": "torchvision's alexnet",
    "convnext_base": "torchvision's convnext_base",
    "convnext_large": "torchvision's convnext_large",
    "convnext_small": "torchvision's convnext_small",
    "convnext_tiny": "torchvision's convnext_tiny",
    "densenet121": "torchvision's densenet121",
    "densenet161": "torchvision's densenet161",
    "densenet169": "torchvision's densenet169",
    "densenet201": "torchvision's densenet201",
    "efficientnet_b0": "torchvision's efficientnet_b0",
    "efficientnet_b1": "torchvision's efficientnet_b1",
    "efficientnet_b2": "torchvision's efficientnet_b2",
    "efficientnet_b3": "torchvision's efficientnet_b3",
    "efficientnet_b4": "torchvision's efficientnet_b4",
    "efficientnet_b5": "torchvision's efficientnet_b5",
    "efficientnet_b6": "torchvision's efficientnet_b6",
    "efficientnet_b7": "torchvision's efficientnet_b7",
    "efficientnet_v2_l": "torchvision's efficientnet_v2_l",
    "efficientnet_v2_m": "torchvision's efficientnet_v2_m",
    "efficientnet_v2_s": "torchvision's efficientnet_v2_s",
    "googlenet": "torchvision's googlenet",
    "inception_v3": "torchvision's inception_v3",
    "mnasnet0_5": "torchvision's mnasnet0_5",
    "mnasnet0_75": "torchvision's mnasnet0_75",
    "mnasnet1_0": "torchvision's mnasnet1_0",
    "mnasnet1_3": "torchvision's mnasnet1_3",
    "mobilenet_v2": "torchvision's mobilenet_v2",
    "mobilenet_v3_large": "torchvision's mobilenet_v3_large",
    "mobilenet_v3_small": "torchvision's mobilenet_v3_small",
    "regnet_x_16gf": "torchvision's regnet_x_16gf",
    "regnet_x_1_6gf": "torchvision's regnet_x_1_6gf",
    "regnet_x_32gf": "torchvision's regnet_x_32gf",
    "regnet_x_3_2gf": "torchvision's regnet_x_3_2gf",
    "regnet_x_400mf": "torchvision's regnet_x_400mf",
    "regnet_x_800mf": "torchvision's regnet_x_800mf",
    "regnet_x_8gf": "torchvision's regnet_x_8gf",
    "regnet_y_128gf": "torchvision's regnet_y_128gf",
    "regnet_y_16gf": "torchvision's regnet_y_16gf",
    "regnet_y_1_6gf": "torchvision's regnet_y_1_6gf",
    "regnet_y_32gf": "torchvision's regnet_y_32gf",
    "regnet_y_3_2gf": "torchvision's regnet_y_3_2gf",
    "regnet_y_400mf": "torchvision's regnet_y_400mf",
    "regnet_y_800mf": "torchvision's regnet_y_800mf",
    "regnet_y_8gf": "torchvision's regnet_y_8gf",
    "resnet101": "torchvision's resnet101",
    "resnet152": "torchvision's resnet152",
    "resnet18": "torchvision's resnet18",
    "resnet34": "torchvision's resnet34",
    "resnet50": "torchvision's resnet50",
    "resnext101_32x8d": "torchvision's resnext101_32x8d",
    "resnext101_64x4d": "torchvision's resnext101_64x4d",
    "resnext50_32x4d": "torchvision's resnext50_32x4d",
    "shufflenet_v2_x0_5": "torchvision's shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0": "torchvision's shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5": "torchvision's shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0": "torchvision's shufflenet_v2_x2_0",
    "squeezenet1_0": "torchvision's squeezenet1_0",
    "squeezenet1_1": "torchvision's squeezenet1_1",
    "vgg11": "torchvision's vgg11",
    "vgg11_bn": "torchvision's vgg11_bn",
    "vgg13": "torchvision's vgg13",
    "vgg13_bn": "torchvision's vgg13_bn",
    "vgg16": "torchvision's vgg16",
    "vgg16_bn": "torchvision's vgg16_bn",
    "vgg19": "torchvision's vgg19",
    "vgg19_bn": "torchvision's vgg19_bn",
    "wide_resnet101_2": "torchvision's wide_resnet101_2",
    "wide_resnet50_2": "torchvision's wide_resnet50_2",
}
