"""Comparing two stores: what changed, and what that is called."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from records import record, write_store

from bench.errors import InputError
from bench.reports.compare import COLUMNS, compare, conclusion, remarkable
from bench.store.record import FAILED, MISSED

# Seeds differ by much, and methods of one seed by little, as in real runs.
SEEDS = (88.0, 90.5, 86.2, 91.0, 89.1)


def runs(method: str, budget: str, change: float = 0.0, noise: tuple[float, ...] = (0.0,) * 5, **values: Any) -> list:  # type: ignore[type-arg]
    return [
        record(method, seed, top1 + change + own, budget, **values)
        for seed, (top1, own) in enumerate(zip(SEEDS, noise, strict=True))
    ]


SOME = (0.2, -0.1, 0.15, -0.25, 0.1)
OTHER = (-0.1, 0.3, -0.2, 0.1, -0.15)
OLD = [*runs("a", "2x"), *runs("b", "2x"), *runs("c", "2x"), *runs("d", "2x"), *runs("e", "4x")[:1], *runs("f", "2x")]


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    new = [
        *runs("a", "2x"),
        *runs("b", "2x", change=-1.0, noise=SOME),
        *runs("c", "2x", change=0.02, noise=OTHER),
        *runs("d", "2x", change=+1.5, noise=OTHER, macs=3_000_000),
        *runs("e", "4x", change=-4)[:1],
        *runs("g", "2x"),
    ]
    return write_store(tmp_path / "old", OLD), write_store(tmp_path / "new", new)


def test_every_method_has_its_verdict(stores: tuple[Path, Path]) -> None:
    table, notes = compare(*stores)
    assert list(table.columns) == list(COLUMNS)
    assert notes == []
    verdicts = dict(zip(table["method"], table["verdict"], strict=True))
    assert verdicts == {
        "a": "the same",
        "b": "worse",
        "c": "within noise",
        "d": "better",
        "e": "one seed: can't tell",
        "f": "only in OLD",
        "g": "only in NEW",
    }
    assert conclusion(table) == (
        "1 worse, 1 better, 1 within noise, 1 the same, 1 one seed: can't tell, 1 only in OLD, 1 only in NEW"
    )
    worse = table[table["method"] == "b"].iloc[0]
    assert worse["change"] == pytest.approx(-1 + sum(SOME) / 5)
    assert worse["seeds"] == 5
    assert worse["p_value"] < 0.01
    assert table[table["method"] == "d"].iloc[0]["other_changes"] == "macs 2,000,000 to 3,000,000"


def test_what_no_longer_finishes_is_a_regression(tmp_path: Path) -> None:
    old = write_store(tmp_path / "old", [*runs("a", "2x"), *runs("b", "2x", status=MISSED, reason="too small")])
    broken = [record("a", 0, None, "2x", status=FAILED, reason="it broke"), *runs("a", "2x")[1:], *runs("b", "2x")]
    table, _ = compare(old, write_store(tmp_path / "new", broken))
    assert list(table["verdict"]) == ["no longer finishes", "finishes now"]
    assert table.iloc[0]["other_changes"] == "seed 0: it broke"


def test_other_figures_lost_seeds_and_new_names_are_seen(tmp_path: Path) -> None:
    old = write_store(
        tmp_path / "old",
        [*runs("a", "2x"), *runs("b", "2x"), *runs("c", "2x"), *runs("d", "2x"), *runs("e", "2x", test_loss=0.5)],
    )
    new = [*runs("a", "2x", stored_bytes=9), *runs("b", "2x")[:4], *runs("e", "2x", test_loss=0.25)]
    new += [{**made, "method": "renamed"} for made in runs("c", "2x")]
    table, _ = compare(old, write_store(tmp_path / "new", new))
    found = {row["method"]: (row["verdict"], row["other_changes"]) for row in table.to_dict("records")}
    assert found == {
        "a": ("score the same, other figures not", "stored_bytes 2,000 to 9"),
        "b": ("the same", "seed 4 only in OLD"),
        "renamed": ("the same", ""),
        "d": ("only in OLD", ""),
        "e": ("score the same, other figures not", "test_loss 0.5 to 0.25"),
    }
    assert set(remarkable(table)["method"]) == {"a", "b", "e"}


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    old = write_store(tmp_path / "old", runs("a", "2x"))
    new = write_store(tmp_path / "new", runs("a", "2x", data="other images"))
    with pytest.raises(InputError, match="have no run with the same network, images"):
        compare(old, new)


@pytest.mark.slow
def test_the_exit_code_says_whether_anything_is_worse(stores: tuple[Path, Path], command: Command) -> None:
    old, new = map(str, stores)
    code, out, err = command("compare", old, new)
    assert (code, err) == (0, "")
    assert "worse" in out
    assert "1 worse, 1 better" in out
    assert command("compare", old, new, "--fail-on-regression")[0] == 1
    assert command("compare", old, old, "--fail-on-regression")[0] == 0
    code, out, _ = command("compare", old, new, "--json")
    rows = json.loads(out)
    assert {row["method"]: row["verdict"] for row in rows}["d"] == "better"
    assert set(rows[0]) == set(COLUMNS)


def test_what_is_the_same_is_shown_when_asked_for(stores: tuple[Path, Path], command: Command) -> None:
    _, brief, _ = command("compare", *map(str, stores))
    _, full, _ = command("compare", *map(str, stores), "--all")
    assert "the same" not in brief.rsplit("\n", 2)[0]
    for verdict in ("only in NEW", "only in OLD"):
        assert verdict in full.rsplit("\n", 2)[0]
        assert verdict not in brief.rsplit("\n", 2)[0]
