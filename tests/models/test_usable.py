"""Networks as they come: what can't be counted, copied or trained is refused in a line, the rest works."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from bench import count
from bench.errors import BudgetError, InputError
from bench.measure import account
from bench.model import Model
from bench.models._build import build_network
from bench.models._usable import require_logits
from bench.plan.plan import find_methods


def layers(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), *more, nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def with_layer(change: Callable[[nn.Module], Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        network = layers()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weight_norm is deprecated
            change(network[2])
        return network

    return build


def without_gradients(layer: nn.Module) -> None:
    with torch.no_grad():
        prune.random_unstructured(layer, "weight", 0.5)


class ByMask(nn.Module):
    """A parametrization that masks."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", (weight > 0).float())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.kept


class Views(nn.Module):
    """A convolution and a linear layer on one memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.linear = nn.Linear(3, 8)
        self.linear.weight = nn.Parameter(self.conv.weight.detach().view(8, 3))


class Computed(nn.Module):
    """Keeps what it computed when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.norm = self.conv.weight.norm()


REFUSED = {
    "masked": (
        with_layer(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
        r"the network's 2\.weight is masked by torch\.nn\.utils\.prune, .*; call prune\.remove\(module, 'weight'\)",
    ),
    "masked without gradients": (with_layer(without_gradients), r"2\.weight is masked by torch\.nn\.utils\.prune"),
    "bias masked": (with_layer(lambda layer: prune.random_unstructured(layer, "bias", 0.5)), r"2\.bias is masked"),
    "structured": (
        with_layer(lambda layer: prune.ln_structured(layer, "weight", 0.5, n=2, dim=0)),
        r"2\.weight is masked",
    ),
    "masked twice": (
        with_layer(lambda layer: prune.l1_unstructured(prune.identity(layer, "weight"), "weight", 0.5)),
        r"2\.weight is masked",
    ),
    "parametrized mask": (
        with_layer(lambda layer: parametrize.register_parametrization(layer, "weight", ByMask(layer.weight))),
        r"2\.weight is masked by a parametrization, and 0\.kept would be counted .*remove_parametrizations",
    ),
    "weight_norm": (
        with_layer(lambda layer: nn.utils.weight_norm(layer)),
        r"the network's 2 computes its weight in a hook \(WeightNorm\), so that it can't be copied; use torch\.nn\.",
    ),
    "spectral_norm": (
        with_layer(lambda layer: nn.utils.spectral_norm(layer)),
        r"2 computes its weight in a hook \(SpectralNorm\)",
    ),
    "views": (Views, r"conv\.weight and linear\.weight are two parameters in one memory, .*; hold one parameter in"),
    "computed": (Computed, "the network's module keeps norm, a tensor computed from parameters"),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(8, 3)), r"0\.weight has no shape yet"),
    "empty": (lambda: nn.Sequential(nn.Flatten()), "the network has no parameters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_t_be_used_is_refused_in_a_line_with_a_way_out(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        build_network(Model(build), 3, 10, seed=0)
    assert "\n" not in str(caught.value)


def pruned_and_removed() -> nn.Module:
    network = layers()
    prune.remove(prune.l1_unstructured(network[2], "weight", 0.5), "weight")
    return network


def test_a_mask_that_was_removed_is_no_more_values() -> None:
    assert count.stored_values(build_network(Model(pruned_and_removed), 3, 10, 0)) == count.stored_values(layers())


class Depth(nn.Module):
    """A Conv3d on images as slices, and a Conv1d."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(12, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 16, 3, padding=1)
        self.conv1d = nn.Conv1d(1, 1, 3, padding=1)
        self.classifier = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.conv3d(images[:, None]).flatten(1, 2))
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = torch.relu(self.conv3(x)).mean((2, 3))
        return self.classifier(x + self.conv1d(x[:, None])[:, 0])


@pytest.mark.slow
def test_other_convolutions_are_left_alone_by_every_method() -> None:
    model = Model(Depth)
    dense = count.stored_values(build_network(model, 3, 10, 0))
    met = []
    for choice in find_methods(["all"]):
        method = choice.method
        network = build_network(model, 3, 10, 0)
        try:
            made = account.compress(method, network, dense // 2 if method.sized_by_budget else None, 0, trained=True)
        except BudgetError:
            continue
        account.to_size(method, made)
        assert made.finish()(torch.randn(2, 3, 8, 8)).shape == (2, 10)
        met.append(choice.name)
    assert {"dense", "csg", "basis", "sparse", "kmeans", "hashing", "pruning"} <= set(met)


@pytest.mark.parametrize("parametrized", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_layers_are_fine(parametrized: Callable[[nn.Module], nn.Module]) -> None:
    network = build_network(Model(with_layer(parametrized)), 3, 10, 0)
    require_logits(network, (3, 8, 8), 10)


class Auxiliary(nn.Module):
    """Gives more than logits in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits: Tensor = self.layers(images)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            layers(),
            r"outputs of shape \(2, 10\) for 2 images, and 3 classes want \(2, 3\); have its function take num_",
        ),
        (layers()[:3], r"outputs of shape \(2, 8, 8, 8\) for 2 images"),
        (Auxiliary(), "the network gives a tuple in training; it must give one tensor"),
        (nn.Sequential(nn.Conv2d(1, 3, 3)), "the network can't take images of 3x8x8: RuntimeError: Given groups=1"),
        (nn.Sequential(nn.Conv2d(3, 3, 11)), "the network can't take images of 3x8x8: RuntimeError: Calculated padded"),
    ],
    ids=["ten outputs", "maps", "auxiliary", "one channel", "too small"],
)
def test_outputs_that_are_no_logits_are_refused_in_a_line(network: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        require_logits(network, (3, 8, 8), 3)
    assert "\n" not in str(caught.value)


SEVEN = '''
from torch import nn

def seven(channels, num_classes):
    """Has seven outputs, whatever is asked for."""
    return nn.Sequential(nn.Conv2d(channels, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7))
'''


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", ["run --methods dense --dataset glyphs:train=64 --out OUT", "footprint --methods csg --classes 10"]
)
def test_a_sweep_and_a_footprint_ask_before_anything_is_done(command: Command, tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "seven.py"
    file.write_text(SEVEN)
    out = tmp_path / "out"
    given = arguments.replace("OUT", str(out)).split()
    code, _, err = command(*given, "--model", f"{file}:seven")
    assert code == 2
    assert re.search(r"the network gives outputs of shape \(2, 7\) for 2 images, and (\d+) classes want \(2, \1\)", err)
    assert err.splitlines()[-1].startswith("bench: ")
    assert not out.exists()
