"""What only training uses: an auxiliary head is neither compressed, counted nor stored, whatever the method does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import count, testing, training_only
from bench.budget import met
from bench.errors import BudgetError, InputError
from bench.files import artifact
from bench.files.start_weights import find
from bench.measure import account
from bench.measure.resizable import Resizing
from bench.method import Compressed
from bench.model import Model
from bench.models._build import build_network
from bench.models._usable import require_outputs
from bench.plan.method_choice import find_methods
from bench.plan.task_choice import find_task
from bench.plugins import discovery, networks
from bench.selection import EVERY_LAYER, select
from bench.testing.kit import subject_of

NAME, HEAD = "deeplabv3-resnet8", "aux_classifier"
SMALL = networks.find(NAME)
# A head of 32 channels on maps of 32, for ten classes: 3x3 and its batch norm, 1x1 and its bias.
HEAD_VALUES = 32 * 32 * 9 + 2 * 32 + 32 * 10 + 10
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network(seed: int = 0) -> nn.Module:
    return build_network(SMALL.model, 3, 10, seed)


def compressed(method: str, ratio: int = 4) -> Compressed:
    (choice,) = find_methods([method])
    fixed = not choice.method.sized_by_budget
    values = None if fixed else round(count.stored_values(network()) / ratio)
    resizing = Resizing(SMALL.model, 3, 10)
    made = account.compress(choice.method, network(), values, 0, True, SMALL.model.family, lambda: resizing.of(0))
    return account.to_size(choice.method, made)


def test_it_is_in_no_count() -> None:
    made, without = network(), network()
    whole = sum(parameter.numel() for parameter in made.parameters())
    training_only.remove(without)
    assert count.stored_values(made) == count.stored_values(without) == whole - HEAD_VALUES
    assert count.trained_values(made) == whole - HEAD_VALUES
    assert count.statistics(made).keys() == count.statistics(without).keys()
    assert count.forward_macs(made, (3, 32, 32)) == count.forward_macs(without, (3, 32, 32))
    assert count.macs_by_module(made, (3, 32, 32)) == count.macs_by_module(without, (3, 32, 32))
    assert select(made, EVERY_LAYER).keys() == select(without, EVERY_LAYER).keys()
    # Counting leaves it there.
    assert made.get_submodule(HEAD) is not None
    assert made.train()(IMAGES).keys() == {"out", "aux"}


@pytest.mark.parametrize("method", [name for name in discovery.available("methods") if name not in ("gcnn", "given")])
def test_methods_leave_its_layers_alone_and_it_goes_on_working(method: str) -> None:
    plain, made = network(), compressed(method)
    if method not in ("dense", "kmeans"):
        assert met(round(count.stored_values(plain) / 4), count.stored_values(made.network))
    (name,) = training_only.names(made.network)
    head, before = made.network.get_submodule(name), plain.get_submodule(HEAD)
    assert [type(module) for module in head.modules()] == [type(module) for module in before.modules()]
    layers = (head.get_submodule("0.0"), head.get_submodule("1"))
    # It makes what it made, of the channels that arrive.
    assert [layer.out_channels for layer in layers] == [32, 10]
    outputs = made.network.train()(IMAGES)
    assert outputs["aux"].shape == outputs["out"].shape == (2, 10, 32, 32)
    outputs["aux"].sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize("method", ["dense", "csg", "pruning", "width", "lowrank"])
def test_a_file_has_none_of_it_and_gives_the_same(method: str, tmp_path: Path) -> None:
    made = compressed(method)
    description = subject_of(method, NAME, ()).describe(made)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(artifact.pack(made, description))
    assert not [name for name in artifact.read(file).tensors if HEAD in name]
    loaded = artifact.load(file)
    assert training_only.names(loaded.network) == []
    with torch.inference_mode():
        outputs = loaded.network(IMAGES)
        assert outputs.keys() == {"out"}
        torch.testing.assert_close(outputs["out"], made.network.eval()(IMAGES)["out"])


def test_another_run_of_pruning_gives_its_channels_too(tmp_path: Path) -> None:
    found = compressed("pruning")
    file = tmp_path / "weights.safetensors"
    file.write_bytes(artifact.pack(found, subject_of("pruning", NAME, ()).describe(found)))
    (choice,) = find_methods([f"pruning:structure={file}"])
    made = account.compress(choice.method, network(), None, 0, False, SMALL.model.family)
    assert count.stored_values(made.network) == count.stored_values(found.network)
    assert made.network.train()(IMAGES)["aux"].shape == (2, 10, 32, 32)


def test_what_changes_all_layers_refuses() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.more, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 10)
            self.aux = nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Any:
            x = self.conv(x).relu()
            aux = None if self.aux is None else self.aux(x.mean((2, 3)))
            out = self.fc(self.more(x).relu().mean((2, 3)))
            return out if aux is None else (out, aux)

    model = Model(Features, training_only=("aux",))
    (choice,) = find_methods(["gcnn"])
    resizing = Resizing(model, 3, 10)
    with pytest.raises(BudgetError, match=r"1 auxiliary heads \(aux\)"):
        account.compress(choice.method, build_network(model, 3, 10, 0), 300, 0, False, "", lambda: resizing.of(0))


@pytest.mark.parametrize("with_head", [True, False])
def test_weights_may_lack_it_and_then_it_follows_from_the_seed(with_head: bool, tmp_path: Path) -> None:
    given = {name: tensor for name, tensor in network(9).state_dict().items() if with_head or not name.startswith(HEAD)}
    file = tmp_path / "weights.pt"
    torch.save(given, file)
    weights = find(str(file), SMALL)
    start = weights.open(3, 10)
    assert any("aux_classifier; only training uses this" in note for note in weights.notes) is not with_head
    for seed in (1, 2):
        made, own = start(network(seed), seed).state_dict(), network(seed).state_dict()
        assert all(torch.equal(made[name], given.get(name, own[name])) for name in made)
    assert find(str(file), SMALL, fresh_head=True).open(3, 7)(build_network(SMALL.model, 3, 7, 0), 0) is not None


def test_half_of_it_is_not_enough(tmp_path: Path) -> None:
    state = network().state_dict()
    del state[f"{HEAD}.1.bias"]
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"1 of \d+ tensors is missing \(aux_classifier.1.bias\)"):
        find(str(tmp_path / "weights.pt"), SMALL)


class Toy(nn.Module):
    """A head that runs where `runs` says, and without which forward() does what `without` says."""

    def __init__(self, runs: str = "always", without: str = "works") -> None:
        super().__init__()
        self.body, self.fc, self.aux = nn.Conv2d(3, 4, 3), nn.Linear(4, 10), nn.Linear(4, 10)
        self.runs, self.without = runs, without

    def forward(self, x: Tensor) -> Any:
        x = self.body(x).relu().mean((2, 3))
        out = self.fc(x)
        if self.aux is None:
            if self.without == "fails":
                raise TypeError("where is it?")
            return out + 1 if self.without == "changes" else out
        return (out, self.aux(x)) if self.training or self.runs == "always" else out


@pytest.mark.parametrize(
    ("options", "names", "message"),
    [
        ({}, ("aux",), ""),
        ({}, ("auxiliary",), "training_only names 'auxiliary', but the network has no such submodule"),
        ({}, ("",), "training_only names '', but the network has no such submodule"),
        ({"runs": "in training"}, ("aux",), "the network runs its aux in training alone"),
        ({"without": "fails"}, ("aux",), r"training_only names aux, and with None there the network fails: TypeError"),
        ({"without": "changes"}, ("aux",), "training_only names aux, and with None there the network gives other outp"),
        ({}, ("fc",), "training_only names fc, and with None there the network fails"),
    ],
)
def test_a_network_must_do_without(options: dict[str, str], names: tuple[str, ...], message: str) -> None:
    def look() -> None:
        made = build_network(Model(lambda: Toy(**options), training_only=names), 3, 10, 0)
        require_outputs(made, (3, 8, 8), 10, find_task("classification").task)

    if not message:
        look()
        return
    with pytest.raises(InputError, match=message):
        look()


class Sharing(nn.Module):
    """An auxiliary head that holds the classifier's weight, one that uses a layer of the body, one that is the
    classifier itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.more = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.classifier, self.tied, self.same = nn.Conv2d(8, 10, 1), nn.Conv2d(8, 10, 1), nn.Conv2d(8, 10, 1)
        self.tied.weight = self.classifier.weight
        self.same = self.classifier
        self.using = nn.Sequential(self.more, nn.Conv2d(8, 10, 1))

    def forward(self, x: Tensor) -> Any:
        x = self.body(x).relu()
        heads = [head(x) for head in (self.tied, self.using) if head is not None]
        return (self.classifier(self.more(x)).mean((2, 3)), *(head.mean((2, 3)) for head in heads))


