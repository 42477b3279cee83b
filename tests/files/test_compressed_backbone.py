"""`--weights backbone=RUN` where RUN was compressed by the same method: its compressed layers themselves are taken."""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import PLUGINS, tiny_spec
from torch import nn

from bench import count, masks, testing
from bench.errors import InputError
from bench.files import artifact
from bench.files.artifact import Given
from bench.files.compressed_backbone import CompressedBackbone, at_places
from bench.files.description import Description
from bench.files.start_weights import Weights, find
from bench.measure import account
from bench.method import Compressed
from bench.methods.kmeans import Centres
from bench.methods.sparse import CONVOLUTIONS
from bench.models._build import build_network
from bench.plan import plan
from bench.plan.method_choice import find_methods
from bench.plan.run import Run
from bench.plan.setting import prefix_id
from bench.plugins import discovery, networks
from bench.selection import Rule, select

FILE = PLUGINS / "two_tasks.py"
CLASSIFIER, SEGMENTER = f"{FILE}:classifier", f"{FILE}:segmenter"


# What a network is to store, from the network; None for a method of fixed size.
Budget = Callable[[nn.Module], int] | None


def half(network: nn.Module) -> int:
    return round(count.stored_values(network) / 2)


def write_run(folder: Path, method: str, model: str = CLASSIFIER, seed: int = 1, budget: Budget = None) -> Path:
    """A run's file, of a network whose batch norm has seen images."""
    (choice,) = find_methods([method])
    chosen = networks.find(model)
    network = build_network(chosen.model, 3, 10, seed)
    values = None if budget is None else budget(network)
    compressed = account.compress(choice.method, network, values, seed, trained=True)
    with torch.no_grad():
        compressed.network.train()(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2)))
    compressed.settle()
    folder.mkdir(exist_ok=True)
    file = folder / "run.safetensors"
    description = Description(artifact.describe_model(chosen, 3, 10), (choice.step(compressed),), epochs=7)
    file.write_bytes(artifact.pack(compressed, description))
    return file


def saved(file: Path, model: str | None = CLASSIFIER) -> Compressed:
    return artifact.load(file, Given([], model))


def weights_of(file: Path, model: str = SEGMENTER) -> Weights:
    return find(f"backbone={file}", networks.find(model))


def backbone_of(weights: Weights) -> CompressedBackbone:
    assert weights.compressed is not None
    return weights.compressed


class Making:
    """Compresses fresh networks that have the kernels of `weights` in their backbone; `given` are the seeds of each."""

    def __init__(self, weights: Weights, method: str, budget: Budget = None) -> None:
        (self.choice,) = find_methods([method])
        self.weights, self.budget = weights, budget
        self.given: list[Sequence[int]] = []

    def dense(self) -> nn.Module:
        return self.weights.open(3, 7)(build_network(self.weights.model.model, 3, 7, seed=3), 3)

    def __call__(self, seeds: Sequence[int] = ()) -> Compressed:
        self.given.append(seeds)
        network = self.dense()
        values = None if self.budget is None else self.budget(network)
        family = self.weights.model.model.family
        return account.compress(self.choice.method, network, values, 3, trained=True, family=family, seeds=seeds)


def start(file: Path, method: str, budget: Budget = None, model: str = SEGMENTER) -> tuple[Compressed, str]:
    weights = weights_of(file, model)
    return backbone_of(weights).start(Making(weights, method, budget))


def assert_same_kernels(theirs: Compressed, mine: Compressed, prefix: str = "features.") -> None:
    """To the bit, and what is not generated too."""
    wanted, found = theirs.dense_state(), copy.deepcopy(mine).dense_state()
    compared = {name: f"backbone.{name.removeprefix(prefix)}" for name in wanted if name.startswith(prefix)}
    compared = {name: own for name, own in compared.items() if own in found}
    assert len(compared) == sum(name.startswith("backbone.") for name in found)
    for name, own in compared.items():
        assert torch.equal(wanted[name], found[own]), name


