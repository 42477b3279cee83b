"""The network as it was given: measured before any training, and compared with nothing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import STRIPES, run_sweep, tiny_spec
from records import RECORDS, record
from rich.table import Table

import bench
from bench.cli.evaluate_saved import evaluate_saved
from bench.cli.listing import show_all
from bench.errors import InputError
from bench.files.artifact import Given
from bench.plan import plan
from bench.plan.method_choice import find_methods
from bench.reports import frame
from bench.reports.audit import audits
from bench.reports.columns import AXES
from bench.reports.compare import compare
from bench.reports.load import load
from bench.reports.page.payload import payload
from bench.reports.summary import analyse, summary
from bench.reports.tables.table import by_budget, cells
from bench.reports.verdict import verdict
from bench.roles import GIVEN
from bench.runs.dry_run import _start
from bench.store.record import FINISHED, Record
from bench.store.store import HISTORY, PREDICTIONS, WEIGHTS, Store

# Trained once, where pytest has several processes.
pytestmark = pytest.mark.xdist_group("given")

# All seeds of it are the same network.
OWN = record("given", 0, 99.0, role=GIVEN, train_seconds=None)


@pytest.fixture(scope="module")
def started(swept: tuple[Path, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A store with two seeds from the state_dict of the trained dense network. Do not write to it."""
    folder = tmp_path_factory.mktemp("started")
    torch.save(bench.load(artifact(swept)).state_dict(), folder / "w.pth")
    asked = tiny_spec(["csg"], budgets=["2x"], weights=str(folder / "w.pth"), normalise="dataset", seeds=2)
    return folder / "out", run_sweep(asked, folder / "out")[0]


def artifact(swept: tuple[Path, list[Record]]) -> Path:
    folder = Store(swept[0]).folder_of(swept[1][0]["id"])
    assert folder is not None
    return folder / WEIGHTS


def test_it_is_measured_as_it_came(swept: tuple[Path, list[Record]], started: tuple[Path, list[Record]]) -> None:
    dense, (given, *others) = swept[1][0], started[1]
    assert (given["method"], given["role"], given["status"]) == ("given", GIVEN, FINISHED)
    assert [record["method"] for record in others] == ["dense", "csg", "dense", "csg"]  # once, whatever the seeds
    # To the last bit what the run that trained it said, on the same images standardised alike.
    for name in ("test_loss", "test_top1", "validation_loss", "stored_values", "stored_bytes", "macs", "normalise"):
        assert given[name] == dense[name], name
    assert given["train_seconds"] is None
    assert given["train_loss"] is None
    assert given["budget"] is None
    folder = Store(started[0]).folder_of(given["id"])
    assert folder is not None
    assert Store.rows(folder, HISTORY) == []
    assert (folder / PREDICTIONS).is_file()
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(bench.load(folder)(images), bench.load(artifact(swept))(images))


def test_it_is_listed_first(started: tuple[Path, list[Record]]) -> None:
    (table,) = show_all(Store(started[0]))
    assert isinstance(table, Table)
    assert list(table.columns[1].cells) == ["given", "csg", "dense", "csg", "dense"]


def test_an_artifact_brings_its_normalisation(swept: tuple[Path, list[Record]], tmp_path: Path) -> None:
    """Of other images than those that it is measured on: the loss is that of `bench evaluate`, which asks the file."""
    asked = tiny_spec(["width"], budgets=["2x"], weights=str(artifact(swept)), dataset="stripes:noise=0.9")
    (given, *_), printed = run_sweep(asked, tmp_path)
    found = evaluate_saved(artifact(swept), "stripes:noise=0.9", tmp_path, False, torch.device("cpu"), Given([STRIPES]))
    assert given["test_loss"] == found["loss"]
    assert given["normalise"] != "dataset"
    assert "images are standardised by" in printed


