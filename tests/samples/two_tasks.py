"""Two networks for tests on one backbone: one tells images apart, and the other one their pixels."""

from torch import Tensor, nn

from bench.model import Model
from bench.models.deeplabv3_small import Backbone, SmallDeepLab


class Classifier(nn.Module):
    """Input `(batch, channels, height, width)`; output `(batch, num_classes)` logits."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.features = Backbone(channels)
        self.classifier = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        _, maps = self.features(x)
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits


classifier = Model(Classifier)
segmenter = Model(
    SmallDeepLab, family="deeplab", task="segmentation", training_only=("aux_classifier",), backbone="backbone"
)