def test_codes_and_generator_of_csg_are_the_runs_to_the_bit(tmp_path: Path) -> None:
    file = write_run(tmp_path, "csg:slice=16x16:code=8")
    made, why_not = start(file, "csg:slice=16x16:code=8")
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    theirs, mine = artifact.read(file).tensors, made.network.state_dict()
    for name in ("generator.groups.3x3.slices", "generator.groups.3x3.codes"):
        assert torch.equal(theirs[name], mine[name])
    # The head is what it is without: drawn from the run's seed, its generator too.
    fresh = Making(weights_of(file), "csg:slice=16x16:code=8")().network.state_dict()
    head = [name for name in fresh if "pyramid" in name or "head" in name or name.startswith("network.classifier")]
    assert "generator.groups.3x3-pyramid.codes" in head
    assert all(torch.equal(fresh[name], mine[name]) for name in head)
    assert not torch.equal(fresh["generator.groups.3x3.codes"], mine["generator.groups.3x3.codes"])
    assert all(parameter.requires_grad for parameter in made.network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("options", ["slice=16x16:code=128", "slice=16x16:code=16:generator=binary"])
def test_the_papers_networks_fit(options: str, tmp_path: Path) -> None:
    """The pair of commands in docs/the-papers-experiments.md."""
    name = "deeplabv3plus-resnet101"
    file = write_run(tmp_path, f"csg:{options}", "resnet101")
    made, why_not = start(file, f"csg:{options}", model=name)
    assert why_not == ""
    assert_same_kernels(saved(file, None), made, prefix="")


def test_what_is_made_from_a_seed_is_made_from_the_runs(tmp_path: Path) -> None:
    """And so is the file of the network that starts there, which knows nothing of the run."""
    method = "csg:slice=16x16:code=16:generator=binary"
    file = write_run(tmp_path, method)
    weights = weights_of(file)
    made, why_not = start(file, method)
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    their_seed = artifact.read(file).description.steps[0].structure["seed"]
    assert made.structure()["seed"] == their_seed != Making(weights, method)().structure()["seed"]
    (choice,) = find_methods([method])
    own = tmp_path / "own.safetensors"
    described = Description(artifact.describe_model(weights.model, 3, 7), (choice.step(made),))
    own.write_bytes(artifact.pack(made, described))
    file.unlink()
    again = saved(own, SEGMENTER)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.network(images)["out"], made.network.eval()(images)["out"])


@pytest.mark.parametrize(
    ("theirs", "mine", "reason"),
    [
        ("code=8", "code=12", r"codes of stage1.conv1 is 1x8 there and 1x12 here"),
        ("code=8:slice=16x16", "code=8:slice=8x8", r"codes of stage1.conv1 is 1x8 there and 4x8 here"),
        ("code=8:slice=16x8", "code=8:slice=8x16", r"the same tensors would give another stage1.conv1.weight"),
        (
            "code=8:slice=12x12",
            "code=8:slice=12x12:tiling=view",
            r"the same tensors would give another stage\d.conv\d.weight",
        ),
        ("code=8", "code=8:generator=binary", r"stage1.conv1 has slices there but not here"),
        ("code=8:generator=binary", "code=8", r"stage1.conv1 has slices here but not there"),
        (
            "code=8:generator=binary",
            "code=8:generator=gaussian",
            r"the same tensors would give another stage1.conv1.weight",
        ),
        ("code=8", "code=8:hidden=4", r"stage1.conv1 has hidden here but not there"),
        ("code=8", "code=8:layers=*", r"layers outside the backbone use slices of stage1.conv1 too"),
        ("code=8", "code=8:layers=backbone.stage3.*", r"stage1.conv1 has codes and slices there but not here"),
    ],
)
def test_another_form_takes_the_kernels_as_it_always_did(theirs: str, mine: str, reason: str, tmp_path: Path) -> None:
    weights = weights_of(write_run(tmp_path, f"csg:{theirs}"))
    making = Making(weights, f"csg:{mine}")
    made, why_not = backbone_of(weights).start(making)
    assert re.fullmatch(reason, why_not)
    assert making.given[-1] == ()
    as_before = Making(weights, f"csg:{mine}")()
    assert made.structure() == as_before.structure()
    assert all(
        torch.equal(own, as_before.network.state_dict()[name]) for name, own in made.network.state_dict().items()
    )


def test_one_generator_is_not_filled_from_several(tmp_path: Path) -> None:
    backbone = backbone_of(weights := weights_of(write_run(tmp_path, "csg:code=8")))
    apart = {layer: {name: own.clone() for name, own in tensors.items()} for layer, tensors in backbone.layers.items()}
    _, why_not = replace(backbone, layers=apart).start(Making(weights, "csg:code=8"))
    assert why_not == "several layers share slices of stage1.conv2 here, but not there"


def test_a_budget_has_another_code_length_in_a_larger_network(tmp_path: Path) -> None:
    file = write_run(tmp_path, "csg", budget=half)
    made, why_not = start(file, "csg", budget=half)
    assert "codes of stage1.conv1 is 1x" in why_not
    assert account.stored(made).stored_values == pytest.approx(
        half(Making(weights_of(file), "dense").dense()), rel=0.01
    )


