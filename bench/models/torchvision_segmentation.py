"""torchvision's networks for semantic segmentation, by torchvision's names."""

from functools import partial

import torchvision.models
from torch import Tensor, nn

from bench.model import Model
from bench.models.torchvision_cnn import fetched, inputs_of, take_channels

NAMES = {
    "deeplabv3_mobilenet_v3_large": "torchvision's DeepLab V3 on MobileNetV3-Large, output stride 16",
    "deeplabv3_resnet50": "torchvision's DeepLab V3 on ResNet-50, output stride 8",
    "deeplabv3_resnet101": "torchvision's DeepLab V3 on ResNet-101, output stride 8",
    "fcn_resnet50": "torchvision's fully convolutional network on ResNet-50, output stride 8",
    "fcn_resnet101": "torchvision's fully convolutional network on ResNet-101, output stride 8",
    "lraspp_mobilenet_v3_large": "torchvision's Lite R-ASPP on MobileNetV3-Large, output stride 16",
}


# torchvision's name of the head on the backbone's second-last maps. Its Lite R-ASPP has no such head.
_AUXILIARY = "aux_classifier"


def build(name: str, channels: int, num_classes: int) -> nn.Module:
    """torchvision's network with its auxiliary head. For images without 3 channels its first convolution is
    replaced."""
    options = {"aux_loss": True} if _has_auxiliary(name) else {}
    network: nn.Module = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=num_classes, **options
    )
    if channels != 3:
        take_channels(network, channels)
    return network


def pretrained(name: str, channels: int, num_classes: int) -> nn.Module:
    """torchvision's network with its weights for the classes of Pascal VOC (from images of COCO), which torchvision
    downloads once into its cache.

    For other classes the last layers are fresh. Raises InputError if there are not 3 channels, or if the weights can't
    be downloaded.
    """
    network = fetched(name, channels)
    if num_classes == _CLASSES:
        return network
    other, found = build(name, channels, num_classes), network.state_dict()
    own = other.state_dict()
    other.load_state_dict({**own, **{name: value for name, value in found.items() if value.shape == own[name].shape}})
    return other


def pretrained_backbone(name: str) -> dict[str, Tensor]:
    """torchvision's ImageNet weights for the backbone of this network, from the classifier with this backbone."""
    classifier = name.partition("_")[2]
    state = fetched(classifier, 3).state_dict()
    # MobileNet's backbone is its submodule `features`.
    return {own.removeprefix("features."): value for own, value in state.items() if not own.startswith(_CLASSIFIERS)}


_CLASSIFIERS = ("fc.", "classifier.")

# The classes of Pascal VOC, with the background.
_CLASSES = 21


def model(name: str) -> Model:
    return Model(
        partial(build, name),
        NAMES[name],
        partial(pretrained, name),
        inputs_of(name),
        family="deeplab" if name.startswith("deeplab") else "",
        pretrained_for=(3, _CLASSES),
        task="segmentation",
        training_only=(_AUXILIARY,) if _has_auxiliary(name) else (),
        backbone="backbone",
        pretrained_backbone=partial(pretrained_backbone, name),
    )


def _has_auxiliary(name: str) -> bool:
    return not name.startswith("lraspp")
