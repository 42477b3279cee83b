"""The groups of channels that a network has, seen by running it, and fresh weights at other numbers."""

from functools import lru_cache

import pytest
import torch
from torch import Tensor, nn

from bench import count, testing
from bench.allocation import at_budget
from bench.errors import BudgetError
from bench.files import format_0_widths
from bench.measure import fresh_weights, widths
from bench.measure.resizable import Resizing, traced_resizable
from bench.method import Resizable
from bench.model import Model
from bench.plugins import networks
from bench.surgery import channels_of

# One of each family that had widths written by hand.
BY_HAND = ("resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar", "resnet18", "resnet50")


class Gated(nn.Module):
    """What tracing has trouble with: squeeze and excitation, groups, two norms across channels, a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.squeeze, self.excite = nn.Linear(12, 5), nn.Linear(5, 12)
        self.skip = nn.Conv2d(8, 12, 1)
        self.scale = nn.Parameter(torch.full((12, 1, 1), 0.1))
        self.last = nn.LayerNorm(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        y = self.grouped(x)
        y = y * self.excite(self.squeeze(y.mean((2, 3))).relu()).sigmoid()[..., None, None]
        y = self.skip(x) + self.scale * y
        out: Tensor = self.head(self.last(y.permute(0, 2, 3, 1)).mean((1, 2)))
        return out


def by_root(network: nn.Module) -> dict[str, tuple[int, dict[str, tuple[int, ...]]]]:
    return {group.root: (group.size, dict(group.layers)) for group in widths.trace(network).groups}


def test_what_goes_together_by_hand() -> None:
    found = by_root(Gated())
    assert found == {
        # Steps of four: its norm has four groups, and a convolution with two reads it.
        "stem": (2, {"stem": (4, 0, 0), "norm": (4, 0), "grouped": (0, 4, 0), "skip": (0, 4, 0)}),
        "grouped": (
            6,
            {
                **{"grouped": (2, 0, 0), "excite": (2, 0), "skip": (2, 0, 0), "squeeze": (0, 2)},
                **{"scale": (2, 0, 0), "last": (2,), "head": (0, 2)},
            },
        ),
        "squeeze": (5, {"squeeze": (1, 0), "excite": (0, 1)}),
    }


def test_it_runs_at_these_and_stores_what_is_said() -> None:
    network = Gated()
    found = widths.trace(network)
    for sizes in ([1, 1, 1], [2, 3, 7], [5, 11, 2]):
        other = fresh_weights.at_channels(Gated(), found.channels(sizes), torch.Generator())
        assert other(torch.randn(2, 3, 9, 7)).shape == (2, 10)
        assert count.stored_values(other) == found.stored_values(sizes)
        assert {name: tensor.shape for name, tensor in found.empty(sizes).state_dict().items()} == {
            name: tensor.shape for name, tensor in other.state_dict().items()
        }
    assert by_root(network) == by_root(Gated()), "looking changes nothing"
    assert channels_of(network) == channels_of(Gated())


def test_a_flattened_image_counts_each_channel_by_its_pixels() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 10))
    assert by_root(network) == {"0": (4, {"0": (1, 0, 0), "3": (0, 9)})}


def test_a_size_of_images_that_only_one_network_takes() -> None:
    """24 - 2 = 22 pixels a side, and no other."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 22, 10))
    assert by_root(network) == {"0": (4, {"0": (1, 0, 0), "2": (0, 484)})}


def test_depthwise_convolutions_follow_with_their_multiplier() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 6, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)),
    )
    assert by_root(network) == {
        "0": (4, {"0": (1, 0, 0), "1": (2, 1, 1), "2": (0, 2, 0)}),
        "2": (6, {"2": (1, 0, 0), "5": (0, 1)}),
    }


