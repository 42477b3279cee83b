"""The paper's way to segmentation in small: csg is trained on a classifier, and its codes and generator go on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PLUGINS, run_sweep, tiny_spec
from rich.console import Console
from test_stopped import differences, stop_at

from bench import generated
from bench.executors.in_process import InProcess
from bench.files import network_file
from bench.files.artifact import Given
from bench.method import Compressed
from bench.plan import plan
from bench.plan.run import Run
from bench.plan.spec import Spec
from bench.runs import dry_run, run
from bench.runs.bench import Bench
from bench.runs.steps.begin import Begun
from bench.runs.steps.train import Trained
from bench.runs.verify.verifier import Verifier
from bench.store.record import COMPRESSED, FINISHED, KERNELS, Record
from bench.store.store import WEIGHTS, Store

pytestmark = pytest.mark.slow

FILE = PLUGINS / "two_tasks.py"
SCHEDULE = {"name": "tiny", "epochs": 2, "batch_size": 16, "learning_rate": 0.1, "validation": 0.2}
# The pair of commands that fits: the same slices and the same code length. Beside it a budget, which chooses another
# length, an SVD in mid-training, and a method that takes the kernels.
CSG = "csg:slice=16x16:code=8"
OTHERS = ["csg", "csg:slice=16x16:code=8:init=svd", "lowrank"]


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a csg run of a classifier. Do not write to it."""
    folder = tmp_path_factory.mktemp("classified")
    settings = {"dataset": "glyphs:train=120:test=40", "model": f"{FILE}:classifier", "schedule": SCHEDULE}
    records, _ = run_sweep(tiny_spec([CSG], **settings), folder)
    return Store(folder).folders()[records[-1]["id"]]


def segmenting(source: Path, methods: list[str]) -> Spec:
    settings: dict[str, Any] = {"dataset": "shapes:train=60:test=20", "model": f"{FILE}:segmenter", "plugins": []}
    return tiny_spec(methods, schedule=SCHEDULE, weights=f"backbone={source}", **settings)


@pytest.fixture(scope="module")
def segmented(
    classified: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Record], str, dict[str, dict[str, torch.Tensor]]]:
    """A store of runs that begin with its backbone, their records by method, what was said, and the states of the
    networks when their training began."""
    began: dict[str, dict[str, torch.Tensor]] = {}
    train = run.train

    def noting(bench: Bench, own: Run, begun: Begun, *rest: Any) -> Trained:
        state = begun.training.compressed.network.state_dict()
        began[own.choice.label] = {name: tensor.clone() for name, tensor in state.items()}
        return train(bench, own, begun, *rest)

    folder = tmp_path_factory.mktemp("segmented")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train", noting)
        records, said = run_sweep(segmenting(classified, [CSG, *OTHERS]), folder)
    return folder, {record["method"]: record for record in records}, said, began


Segmented = tuple[Path, dict[str, Record], str, dict[str, dict[str, torch.Tensor]]]


def load(folder: Path, function: str) -> Compressed:
    from bench.files import artifact

    return artifact.load(folder / WEIGHTS, Given([], f"{FILE}:{function}"))


def test_training_begins_with_the_runs_generator_and_codes_to_the_bit(classified: Path, segmented: Segmented) -> None:
    began = segmented[3][CSG]
    theirs = network_file.read(classified).tensors
    for name in ("slices", "codes"):
        assert torch.equal(began[f"generator.groups.3x3.{name}"], theirs[f"generator.groups.3x3.{name}"])
    # Batch norm and what is not generated too.
    plain = {name: tensor for name, tensor in theirs.items() if name.startswith("network.features.")}
    assert len(plain) > 20
    assert all(torch.equal(began[name.replace("features", "backbone")], tensor) for name, tensor in plain.items())
    # The kernels that the network has then are those that the run's network generates.
    mine = load(Store(segmented[0]).folders()[segmented[1][CSG]["id"]], "segmenter").network
    mine.load_state_dict(began, strict=False)  # without the auxiliary head, which files leave out
    source = load(classified, "classifier").network
    assert isinstance(mine, generated.GeneratedNetwork)
    assert isinstance(source, generated.GeneratedNetwork)
    with torch.no_grad():
        own, wanted = mine.generator(), source.generator()
    assert len(wanted) == 6
    for name, kernel in wanted.items():
        assert torch.equal(own[name.replace("features", "backbone")], kernel), name


def test_the_others_begin_with_its_kernels(classified: Path, segmented: Segmented) -> None:
    wanted = load(classified, "classifier").dense_state()
    began = segmented[3]["dense"]
    for name, tensor in wanted.items():
        if name.startswith("features."):
            assert torch.equal(began[name.replace("features", "backbone", 1)], tensor), name


def test_records_say_which_way_it_was(classified: Path, segmented: Segmented) -> None:
    _, records, said, _ = segmented
    name = classified.name
    forms = {label: (record["weights_form"], record["weights_form_reason"]) for label, record in records.items()}
    assert {record["status"] for record in records.values()} == {FINISHED}
    assert forms[CSG] == (COMPRESSED, None)
    assert forms["dense"] == forms["lowrank"] == (KERNELS, f"{name} is a run of csg")
    assert forms[f"{CSG}:init=svd"] == (KERNELS, "it is dense up to epoch 1")
    form, reason = forms["csg"]
    assert form == KERNELS
    assert reason.startswith(("codes of stage1.conv1 is 1x8 there", "stage1.conv1 has partial_codes"))
    assert records[CSG]["exceptions"] == f"starts from the compressed backbone of {name}"
    assert records["csg"]["exceptions"] is None
    # And it was said before the first run began.
    before = said[: said.index("dense seed 0: epoch")]
    assert f"{CSG} starts from the compressed backbone of {name}\n" in before
    assert f"csg at 4x takes the kernels of {name} in full, as the other methods do: {reason}\n" in before
    assert f"{CSG}:init=svd takes the kernels of {name} in full, as the other methods do: it is dense" in before


def test_a_dry_run_says_it_too(classified: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    dry_run.describe(plan.from_spec(segmenting(classified, [CSG])), Store(tmp_path), console, InProcess())
    assert f"{CSG} starts from the compressed backbone of {classified.name}" in console.export_text()


def test_the_saved_network_needs_the_run_no_more(classified: Path, segmented: Segmented) -> None:
    """Verify measures it again, where the run lies no more where it lay."""
    store = Store(segmented[0])
    elsewhere = classified.with_name("moved")
    classified.rename(elsewhere)
    try:
        network = load(store.folders()[segmented[1][CSG]["id"]], "segmenter").network
        assert network(torch.randn(1, 3, 32, 32))["out"].shape == (1, 7, 32, 32)
        verdict = Verifier(store, Given([], f"{FILE}:segmenter")).verify()
        assert list(verdict.lines()) == ["5 of 5 as recorded"]
    finally:
        elsewhere.rename(classified)


def test_a_run_that_was_stopped_goes_on_from_its_own_state(
    classified: Path, segmented: Segmented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bits of one that was not, and without filling the backbone again."""
    run_sweep(segmenting(classified, [CSG]), tmp_path / "whole")
    stops = stop_at(monkeypatch, iter([4, *[3] * 1000]))
    said = ""
    for _ in range(20):
        try:
            said += run_sweep(segmenting(classified, [CSG]), tmp_path / "stopped", save_every=0)[1]
            break
        except KeyboardInterrupt:
            continue
    assert stops[0] > 2
    assert f"{CSG} seed 0 goes on where it was stopped" in said
    assert [*differences(tmp_path / "whole", tmp_path / "stopped")] == []
