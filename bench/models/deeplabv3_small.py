"""A small DeepLab V3 of bench's own, after Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation"
(2017)."""

from torch import Tensor, nn
from torch.nn import functional

from bench.model import Model
from bench.models._atrous import Pyramid, layer
from bench.models._initial import he_normal_

NAMES = {"deeplabv3-resnet8": "a small DeepLab V3 on a ResNet-8 of output stride 4, for small images"}

_STAGES, _HEAD = (16, 32, 64), 32
# Rates of the parallel dilated convolutions. The paper's 6, 12 and 18 are for maps of 33x33, these are for 8x8.
_RATES = (2, 4)


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut around them. The shortcut is a 1x1 convolution if shapes
    differ."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Backbone(nn.Module):
    """A ResNet-8 of output stride 4 with a dilated last stage. Gives the maps of its last two stages."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second, third = _STAGES
        self.conv1 = nn.Conv2d(channels, first, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.stage1 = Block(first, first)
        self.stage2 = Block(first, second, stride=2)
        self.stage3 = Block(second, third, dilation=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.stage2(self.stage1(y))
        return y, self.stage3(y)


class SmallDeepLab(nn.Module):
    """Input `(batch, channels, height, width)` from 16x16 up. Output a dictionary with `out`, the logits `(batch,
    num_classes, height, width)`, and `aux`, the logits of the auxiliary head unless it was removed."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        _, second, third = _STAGES
        self.backbone = Backbone(channels)
        self.pyramid = Pyramid(third, _HEAD, _RATES)
        self.head = layer(_HEAD, _HEAD, 3)
        self.classifier = nn.Conv2d(_HEAD, num_classes, 1)
        self.aux_classifier = nn.Sequential(layer(second, _HEAD, 3), nn.Conv2d(_HEAD, num_classes, 1))
        he_normal_(self)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        before, last = self.backbone(x)
        logits = {"out": self.classifier(self.head(self.pyramid(last)))}
        if self.aux_classifier is not None:
            logits["aux"] = self.aux_classifier(before)
        size = (x.shape[2], x.shape[3])
        return {
            name: functional.interpolate(own, size, mode="bilinear", align_corners=False)
            for name, own in logits.items()
        }


def model(name: str) -> Model:
    return Model(
        SmallDeepLab,
        NAMES[name],
        family="deeplab",
        task="segmentation",
        training_only=("aux_classifier",),
        backbone="backbone",
    )