def test_a_decomposition_of_the_kernels_does_not_undo_it(tmp_path: Path) -> None:
    file = write_run(tmp_path, "csg:slice=16x16:code=8")
    made, why_not = start(file, "csg:slice=16x16:code=8:init=svd:compress_at=0")
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    codes = "generator.groups.3x3.codes"
    assert torch.equal(artifact.read(file).tensors[codes], made.network.state_dict()[codes])


def test_a_generator_that_is_not_trained_stays_what_it_is(tmp_path: Path) -> None:
    file, other = write_run(tmp_path / "one", "csg:code=8"), write_run(tmp_path / "other", "csg:code=8", seed=2)
    made, why_not = start(file, f"csg:code=8:generator={file}")
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    assert not made.network.get_parameter("generator.groups.3x3.slices").requires_grad
    made, why_not = start(file, f"csg:code=8:generator={other}")
    assert why_not == "slices of stage1.conv1 is not trained here, and has other values there"
    kept = made.network.state_dict()["generator.groups.3x3.slices"]
    assert torch.equal(kept, artifact.read(other).tensors["generator.groups.3x3.slices"])


@pytest.mark.parametrize("kind", ["tucker", "svd-spatial", "svd-channel", "tensor-train", "cp"])
def test_factors_of_lowrank(kind: str, tmp_path: Path) -> None:
    """The other methods get the kernels that they amount to."""
    method = f"lowrank:kind={kind}:ranks=0.25:compress_at=0"
    file = write_run(tmp_path, method)
    made, why_not = start(file, method)
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    theirs, mine = artifact.read(file).tensors, made.network.state_dict()
    factors = [name for name in theirs if "stage3.conv2." in name]
    assert len(factors) > 1
    assert all(torch.equal(theirs[name], mine[name.replace("features", "backbone", 1)]) for name in factors)
    dense = Making(weights_of(file), "dense").dense().eval()
    images = torch.randn(2, 3, 32, 32)
    both = [network.eval().get_submodule("backbone")(images)[1].detach() for network in (dense, made.network)]
    assert torch.allclose(*both, rtol=1e-4, atol=1e-4 * float(both[0].abs().max()))


def test_clusters_of_kmeans(tmp_path: Path) -> None:
    method = "kmeans:clusters=4:compress_at=0"
    file = write_run(tmp_path, method)
    theirs = saved(file)
    with torch.no_grad():  # in another order than clustering the kernels again would give them
        theirs.network.get_buffer("generator.assignment").neg_().add_(3)
        for centres in theirs.network.get_submodule("generator.centres").parameters():
            centres.copy_(centres.flip(0))
    file.write_bytes(artifact.pack(theirs, artifact.read(file).description))
    made, why_not = start(file, method)
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    generator = made.network.get_submodule("generator")
    assert isinstance(generator, Centres)
    for layer, own in zip(generator.kernels.shapes, generator.assignments(), strict=True):
        # What is worked out of the assignments follows them.
        place = 4 * list(generator.kernels.shapes).index(layer)
        assert torch.equal(generator.factors[place : place + 4], 1 / torch.bincount(own, minlength=4).sqrt())
    _, why_not = start(file, "kmeans:clusters=8:compress_at=0")
    assert why_not == "centres of conv1 is 4 there and 8 here"


def of_share(rule: Rule) -> Callable[[nn.Module], int]:
    """A budget with which each of these layers stores a quarter of its weights, to the value, in any network."""

    def values(network: nn.Module) -> int:
        weights = sum(layer.weight.numel() for layer in select(network, rule).values())
        return count.stored_values(network) - 3 * weights // 4

    return values


def test_buckets_of_hashing(tmp_path: Path) -> None:
    """With the run's seeds, where the budget gives the layers of the backbone as many."""
    file = write_run(tmp_path, "hashing", budget=of_share(Rule()))
    made, why_not = start(file, "hashing", of_share(Rule()))
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    structure = artifact.read(file).description.steps[0].structure
    assert all(made.structure()[name] == structure[name] for name in ("index_seed", "sign_seed"))
    _, why_not = start(file, "hashing", lambda network: of_share(Rule())(network) + 1000)
    assert "buckets of stage1.conv1 is 576 there and " in why_not
    _, why_not = start(file, "hashing:share=network", of_share(Rule()))
    assert "buckets of stage1.conv1 is 576 there and " in why_not


def test_masks_of_sparse(tmp_path: Path) -> None:
    method, budget = "sparse:criterion=random:compress_at=0", of_share(CONVOLUTIONS)
    file = write_run(tmp_path, method, budget=budget)
    made, why_not = start(file, method, budget)
    assert why_not == ""
    assert_same_kernels(saved(file), made)
    theirs, mine = artifact.load(file, artifact.Given([], CLASSIFIER)).network, masks.of(made.network)
    kept = {name: mask for name, mask in masks.of(theirs).items() if name.startswith("features.")}
    assert len(kept) == 9
    assert all(torch.equal(mask, mine[name.replace("features", "backbone", 1)]) for name, mask in kept.items())
    # Masks fit any network by their shapes, and its budget binds.
    _, why_not = start(file, method, lambda network: budget(network) + 1000)
    assert "it would store " in why_not


