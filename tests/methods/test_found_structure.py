"""Structures that pruning and sparse take from other runs: trained from scratch, of a fixed size, told apart by their
content, declared."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, run_sweep, tiny_spec

from bench import count, masks, testing
from bench.errors import BudgetError, InputError
from bench.files import artifact
from bench.files.description import Description, Step
from bench.measure import account
from bench.method import Compressed, Method
from bench.methods.csg.csg import CSG
from bench.methods.pruning.pruning import Pruning
from bench.methods.sparse import Sparse
from bench.plan import plan
from bench.plugins import networks
from bench.store.record import FINISHED
from bench.store.store import WEIGHTS
from bench.surgery import channels_of

EPOCHS = 8
METHODS = [Pruning, Sparse]


def name_of(kind: type[Method]) -> str:
    return kind.__name__.lower()


def saved(path: Path, method: str, made: Compressed, model: str = "resnet8") -> Path:
    described = artifact.describe_model(networks.find(model), 3, 10)
    path.write_bytes(artifact.pack(made, Description(described, (Step(method, {}, made.structure()),), EPOCHS)))
    return path


def compress(method: Method, values: int | None, seed: int = 0, model: str = "resnet8") -> Compressed:
    return account.compress(method, testing.network(model, seed=seed), values, seed, trained=values is not None)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type[Method]], tuple[Path, Compressed]]:
    """The file of a run of this method, and its network. Do not change them."""
    folder = tmp_path_factory.mktemp("found")
    made: dict[str, tuple[Path, Compressed]] = {}

    def of(kind: type[Method]) -> tuple[Path, Compressed]:
        name = name_of(kind)
        if name not in made:
            network = compress(kind(), 18_822, seed=3)
            made[name] = saved(folder / f"{name}.safetensors", name, network), network
        return made[name]

    return of


Found = Callable[[type[Method]], tuple[Path, Compressed]]


@pytest.mark.parametrize("kind", METHODS)
def test_it_has_the_size_that_was_found_and_fresh_weights(kind: type[Method], found: Found, tmp_path: Path) -> None:
    file, source = found(kind)
    method = kind(structure=file)  # type: ignore[call-arg]
    assert (method.compress_at, method.sized_by_budget, method.at_size, method.role) == (0, False, "at once", "")
    made, other = compress(method, None), compress(method, None, seed=1)
    assert count.stored_values(made.network) == count.stored_values(source.network)
    assert channels_of(made.network) == channels_of(source.network)
    kernels = [dict(each.network.named_parameters())["stage2.0.conv1.weight"] for each in (made, other, source)]
    assert not torch.equal(kernels[0], kernels[1])
    assert not torch.equal(kernels[0], kernels[2])
    # The saved network stands on its own.
    again = artifact.load(saved(tmp_path / "again.safetensors", name_of(kind), made)).network
    images = torch.zeros(1, 3, 8, 8) + 0.5
    assert torch.equal(again(images), made.network.eval()(images))
    assert made.after_step(1.0) is False


def test_masks_are_laid_over_the_initial_weights_of_the_seed(found: Found) -> None:
    file, source = found(Sparse)
    kept = masks.of(source.network)
    initial = dict(testing.network("resnet8", seed=1).named_parameters())
    for name, parameter in compress(Sparse(structure=file), None, seed=1).network.named_parameters():
        expected = initial[name] * kept[name] if name in kept else initial[name]
        assert torch.equal(parameter, expected), name


def test_channels_are_drawn_at_the_scale_of_their_new_size(found: Found) -> None:
    """He et al.'s law for the fan that is left: of the initial kernels, and of these."""
    file, _ = found(Pruning)
    network = compress(Pruning(structure=file), None).network
    kernel = network.get_parameter("stage3.0.conv2.weight").detach()
    whole = testing.network("resnet8").get_parameter("stage3.0.conv2.weight").detach()
    assert kernel.shape != whole.shape
    fans = [kernel[0].numel(), kernel[:, 0].numel()], [whole[0].numel(), whole[:, 0].numel()]
    products = [[float(weight.var()) * fan for fan in own] for weight, own in zip((kernel, whole), fans, strict=True)]
    assert min(abs(new / old - 1) for new, old in zip(*products, strict=True)) < 0.2