class Fixed(nn.Module):
    """Its code names a number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.next = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x.reshape(len(x), 8, *x.shape[2:])
        out: Tensor = self.head(self.next(x).mean((2, 3)))
        return out


def test_channels_that_the_code_names_are_left_alone_and_said() -> None:
    found = widths.trace(Fixed())
    assert [group.root for group in found.groups] == ["next"]
    assert list(found.left_alone) == ["stem"]
    assert "shape '[" in found.left_alone["stem"]


def test_a_shared_weight_stays_as_it_is() -> None:
    twice = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 1), nn.Conv2d(5, 5, 1), nn.AdaptiveAvgPool2d(1))
    twice[2].weight = twice[1].weight
    found = widths.trace(nn.Sequential(*twice, nn.Flatten(), nn.Linear(5, 10)))
    assert not found.groups
    assert any("shares a parameter" in reason for reason in found.left_alone.values())


def test_where_nothing_can_change_the_reason_is_that_of_the_network() -> None:
    class Only(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).mean((2, 3)).reshape(-1, 8)
            out: Tensor = self.head(x)
            return out

    with pytest.raises(BudgetError, match=r"none of its channels can change: the channels of conv: .*"):
        traced_resizable(Only, 0, widths.trace(Only()))


@lru_cache(maxsize=1)
def resizables(model: str) -> tuple[Resizable, Resizable]:
    """As they are traced, and as they were written by hand."""
    plugin = networks.find(model).model
    return Resizing(plugin, 3, 10).of(0), format_0_widths.resizable(plugin, 3, 10, 0)


# Both ratios of a network go to one process, since to trace it takes longest.
@pytest.mark.slow
@pytest.mark.parametrize("ratio", [4, 0.5])
@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.xdist_group(f"widths of {name}")) for name in BY_HAND]
)
def test_they_are_those_that_were_written_by_hand(model: str, ratio: float) -> None:
    """Nearly the same layers, with weights of the deviation that the network's own code draws there, within 5 %."""
    ours, theirs = resizables(model)
    asked = round(count.stored_values(testing.network(model)) / ratio)
    traced, by_hand = (at_budget(one, asked).state_dict() for one in (ours, theirs))
    for name, parameter in traced.items():
        other = by_hand[name]
        assert all(abs(one - two) <= max(2, 0.05 * two) for one, two in zip(parameter.shape, other.shape, strict=True))
        if parameter.dim() < 2:  # zeros and ones, and the bias of the classifier
            continue
        # Where few values are drawn their deviation is off by chance, the half of which is that of the other.
        chance = 4 * (1 / (2 * parameter.numel()) + 1 / (2 * other.numel())) ** 0.5
        expected = float(other.std()) * (other[:, 0].numel() / parameter[:, 0].numel()) ** 0.5
        if "classifier" in name or name.startswith(("fc", "linear")):  # torch's own law goes by the fan-in
            expected = float(other.std()) * (other[0].numel() / parameter[0].numel()) ** 0.5
        assert float(parameter.std()) == pytest.approx(expected, rel=0.05 + chance), name


def test_a_plugins_own_widths_are_taken() -> None:
    """For a network whose channels can't be followed."""

    def resize(channels: int, num_classes: int, widths: list[int]) -> nn.Module:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[0], num_classes)]
        return nn.Sequential(nn.Conv2d(channels, widths[0], 1), *head)

    model = Model(lambda channels, num_classes: resize(channels, num_classes, [8]), widths=(8,), resize=resize)
    made = Resizing(model, 3, 10).of(0)
    assert made.widths == (8,)
    assert made.stored_values([5]) == 3 * 5 + 5 + 5 * 10 + 10


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_what_a_parametrization_computes_stays_as_it_is(norm: str) -> None:
    """torch's code for weight norm ends the process where its parts don't fit each other."""
    own = getattr(nn.utils.parametrizations, norm)
    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), own(nn.Conv2d(4, 6, 3)), nn.Conv2d(6, 5, 1), nn.Conv2d(5, 7, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 10)),
    )
    found = widths.trace(network)
    assert [group.root for group in found.groups] == ["2", "3"]
    assert {*found.left_alone.values()} == {"a parametrization computes a weight (like torch's weight_norm)"}
    family = traced_resizable(lambda: network, 0, found)
    with pytest.raises(
        BudgetError, match=r"with one channel in each group that can change .*; these keep .*: the chann"
    ):
        at_budget(family, 30)
