"""DeepLab V3+, after Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation"
(2018). It has plain convolutions, like that of the CSG authors."""

from functools import partial

import torch
import torchvision.models
from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._atrous import Pyramid, layer
from bench.models._initial import he_normal_
from bench.models.torchvision_cnn import take_channels
from bench.models.torchvision_segmentation import pretrained_backbone

NAMES = {"deeplabv3plus-resnet101": "DeepLab V3+ on ResNet-101, output stride 16, as the CSG authors have it"}

# Dilations at output stride 16: of the three blocks in the backbone's last stage, and of the pyramid's branches.
_LAST_STAGE, _RATES = (2, 4, 8), (6, 12, 18)
_LOW, _HEAD, _DETAIL = 256, 256, 48


class Backbone(nn.Module):
    """torchvision's ResNet-101 without its classifier. Gives the maps of its first stage (stride 4) and of its last
    stage (stride 16)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        resnet = torchvision.models.resnet101(replace_stride_with_dilation=[False, False, True])
        if channels != 3:
            take_channels(resnet, channels)
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4
        for block, dilation in zip(resnet.layer4, _LAST_STAGE, strict=True):
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low: Tensor = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        return low, self.layer4(self.layer3(self.layer2(low)))


class Decoder(nn.Module):
    """Resizes the pyramid's maps to the size of the backbone's first maps, and combines the two."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.detail = layer(_LOW, _DETAIL, 1)
        self.mix = nn.Sequential(
            layer(_HEAD + _DETAIL, _HEAD, 3), nn.Dropout(0.5), layer(_HEAD, _HEAD, 3), nn.Dropout(0.1)
        )
        self.classifier = nn.Conv2d(_HEAD, num_classes, 1)

    def forward(self, maps: Tensor, low: Tensor) -> Tensor:
        detail = self.detail(low)
        logits: Tensor = self.classifier(self.mix(torch.cat([_resized(maps, detail), detail], dim=1)))
        return logits


class DeepLabV3Plus(nn.Module):
    """Input `(batch, channels, height, width)`; output the logits `(batch, num_classes, height, width)`."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(channels)
        self.pyramid = Pyramid(2048, _HEAD, _RATES)
        self.dropout = nn.Dropout(0.5)
        self.decoder = Decoder(num_classes)
        he_normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        low, last = self.backbone(x)
        return _resized(self.decoder(self.dropout(self.pyramid(last)), low), x)


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, (like.shape[2], like.shape[3]), mode="bilinear", align_corners=True)


def model(name: str) -> Model:
    return Model(
        DeepLabV3Plus,
        NAMES[name],
        family="deeplab",
        task="segmentation",
        backbone="backbone",
        pretrained_backbone=partial(pretrained_backbone, "deeplabv3plus_resnet101"),
    )