def test_what_a_head_shares_with_the_network_is_the_networks() -> None:
    made = build_network(Model(Sharing, training_only=("tied", "using")), 3, 10, 0)
    whole = count.stored_values(made)
    assert whole == 3 * 8 * 9 + 8 + 8 * 8 * 9 + 8 + 8 * 10 + 10
    assert list(select(made, EVERY_LAYER)) == ["body", "more", "classifier"]
    (choice,) = find_methods(["csg:layers=*:kernel=all:slice=4x4:code=2:skip_first=false"])
    compressed = account.compress(choice.method, made, None, 0, False)
    compressed.network.train()(IMAGES)[0].sum().backward()
    deployed = account.deploy(compressed, (3, 32, 32)).network
    assert training_only.names(deployed) == []
    assert count.stored_values(deployed) == whole


def test_a_head_that_stands_in_two_places_is_refused() -> None:
    with pytest.raises(InputError, match="training_only names 'same', which is also the submodule 'classifier'"):
        build_network(Model(Sharing, training_only=("same",)), 3, 10, 0)


def test_a_backbone_must_be_there() -> None:
    with pytest.raises(InputError, match="backbone names 'spine', and the network has no such submodule"):
        build_network(Model(Sharing, backbone="spine"), 3, 10, 0)


def test_it_is_back_after_an_error() -> None:
    made = network()

    def fail() -> None:
        with training_only.left_out(made):
            assert made._modules[HEAD] is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert training_only.names(made) == [HEAD]


def test_the_kit_looks_at_a_network_that_has_one() -> None:
    assert training_only.names(testing.network(NAME)) == [HEAD]