def test_a_sweep_that_is_done_trains_nothing_more(started: tuple[Path, list[Record]]) -> None:
    asked = tiny_spec(["csg"], budgets=["2x"], weights=str(started[0].parent / "w.pth"), normalise="dataset", seeds=2)
    runs = plan.from_spec(asked).runs
    assert [run.id for run in runs] == [made["id"] for made in started[1]]
    assert _start(runs[0]) == "as it is, not trained"


def test_it_takes_finished_weights_that_fit(swept: tuple[Path, list[Record]]) -> None:
    with pytest.raises(InputError, match=r"given measures the network as finished weights give it, .* give --weights"):
        plan.from_spec(tiny_spec(["given"]))
    with pytest.raises(InputError, match="its classifier is fresh: leave out --fresh-head"):
        plan.from_spec(tiny_spec(["given"], weights=str(artifact(swept)), fresh_head=True))
    without = plan.from_spec(tiny_spec(["csg"], weights=str(artifact(swept)), fresh_head=True))
    assert [run.choice.name for run in without.runs] == ["dense", "csg"]
    assert "as it came is not measured, since its classifier is fresh" in "\n".join(without.notes)


def test_all_methods_are_those_that_compress() -> None:
    assert "given" not in [choice.name for choice in find_methods(["all"])]


def test_statistics_are_those_without_it() -> None:
    with_it, without = analyse(frame.results([*RECORDS, OWN])), analyse(frame.results(RECORDS))
    others = with_it.summary[with_it.summary["method"] != "given"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, without.summary, check_dtype=False)
    pd.testing.assert_frame_equal(with_it.pairwise, without.pairwise)
    pd.testing.assert_frame_equal(with_it.overall, without.overall)
    runs = frame.results([*RECORDS, OWN])
    (setting,) = set(runs["setting"])
    assert verdict(runs, with_it, setting) == verdict(frame.results(RECORDS), without, setting)


def test_its_row_stands_above_dense_and_is_compared_with_nothing() -> None:
    # Of two seeds, as two sweeps of one store may have it.
    table = analyse(frame.results([*RECORDS, OWN, record("given", 1, 99.0, role=GIVEN, train_seconds=None)])).summary
    first = table.iloc[0]
    assert list(table["method"][:2]) == ["given", "dense"]
    assert list(by_budget(table)["method"][:2]) == ["given", "dense"]
    assert first["standing"] == "not compared"
    for name in ("difference", "difference_interval", "mcnemar_p_value", "front_stored_values", "train_seconds"):
        assert np.isnan(first[name]), name
    assert cells(table)[0][:2] == ("given", "")


def test_the_audit_says_that_it_was_not_trained() -> None:
    known = {"weights": "w.pth", "weights_code": "c", "normalise": "dataset"}
    made = [record("given", 0, 99.0, role=GIVEN, train_seconds=None, **known), record("dense", 0, 90.0, **known)]
    made += [record("dense", 1, 90.0, **known)]
    (found,) = audits(frame.results(made)).values()
    assert [row.method for row in found.methods] == ["given", "dense"]
    assert found.methods[0].start == "w.pth as it came, not trained here"
    assert found.methods[0].epochs.startswith("0 + ")
    assert found.methods[0].training == ""
    assert not any("seeds" in line for line in found.warnings)


def test_compare_has_its_row_first(started: tuple[Path, list[Record]]) -> None:
    table, _ = compare(started[0], started[0])
    assert list(table["method"]) == ["given", "csg", "dense"]
    assert list(table["verdict"]) == ["the same"] * 3


def test_a_report_shows_it(started: tuple[Path, list[Record]]) -> None:
    loaded = load([started[0]])
    table = summary(loaded.runs)
    data, _ = payload(loaded, table)
    (setting,) = data["settings"]
    assert [point["method"] for point in setting["points"]] == ["given", "dense", "csg"]
    given = setting["points"][0]
    assert (given["difference"], given["front"], given["onFront"]) == (None, [None] * len(AXES), [False] * len(AXES))
    assert "given" in data["looks"]
    assert pd.isna(loaded.runs.set_index("method").loc["given", "churn"])
