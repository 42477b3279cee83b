"""The channel widths of networks as version 0.1 defined them by hand.

Files of that version's methods hold no structure. Its solver chose their widths among these.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from bench.method import Resizable
from bench.model import Model
from bench.models._build import build_network
from bench.seeding import seeded
from bench.surgery import channels_last


def resizable(model: Model, channels: int, num_classes: int, seed: int) -> Resizable:
    """A network of bench or a ResNet of torchvision at other widths. Raises ValueError for other networks."""
    network = build_network(model, channels, num_classes, seed)
    made = model.build
    ours = made.keywords.get("widths") if isinstance(made, partial) else None
    if ours is None and not isinstance(network, ResNet):
        raise ValueError("version 0.1 could not change the width of this network")

    def build(widths: Sequence[int]) -> nn.Module:
        with seeded(seed):
            if ours is not None:
                assert isinstance(made, partial)
                return channels_last(made.func(channels, num_classes, widths))
            other = made(channels=channels, num_classes=num_classes)
            assert isinstance(other, ResNet)
            resize(other, widths)
            return channels_last(other)

    return Resizable(ours or widths_of(network), build)


def widths_of(network: ResNet) -> tuple[int, ...]:
    """The channels of the first convolution, of each stage, and of the inside of each block. These are all widths that
    can be chosen independently. In ResNet-18 and 34 the first stage adds to the output of the first convolution, so it
    has no width of its own."""
    stages = [_last(stage[0]).out_channels for stage in _stages(network)]
    return (
        network.conv1.out_channels,
        *(stages[1:] if _shares_stem(network) else stages),
        *(_first(block).out_channels for stage in _stages(network) for block in stage),
    )


def resize(network: ResNet, widths: Sequence[int]) -> None:
    """Change the network's numbers of channels, in place. Layers that change get fresh weights."""
    stem, *rest = widths
    stages = [stem, *rest[:3]] if _shares_stem(network) else rest[:4]
    inner = iter(rest[3:] if _shares_stem(network) else rest[4:])
    _resize_convolution(network.conv1, network.conv1.in_channels, stem)
    _resize_norm(network.bn1, stem)
    channels = stem
    for stage, width in zip(_stages(network), stages, strict=True):
        for block in stage:
            _resize_block(block, channels, next(inner), width)
            channels = width
    classifier = network.fc
    if classifier.in_features != channels:
        network.fc = nn.Linear(channels, classifier.out_features, device=classifier.weight.device)


def _stages(network: ResNet) -> Iterator[nn.Sequential]:
    yield from (network.layer1, network.layer2, network.layer3, network.layer4)


def _shares_stem(network: ResNet) -> bool:
    return network.layer1[0].downsample is None


def _first(block: nn.Module) -> nn.Conv2d:
    assert isinstance(block.conv1, nn.Conv2d)
    return block.conv1


def _last(block: BasicBlock | Bottleneck) -> nn.Conv2d:
    last: nn.Conv2d = block.conv3 if isinstance(block, Bottleneck) else block.conv2
    return last


def _resize_block(block: BasicBlock | Bottleneck, channels_in: int, inner: int, channels_out: int) -> None:
    insides = [inner, inner] if isinstance(block, Bottleneck) else [inner]
    for number, (before, after) in enumerate(pairwise([channels_in, *insides, channels_out]), 1):
        _resize_convolution(getattr(block, f"conv{number}"), before, after)
        _resize_norm(getattr(block, f"bn{number}"), after)
    if block.downsample is not None:
        _resize_convolution(block.downsample[0], channels_in, channels_out)
        _resize_norm(block.downsample[1], channels_out)


def _resize_convolution(conv: nn.Conv2d, channels_in: int, channels_out: int) -> None:
    if (conv.in_channels, conv.out_channels) == (channels_in, channels_out):
        return
    conv.in_channels, conv.out_channels = channels_in, channels_out
    conv.weight = nn.Parameter(conv.weight.new_empty(channels_out, channels_in, *conv.kernel_size))
    if not conv.weight.is_meta:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # like torchvision


def _resize_norm(norm: nn.BatchNorm2d, channels: int) -> None:
    norm.num_features = channels
    ones, zeros = norm.weight.new_ones(channels), norm.bias.new_zeros(channels)
    norm.weight, norm.bias = nn.Parameter(ones), nn.Parameter(zeros)
    norm.running_mean, norm.running_var = zeros.clone(), ones.clone()