@pytest.mark.parametrize("kind", METHODS)
def test_a_file_is_known_by_its_content_and_declared(kind: type[Method], found: Found, tmp_path: Path) -> None:
    file, _ = found(kind)
    name = name_of(kind)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    other = saved(tmp_path / "other.safetensors", name, compress(kind(), 18_000, seed=3))
    runs = [plan.from_spec(tiny_spec([f"{name}:structure={path}"])).runs[1] for path in (file, copy, other)]
    assert runs[0].id == runs[1].id != runs[2].id
    assert (runs[1].choice.label, runs[1].budget) == (f"{name}:structure=copy.safetensors", None)
    declared = f"its structure was found before, in {EPOCHS} epochs of resnet8"
    assert runs[0].choice.method.exceptions() == declared
    assert kind().exceptions() == ""
    # A structure that was handed on was found in the first run's epochs.
    second = saved(tmp_path / "second.safetensors", name, compress(kind(structure=file), None))  # type: ignore[call-arg]
    content = artifact.read(second).description
    assert content.steps[0].structure["found_in_epochs"] == EPOCHS
    assert kind(structure=second).exceptions() == declared  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", METHODS)
def test_what_is_no_structure_to_train_is_refused_before_anything_is_trained(
    kind: type[Method], found: Found, tmp_path: Path
) -> None:
    file, name = found(kind)[0], name_of(kind)
    csg, text = (
        saved(tmp_path / "csg.safetensors", "csg", testing.compress(CSG(code=2), "resnet8", None)),
        tmp_path / "x",
    )
    text.write_text("not a network")
    other = "importance=magnitude" if kind is Pruning else "criterion=random"
    for options, message in [
        (f"structure={csg}", f"is a run of csg; structure= takes a run of {name}"),
        (f"structure={text}", "is neither an artifact of bench"),
        (f"structure={tmp_path / 'none'}", "no such file; give the folder of another run"),
        (f"structure={tmp_path}", "no such file: .*weights.safetensors"),
        (f"structure={file}:{other}", f"structure= already decides what is kept; leave {other} out"),
        (f"structure={file}:compress_at=0.5", r"structure is trained from scratch; leave compress_at=0\.5 out"),
    ]:
        with pytest.raises(InputError, match=message):
            plan.from_spec(tiny_spec([f"{name}:{options}"]))


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("model", ["resnet20", "densenet-bc-40-12"])
def test_a_structure_of_another_network_is_a_missed_run(kind: type[Method], model: str, found: Found) -> None:
    method = kind(structure=found(kind)[0])  # type: ignore[call-arg]
    with pytest.raises(BudgetError, match=r"has the structure of another network \(resnet8\): "):
        compress(method, None, model=model)
    with pytest.raises(BudgetError, match="trained from the seed's initial weights, but this network has others"):
        account.compress(method, testing.network("resnet8"), None, 0, trained=True)


@pytest.mark.slow
def test_a_sweep_trains_what_another_run_found(tmp_path: Path) -> None:
    asked, values = [], []
    for kind in METHODS:
        network = testing.network("resnet8", channels=1, num_classes=3, seed=3)
        made = account.compress(kind(), network, 18_000, 0, trained=True)
        (tmp_path / name_of(kind)).mkdir()
        saved(tmp_path / name_of(kind) / WEIGHTS, name_of(kind), made)
        asked.append(f"{name_of(kind)}:structure={tmp_path / name_of(kind)}")
        values.append(count.stored_values(made.network))
    records, _ = run_sweep(tiny_spec(asked, schedule={**TINY, "epochs": 1}), tmp_path / "store")
    for text, stored, record in zip(("pruning", "sparse"), values, records[1:], strict=True):
        assert (record["status"], record["compress_epoch"], record["budget"]) == (FINISHED, 0, None)
        assert record["method"] == f"{text}:structure={text}"
        assert record["stored_values"] == stored
        assert record["exceptions"] == f"its structure was found before, in {EPOCHS} epochs of resnet8"
