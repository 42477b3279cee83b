"""`bench footprint`: what is asked for and stored without training is what runs find, and reasons stand beside it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HALVES, Command

from bench.budget import parse
from bench.files import artifact
from bench.files.description import Description
from bench.measure import account
from bench.models._build import build_network
from bench.plan.method_choice import find_methods
from bench.plugins import networks
from bench.runs.footprint import FIGURES, Question, Row, footprint
from bench.store.record import FINISHED, MISSED, Record

RESNET8 = Question(networks.find("resnet8"), (3, 8, 8), 10)


def rows_of(methods: list[str], budgets: list[str], question: Question = RESNET8, layers: bool = False) -> list[Row]:
    choices = find_methods(methods, [HALVES])
    return list(footprint(choices, [parse(budget) for budget in budgets], question, layers))


def test_it_is_what_runs_find(swept: tuple[Path, list[Record]]) -> None:
    """The same numbers and the same reasons as in the records of a sweep."""
    records = [record for record in swept[1] if record["seed"] == 0]
    rows = rows_of(["dense", "csg", "lowrank"], ["2x", "4x", "100x"], Question(networks.find("resnet8"), (1, 8, 8), 3))
    assert [(row["method"], row["budget"]) for row in rows] == [
        (record["method"], record["budget"]) for record in records
    ]
    assert {record["status"] for record in records} == {FINISHED, MISSED}
    for row, record in zip(rows, records, strict=True):
        assert row["requested_values"] == record["requested_values"]
        if record["status"] == MISSED:
            assert row["reason"] == record["reason"]
            continue
        for name in ("stored_values", "compression", "statistics_values", "trained_values", "materialised_values"):
            assert row[name] == record[name], name
        assert (row["macs"], row["generation_macs"]) == (record["macs"], record["generation_macs"])


def test_the_dense_network_by_hand() -> None:
    (row,) = rows_of(["dense"], ["2x", "4x"])
    kernels = [16 * 3 * 9, *[16 * 16 * 9] * 2, 32 * 16 * 9, 32 * 32 * 9, 64 * 32 * 9, 64 * 64 * 9]
    pixels = [8 * 8, *[8 * 8] * 2, *[4 * 4] * 2, *[2 * 2] * 2]
    norms = 2 * (3 * 16 + 2 * 32 + 2 * 64)
    stored = sum(kernels) + norms + 64 * 10 + 10
    assert (row["stored_values"], row["trained_values"], row["materialised_values"]) == (stored, stored, stored)
    assert (row["compression"], row["statistics_values"]) == (1, norms)
    assert row["macs"] == sum(map(int.__mul__, kernels, pixels)) + 64 * 10
    assert row["generation_macs"] == 0
    # Four bytes a value, two for the ones and zeros that batch norm begins with, and a header.
    assert 0 < row["stored_bytes"] - 4 * (stored - norms) - 2 * (norms + norms) < 10_000
    assert row["reason"] == "the reference; no budget is asked of it"


def test_generation_by_hand() -> None:
    """The main convolutions have 1 + 1 + 2 + 4 + 8 + 16 slices of 16x16x3x3; each is the sum of 8, times its code."""
    _, row = rows_of(["dense", "csg:code=8"], ["4x"])
    assert row["generation_macs"] == 32 * 8 * (16 * 16 * 9)
    assert row["macs"] == rows_of(["dense"], [])[0]["macs"]
    assert row["stored_values"] == 8 * (32 + 16 * 16 * 9) + 1_562  # of what is not generated
    assert row["materialised_values"] == 75_290


def test_layers_add_up_to_the_totals() -> None:
    for row in rows_of(["dense", "csg", "lowrank", "halves"], ["4x"], layers=True):
        layers = row["layers"]
        assert len({layer["layer"] for layer in layers}) == len(layers)
        for name in ("stored_values", "materialised_values", "macs"):
            assert sum(layer[name] for layer in layers) == row[name], (row["method"], name)
    (dense,) = rows_of(["dense"], [], layers=True)
    assert dense["layers"][0] == {
        "layer": "conv1",
        "stored_values": 16 * 3 * 9,
        "materialised_values": 16 * 3 * 9,
        "macs": 16 * 3 * 9 * 8 * 8,
    }
    assert "layers" not in rows_of(["dense"], [])[0]


def test_a_method_of_fixed_size_has_one_row() -> None:
    """`halves` has convolutions of one shape share a kernel: here there are two, of 16x16."""
    (row,) = rows_of(["halves"], ["2x", "4x", "4x-bytes"])
    assert (row["stored_values"], row["budget"]) == (75_290 - 16 * 16 * 9, None)
    assert row["reason"] == "its size is fixed; no budget is asked of it"


def test_one_that_breaks_hides_no_other() -> None:
    rows = rows_of(["a=halves:fail=compress", "b=halves:fail=budget", "csg"], ["2x"])
    assert [row["method"] for row in rows] == ["a", "b", "csg"]
    assert rows[0]["reason"] == "RuntimeError: this method is broken"
    assert [row.get("failed") for row in rows] == [True, None, None]
    assert rows[1]["reason"] == "its size is fixed: it can't be that small"
    for row in rows[:2]:
        assert all(row[name] is None for name in FIGURES)
    assert rows[2]["reason"] is None


def test_a_method_for_trained_networks_is_told_that_it_has_one() -> None:
    (row,) = rows_of(["csg:init=svd:compress_at=0"], ["4x"])
    assert (row["reason"], row["stored_values"]) == (None, row["requested_values"])


def test_json_is_a_list_of_rows(command: Command) -> None:
    code, out, err = command(
        "footprint", "--methods", "csg", "--model", "resnet8", "--budgets", "4x,0.125,100", "--json"
    )
    assert (code, err) == (0, "")
    rows = json.loads(out)
    columns = ["method", "budget", "requested_values", "requested_bytes", *FIGURES, "reason"]
    assert [list(row) for row in rows] == [columns] * 4
    assert [(row["method"], row["budget"], row["requested_values"]) for row in rows] == [
        ("dense", None, None),
        ("csg", "4x", 18_822),
        ("csg", "8x", 9_411),
        ("csg", "100", 100),
    ]
    assert [row["stored_values"] for row in rows] == [75_290, 18_822, 9_411, None]
    assert [row["reason"] is None for row in rows] == [False, True, True, False]
    assert "100 were asked for" in rows[3]["reason"]
    arguments = ["footprint", "--methods", "csg", "--model", "resnet8", "--budgets", "4x", "--layers"]
    code, out, _ = command(*arguments, "--json")
    assert all(row["layers"] for row in json.loads(out))


def test_the_table_has_every_row_and_every_reason(command: Command) -> None:
    arguments = ["footprint", "--methods", "csg,halves,bad=halves:fail=compress", "--model", "resnet8"]
    code, out, err = command(*arguments, "--budgets", "4x,100000x", "--plugin", HALVES, "--image", "3x8x8")
    assert (code, err) == (1, "")  # since one is broken
    title, *lines = out.splitlines()
    assert title.rstrip() == "resnet8, 3x8x8, 10 classes"
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert [row[:4] for row in cells] == [
        ["dense", "", "", "75,290"],
        ["csg", "4x", "18,822", "18,822"],
        ["csg", "100000x", "1", ""],
        ["halves", "", "", "72,986"],
        ["bad", "", "", ""],
    ]
    reasons = lines[-3:]
    assert reasons[0].startswith("csg at 100000x: ")
    assert reasons[1] == "halves: its size is fixed; no budget is asked of it"
    assert reasons[2] == "bad: RuntimeError: this method is broken"


@pytest.mark.slow
def test_nothing_is_cut_off_in_a_pipe() -> None:
    """Where nobody says how wide it is."""
    arguments = ["footprint", "--methods", "csg", "--model", "resnet20", "--budgets", "4x", "--layers"]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    out = subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "…" not in out
    assert "40,551,040" in out
    assert "│ stage3.2.conv2 " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--methods csq", "unknown method 'csq'; did you mean 'csg'?"),
        ("--methods csg --model resnet9", "unknown model 'resnet9'; did you mean 'resnet"),
        ("--methods csg --image 3x32", "--image can't be '3x32'; it is channels x height x width, like 3x32x32"),
        ("--methods csg --image 0x8x8", "--image can't be '0x8x8'; it is channels x height x width, like 3x32x32"),
        ("--methods csg --budgets 4y", "'4y' is not a budget; write 4x (a fourth of dense), 0.25 (of dense)"),
        ("--methods csg --plugin none.py", "no such plugin: none.py is not a Python file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command: Command, arguments: str, message: str) -> None:
    code, out, err = command("footprint", *arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {message}")
    assert err.count("\n") == 1


def test_what_is_left_out_changes_nothing_that_is_counted() -> None:
    """lowrank doesn't decompose kernels here, and stores the same values in the same bytes where it does."""
    found = networks.find("resnet8")
    dense, method = 75_290, find_methods(["lowrank"])[0]
    for budget in ("2x", "32x"):  # at 32x the linear layer too, whose bias may lie in fewer bytes than its weights
        (row,) = rows_of(["lowrank"], [budget])
        network = build_network(found.model, 3, 10, seed=0)
        made = account.compress(method.method, network, parse(budget).amount(dense), 0, trained=True)
        assert row["stored_values"] == account.stored(made).stored_values
        description = Description(artifact.describe_model(found, 3, 10), (method.step(made),))
        assert row["stored_bytes"] == len(artifact.pack(made, description))
        assert row["macs"] == account.deploy(made, (3, 8, 8)).macs


def test_every_row_begins_with_the_same_network() -> None:
    """Whatever a method before it did to its own."""
    alone = [rows_of([name], ["4x"])[0] for name in ("kmeans", "sparse", "csg")]
    together = rows_of(["kmeans", "sparse", "csg"], ["4x"])
    for one, other in zip(alone, together, strict=True):
        assert {**one, "compress_seconds": None} == {**other, "compress_seconds": None}