@pytest.mark.parametrize("name", sorted(discovery.available(discovery.METHODS).keys() - {"given"}))
def test_all_that_is_stored_is_some_layers(name: str) -> None:
    """So nothing of a backbone is left behind."""
    (choice,) = find_methods([name])
    made = testing.compress(choice.method, "resnet8", 40_000 if choice.method.sized_by_budget else None, seed=1)
    found: dict[int, set[int]] = {}
    for tensors in made.layer_tensors().values():
        for own in tensors.values():
            first = own.storage_offset()
            found.setdefault(own.untyped_storage().data_ptr(), set()).update(range(first, first + own.numel()))
    for own, tensor in (count.stored_tensors(made.network) | count.statistics(made.network)).items():
        assert found[tensor.untyped_storage().data_ptr()] >= set(range(tensor.numel())), own


def test_only_runs_that_start_otherwise_have_other_ids(tmp_path: Path) -> None:
    file = write_run(tmp_path, "csg:code=8")
    methods = ["csg:code=8", "csg:code=9", "csg:init=svd", "lowrank"]
    asked = tiny_spec(methods, dataset="shapes", model=SEGMENTER, weights=f"backbone={file}", normalise="dataset")
    runs = {run.choice.label: run for run in plan.from_spec(asked).runs}

    def without(run: Run) -> Run:
        """As it was made before, from the kernels in full."""
        assert run.setting.weights is not None
        return replace(run, setting=replace(run.setting, weights=replace(run.setting.weights, compressed=None)))

    changed = {label for label, run in runs.items() if run.id != without(run).id}
    assert changed == {"csg:code=8", "csg:code=9"}
    assert runs["csg:init=svd"].why_kernels == "it is dense up to epoch 2"
    # The dense states that runs share are those that they were.
    run = runs["csg:init=svd"]
    assert prefix_id(run.setting, 0, 2, {}) == prefix_id(without(run).setting, 0, 2, {})


def test_the_same_kernels_of_other_codes_are_another_start(tmp_path: Path) -> None:
    file = write_run(tmp_path, "csg:code=8")
    asked = tiny_spec(
        ["csg:code=8"], dataset="shapes", model=SEGMENTER, weights=f"backbone={file}", normalise="dataset"
    )
    dense, csg = (run.id for run in plan.from_spec(asked).runs)
    made = artifact.load(file, artifact.Given([], CLASSIFIER))
    with torch.no_grad():
        made.network.get_parameter("generator.groups.3x3.codes").mul_(2)
        made.network.get_parameter("generator.groups.3x3.slices").div_(2)
    file.write_bytes(artifact.pack(made, artifact.read(file).description))
    other_dense, other_csg = (run.id for run in plan.from_spec(asked).runs)
    assert dense == other_dense
    assert csg != other_csg


def test_layers_go_by_the_names_of_their_places() -> None:
    layers = {name: {name: torch.zeros(1)} for name in ("", "features.conv", "features.conv.0", "features", "fc")}
    assert {name: [*own] for name, own in at_places(layers, {"features.conv": "conv"}).items()} == {
        "conv": ["features.conv"],
        "conv.0": ["features.conv.0"],
    }
    found = at_places(layers, {"features": "", "features.conv": "conv"})
    assert found.keys() == {"", "conv", "conv.0"}
    assert [*found[""]] == ["features"]
    assert at_places(layers, {"": ""}).keys() == {""}


def test_a_run_that_compressed_nothing_of_the_backbone_has_no_other_form(tmp_path: Path) -> None:
    assert weights_of(write_run(tmp_path, "dense")).compressed is None


def test_a_network_in_a_file_is_built_again_from_the_same_file_alone(tmp_path: Path) -> None:
    file = write_run(tmp_path, "csg:code=8")
    elsewhere = tmp_path / "other.py"
    elsewhere.write_text(FILE.read_text())
    with pytest.raises(InputError, match=r"holds two_tasks\.py:classifier, a network from another file than"):
        weights_of(file, f"{elsewhere}:segmenter")
    changed = tmp_path / FILE.name
    changed.write_text(FILE.read_text().replace("maps.mean(dim=(2, 3))", "maps.amax(dim=(2, 3))"))
    with pytest.raises(InputError, match=r"or from changed code; give only its weights, saved by torch\.save"):
        weights_of(file, f"{changed}:segmenter")
