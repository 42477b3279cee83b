"""Networks: parameter counts of the literature, other inputs and class counts, the same weights for the same seed."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from bench import count, testing
from bench.errors import InputError
from bench.measure import account
from bench.models import torchvision_segmentation
from bench.models._build import build_network
from bench.plan.method_choice import find_methods
from bench.plugins import networks, syntax
from bench.plugins.discovery import catalogue

SMALLEST = ("resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar")  # of each CIFAR family


def build(name: str, channels: int, classes: int) -> nn.Module:
    """With any weights; also without storage."""
    return networks.find(name).model.build(channels=channels, num_classes=classes)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet20", 269_722),
        ("resnet56", 853_018),
        ("densenet-bc-40-36", 1_542_682),
        ("densenet-bc-40-48", 2_733_130),
        ("densenet-bc-100-12", 769_162),
        ("mobilenetv2-cifar", 2_296_922),
        ("shufflenetv2-x0.5-cifar", 352_042),
        ("shufflenetv2-x1-cifar", 1_263_854),
    ],
)
def test_parameters_of_the_literature(name: str, parameters: int) -> None:
    assert count.stored_values(build(name, 3, 10)) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160)],
)
def test_parameters_of_torchvision(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build(name, 3, 1000)
    assert count.stored_values(network) == parameters


@pytest.mark.parametrize("depth", [8, 20, 32, 44, 56, 110])
def test_depth_is_the_number_of_layers_with_weights(depth: int) -> None:
    network = build(f"resnet{depth}", 3, 10)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize("depth", [40, 100])
def test_depth_of_densenet_counts_its_layers_with_weights(depth: int) -> None:
    network = build(f"densenet-bc-{depth}-12", 3, 10)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize(("channels", "classes", "size"), [(1, 3, 8), (3, 100, 32), (4, 2, 17)])
def test_any_channels_classes_and_sizes(name: str, channels: int, classes: int, size: int) -> None:
    network = build(name, channels, classes).eval()
    assert network(torch.zeros(2, channels, size, size)).shape == (2, classes)


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.slow
def test_export_leaves_the_batch_size_free(name: str) -> None:
    network = build(name, 3, 10).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(network, (torch.rand(2, 3, 16, 16),), dynamic_shapes=({0: batch},), strict=False)
    x = torch.rand(5, 3, 16, 16)
    torch.testing.assert_close(exported.module()(x), network(x))


def test_the_shortcut_has_no_parameters_and_puts_its_zeros_behind() -> None:
    from bench.models.cifar_resnet import Shortcut

    x = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4) + 1
    shortcut = Shortcut(stride=2)
    assert not list(shortcut.parameters())
    y = shortcut(x, torch.zeros(1, 6, 2, 2))
    assert y.shape == (1, 6, 2, 2)
    assert torch.equal(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2:].any()


def test_a_dense_layer_puts_its_new_channels_first() -> None:
    from bench.models.densenet_bc import Bottleneck

    x = torch.rand(2, 6, 5, 5)
    y = Bottleneck(6, 16, 4).eval()(x)
    assert y.shape == (2, 10, 5, 5)
    assert torch.equal(y[:, 4:], x)


def test_an_inverted_residual_has_a_shortcut_where_its_stride_is_1() -> None:
    from bench.models.mobilenetv2_cifar import InvertedResidual

    x = torch.rand(2, 4, 6, 6)
    same, wider, smaller = (
        InvertedResidual(4, 24, outputs, stride, is_first)
        for outputs, stride, is_first in ((4, 1, False), (8, 1, True), (4, 2, True))
    )
    for block in (same, wider, smaller):
        nn.init.zeros_(block.bn3.weight)
    assert torch.equal(same(x), x)
    assert torch.equal(wider(x), wider.shortcut(x))
    assert torch.equal(smaller(x), torch.zeros(2, 4, 3, 3))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_shuffle_takes_the_channels_of_both_halves_in_turn(memory_format: torch.memory_format) -> None:
    from bench.models.shufflenetv2_cifar import shuffle

    x = torch.rand(2, 6, 3, 5).to(memory_format=memory_format)
    assert torch.equal(shuffle(x), x[:, [0, 3, 1, 4, 2, 5]])


def test_a_basic_block_of_shufflenet_passes_the_first_half_on() -> None:
    from bench.models.shufflenetv2_cifar import BasicBlock

    x = torch.rand(2, 6, 4, 4)
    assert torch.equal(BasicBlock(3, 5)(x)[:, ::2], x[:, :3])


def test_no_name_stands_for_two_networks() -> None:
    assert len(networks.names()) == sum(len(syntax.constant(path, "NAMES")) for _, _, path in catalogue("models"))


def test_every_name_is_found_as_what_it_is_listed_as() -> None:
    for name, description in networks.names().items():
        assert networks.find(name).model.first_line == description


def test_torchvision_gives_its_convolutional_networks_and_no_transformers() -> None:
    names = networks.names().keys()
    wanted = "alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 mnasnet1_0 mobilenet_v2 "
    wanted += "mobilenet_v3_small regnet_y_400mf resnet18 resnext50_32x4d shufflenet_v2_x1_0 squeezenet1_1 vgg16"
    assert set(wanted.split()) <= names
    assert not [name for name in names if name.startswith(("vit", "swin", "maxvit"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "googlenet", "inception_v3"])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_torchvision_take_any_channels_and_give_one_tensor(name: str, channels: int) -> None:
    with torch.device("meta"):
        network = build(name, channels, 7).train()
        assert network(torch.zeros(2, channels, 299, 299)).shape == (2, 7)


@pytest.mark.parametrize("name", syntax.constant(Path(torchvision_segmentation.__file__), "NAMES"))
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_that_segment_give_logits_for_each_pixel(name: str, channels: int) -> None:
    found = networks.find(name).model
    assert found.task == "segmentation"
    with torch.device("meta"):
        network = found.build(channels, 7).train()
        outputs = network(torch.zeros(2, channels, 65, 97))
    assert [*outputs] == ["out", *(name.removesuffix("_classifier") for name in found.training_only)]
    assert all(output.shape == (2, 7, 65, 97) for output in outputs.values())


def test_the_papers_resnet18_is_a_resnet26() -> None:
    """By its parameters: those of its table, 15,995,176 and with CSG 10,371,368, are of bottleneck blocks."""
    network = build_network(networks.find("resnet26").model, 3, 1000, 0)
    assert count.stored_values(network) == 15_995_176
    (choice,) = find_methods(["csg:slice=16x16:code=128"])
    made = account.compress(choice.method, network, None, 0, False)
    assert count.stored_values(made.network) == 10_371_368


@pytest.mark.parametrize(
    ("name", "dense", "with_csg"),
    [
        # As the CSG authors' own code has them (21 classes, one generator for the backbone, one for the pyramid).
        ("deeplabv3plus-resnet101", 59_344_309, 26_406_325),
        # torchvision's: ResNet-101 without its classifier 42,500,160; the pyramid 15,535,104; 3x3 and its batch norm
        # 590,336; 1x1 5,397. CSG's as above, since the same layers are generated.
        ("deeplabv3_resnet101", 58_630_997, 25_693_013),
    ],
)
def test_values_of_deeplab_as_the_csg_paper_compresses_it(name: str, dense: int, with_csg: int) -> None:
    model = networks.find(name).model
    network = build_network(model, 3, 21, seed=0)
    assert count.stored_values(network) == dense
    (choice,) = find_methods(["csg:slice=16x16:code=128"])
    made = account.compress(choice.method, network, None, 0, False, model.family)
    assert count.stored_values(made.network) == with_csg
    # Two generators of 128 slices; a code for each of 9,264 slices of the backbone and 6,144 of the pyramid.
    assert with_csg == dense - 21_344_256 - 14_155_776 + 2 * 128 * 2304 + 128 * (9_264 + 6_144)
    assert {name: made.solved[f"slices.{name}"] for name in ("3x3", "3x3-pyramid")} == {
        "3x3": 9_264,
        "3x3-pyramid": 6_144,
    }
    assert dense / with_csg == pytest.approx(2.3, abs=0.06)  # the paper's Table 4


def test_deeplabv3plus_has_output_stride_16_and_the_authors_dilations() -> None:
    with torch.device("meta"):
        network = build("deeplabv3plus-resnet101", 1, 7).eval()
        low, last = network.get_submodule("backbone")(torch.zeros(1, 1, 129, 97))
        assert network(torch.zeros(1, 1, 129, 97)).shape == (1, 7, 129, 97)
    assert (low.shape, last.shape) == ((1, 256, 33, 25), (1, 2048, 9, 7))
    dilations = [module.dilation[0] for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [dilation for dilation in dilations if dilation > 1] == [2, 4, 8, 6, 12, 18]


@pytest.mark.parametrize("name", [*SMALLEST, "squeezenet1_1"])
def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone(name: str) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (testing.network(name, 1, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "inception_v3"])
@pytest.mark.parametrize("classes", [1000, 7])
@pytest.mark.slow
def test_pretrained_weights(name: str, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    trained = torchvision.models.get_model(name, weights=None, **heads).state_dict()
    _serve(monkeypatch, trained)
    network = _pretrained(name, 3, classes)
    kept = network.state_dict()
    with torch.device("meta"):
        fresh = build(name, 3, classes)
    assert {key: value.shape for key, value in kept.items()} == {k: v.shape for k, v in fresh.state_dict().items()}
    changed = {key.rpartition(".")[0] for key, value in kept.items() if not torch.equal(value, trained[key])}
    assert changed == (set() if classes == 1000 else {"classifier.1" if name == "squeezenet1_1" else "fc"})
    assert getattr(network, "transform_input", None) == getattr(fresh, "transform_input", None)
    with torch.device("meta"):
        assert network.to("meta").train()(torch.zeros(2, 3, 299, 299)).shape == (2, classes)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("deeplabv3_mobilenet_v3_large", {"classifier.4", "aux_classifier.4"}),
        ("lraspp_mobilenet_v3_large", {"classifier.low_classifier", "classifier.high_classifier"}),
    ],
)
@pytest.mark.parametrize("classes", [21, 7])
def test_pretrained_weights_of_networks_that_segment(
    name: str, heads: set[str], classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"aux_loss": True} if name.startswith("deeplab") else {}
    trained = torchvision.models.get_model(name, weights=None, weights_backbone=None, **options).state_dict()
    _serve(monkeypatch, trained)
    model = networks.find(name).model
    assert model.pretrained_for == (3, 21)
    assert model.inputs is not None
    assert model.inputs.size == (520, 520)
    kept = _pretrained(name, 3, classes).state_dict()
    assert {key: value.shape for key, value in kept.items()} == {
        key: value.shape for key, value in build(name, 3, classes).state_dict().items()
    }
    changed = {key.rpartition(".")[0] for key, value in kept.items() if not torch.equal(value, trained[key])}
    assert changed == (set() if classes == 21 else heads)


def test_pretrained_weights_need_3_channels() -> None:
    with pytest.raises(InputError, match="the pretrained resnet18 takes images of 3 channels, not 1; choose"):
        _pretrained("resnet18", 1, 10)


def test_pretrained_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    _serve(monkeypatch, URLError("no network"))
    with pytest.raises(InputError, match=r"weights of squeezenet1_1 can't be fetched into .*: .*no network"):
        _pretrained("squeezenet1_1", 3, 10)


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="unknown model 'resnt20'; did you mean 'resnet20'"):
        networks.find("resnt20")


def _pretrained(name: str, channels: int, classes: int) -> nn.Module:
    make = networks.find(name).model.pretrained
    assert make is not None
    return make(channels, classes)


def _serve(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Have torchvision receive `answer`, or fail with it, where it would fetch a file."""

    def fetch(*arguments: object, **options: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
