"""`--weights backbone=...`: what was trained to classify fills the backbone of what segments, and nothing else."""

from pathlib import Path

import pytest
import torch
import torchvision
from conftest import tiny_spec

from bench import testing
from bench.errors import InputError
from bench.files import artifact
from bench.files.description import Description
from bench.files.start_weights import Weights, find
from bench.method import Compressed
from bench.models._build import build_network
from bench.plan import plan, spec
from bench.plan.method_choice import find_methods
from bench.plugins import networks

NAME = "deeplabv3_mobilenet_v3_large"
MODEL = networks.find(NAME)


def filled(weights: Weights, seed: int = 3) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The state of a network of this seed, as it begins and as it is made."""
    own = build_network(MODEL.model, 3, 5, seed)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    return weights.open(3, 5)(own, seed).state_dict(), before


def assert_filled(weights: Weights, source: dict[str, torch.Tensor]) -> None:
    """The classifier's `features` are the backbone; the head is the seed's own."""
    state, before = filled(weights)
    for name, value in state.items():
        inside = name.startswith("backbone.")
        wanted = source[name.replace("backbone.", "features.", 1)] if inside else before[name]
        assert torch.equal(value, wanted), name


@pytest.fixture(scope="module")
def classifier() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    state: dict[str, torch.Tensor] = torchvision.models.mobilenet_v3_large(weights=None).state_dict()
    return state


def test_a_state_dict(classifier: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(classifier, tmp_path / "mobilenet.pth")
    weights = find(f"backbone={tmp_path / 'mobilenet.pth'}", MODEL)
    assert weights.name == "backbone=mobilenet.pth"
    left_out = "left out, since the backbone has no such tensors: "
    assert any(left_out in note and "classifier" in note for note in weights.notes)
    assert_filled(weights, classifier)


def test_torchvisions_own(classifier: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", lambda self, *_, **__: classifier)
    weights = find("backbone=pretrained", MODEL)
    assert (weights.text, weights.name) == ("backbone=pretrained", "backbone=pretrained")
    assert_filled(weights, classifier)


@pytest.mark.parametrize("method", ["dense", "csg"])
def test_a_run(method: str, tmp_path: Path) -> None:
    """Of a compressed one the kernels that it makes."""
    chosen = networks.find("mobilenet_v3_large")
    (choice,) = find_methods([method])
    if method == "dense":
        made = Compressed(testing.network("mobilenet_v3_large", 3, 10, seed=1))
    else:
        made = testing.compress(choice.method, "mobilenet_v3_large", 3_000_000, seed=1)
    description = Description(artifact.describe_model(chosen, 3, 10), (choice.step(made),), epochs=7)
    file = tmp_path / "run.safetensors"
    file.write_bytes(artifact.pack(made, description))
    weights = find(f"backbone={file}", MODEL)
    assert weights.epochs == 7
    assert any("other methods start from its full kernels" in note for note in weights.notes) is (method == "csg")
    assert_filled(weights, made.finish().state_dict())


def test_a_run_of_a_network_in_a_file_is_refused(tmp_path: Path) -> None:
    """Nothing names the file that would build it again: `--model` names the other one's."""
    text = f"{Path(__file__).resolve().parents[1] / 'samples' / 'mynet.py'}:mynet"
    network = build_network(networks.find(text).model, 3, 10, seed=1)
    (dense,), made = find_methods(["dense"]), Compressed(network)
    description = Description(artifact.describe_model(networks.find(text), 3, 10), (dense.step(made),))
    file = tmp_path / "run.safetensors"
    file.write_bytes(artifact.pack(made, description))
    message = r"run\.safetensors holds mynet\.py:mynet, a network from another file than .* or from changed code"
    with pytest.raises(InputError, match=message):
        find(f"backbone={file}", MODEL)


def test_it_is_part_of_ids_and_what_was_given_is_not_measured(
    classifier: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "mobilenet.pth"
    torch.save(classifier, file)
    settings = {"dataset": "shapes", "model": NAME}
    asked = tiny_spec(["csg"], budgets=["2x"], weights=f"backbone={file}", plugins=[], **settings)
    made = plan.from_spec(asked)
    assert [run.choice.label for run in made.runs] == ["dense", "csg"]
    assert "backbone=mobilenet.pth fills the backbone, and the head is fresh" in made.notes
    plain = plan.from_spec(tiny_spec(["csg"], budgets=["2x"], plugins=[], **settings))
    assert {run.id for run in made.runs}.isdisjoint(run.id for run in plain.runs)
    assert made.setting.weights is not None
    assert made.setting.weights.columns()["weights"] == "backbone=mobilenet.pth"
    # In a file, its path counts from the file's folder.
    (tmp_path / "spec.toml").write_text('weights = "backbone=mobilenet.pth"\n')
    assert spec.read(tmp_path / "spec.toml")["weights"] == f"backbone={file}"


@pytest.mark.parametrize(
    ("name", "text", "fresh_head", "message"),
    [
        ("resnet8", "pretrained", False, "resnet8 declares no backbone for backbone=pretrained to fill"),
        (NAME, "FILE", True, "--fresh-head is not needed: with .* everything except the backbone is fresh"),
        ("deeplabv3_resnet50", "FILE", False, r"can't be filled from .*: \d+ of \d+ tensors are missing"),
        ("deeplabv3-resnet8", "pretrained", False, "there are no pretrained weights for the backbone of deeplabv3-re"),
        (NAME, "nowhere.pth", False, "nowhere.pth"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(
    name: str, text: str, fresh_head: bool, message: str, classifier: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "mobilenet.pth"
    torch.save(classifier, file)
    with pytest.raises(InputError, match=message):
        find(f"backbone={text.replace('FILE', str(file))}", networks.find(name), fresh_head=fresh_head)
