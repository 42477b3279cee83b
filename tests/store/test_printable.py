"""Text of others on a terminal: nothing that it obeys or hides."""

import io
import json
import unicodedata
from pathlib import Path

import pytest
from conftest import Command
from records import record, write_store
from rich.table import Table

from bench.cli import app
from bench.store.printable import one_line, printable
from bench.store.record import problem
from bench.store.store import RECORD, Store

HOSTILE = "a\x1b[31mb\x9b2J\u202eevil\u2066\u200b\x07c\r\U000e0041\ud800\u2028"
SEEN = r"a\x1b[31mb\x9b2J\u202eevil\u2066\u200b\x07c\x0d\U000e0041\ud800\u2028"
OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def test_it_is_written_out() -> None:
    assert printable(HOSTILE) == SEEN
    assert printable("größer × 日本 \n\t") == "größer × 日本 \n\t"
    assert one_line("a\nb\tc" + "d" * 10, longest=8) == "a\\nb\\tcd... (17 letters)"


def test_no_letter_that_a_terminal_obeys_is_left() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(letter) for letter in printable(everything) if letter not in "\n\t"}
    assert not left & set(OBEYED)


@pytest.mark.parametrize("markup", [True, False])
def test_a_console_prints_no_such_letter(markup: bool) -> None:
    console = app.make_console()
    console.file = io.StringIO()
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(":fire:" + HOSTILE)
    console.print(HOSTILE, markup=markup, highlight=False)
    console.print(table)
    printed = console.file.getvalue()
    assert not {unicodedata.category(letter) for letter in printed if letter != "\n"} & set(OBEYED)
    assert ":fire:" in printed.replace("\n", "").replace("│", "").replace(" ", "")


def hostile(folder: Path) -> Path:
    """A store with such text wherever a record may have some, and in the name of a folder."""
    text = HOSTILE.replace("\ud800", "")
    own = [record(f"m{text}", 0, 90.0, "2x", dataset=text), record(f"m{text}", 1, None, "2x", dataset=text)]
    own[1] |= {"status": "failed", "reason": f"{text}\nbench: all is well"}
    own[0] |= {"option.x": text, "exceptions": text, "citation": f"@article{{a, title = {{{text}}}}}"}
    store = write_store(folder, [record("dense", 0, 91.0, dataset=text), *own])
    (store / "runs" / "x\x1b[2J-9").mkdir()
    return store


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["show"], ["report"], ["compare", "--all"], ["compare", "--json"]])
def test_a_store_of_others_prints_none(command: Command, tmp_path: Path, arguments: list[str]) -> None:
    store = hostile(tmp_path / "store")
    stores = [str(store)] * (2 if arguments[0] == "compare" else 1)
    code, out, err = command(arguments[0], *stores, *arguments[1:])
    assert (code, err) == (0, "")
    assert "evil" in out
    assert not {unicodedata.category(letter) for letter in out if letter != "\n"} & set(OBEYED)
    assert "\nbench: all is well" not in out


def test_one_run_of_it_prints_none(command: Command, tmp_path: Path) -> None:
    store = hostile(tmp_path / "store")
    name = next(folder.name for folder, own in Store(store).read_all()[0].items() if own["status"] == "finished")
    code, out, _ = command("show", str(store), name)
    assert code == 0
    assert not {unicodedata.category(letter) for letter in out if letter != "\n"} & set(OBEYED)


def test_a_record_of_brackets_costs_itself_alone(command: Command, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", [record("dense", 0, 91.0), record("a", 0, 90.0, "2x")])
    (store / "runs" / "deep-1").mkdir()
    (store / "runs" / "deep-1" / RECORD).write_text("[" * 200_000)
    records, damaged = Store(store).records()
    assert len(records) == 2
    assert [line.partition(" (")[0] for line in damaged] == ["the record of deep-1 can't be read"]
    code, out, _ = command("show", str(store))
    assert code == 0
    assert "damaged: the record of deep-1 can't be read" in out


@pytest.mark.parametrize("number", [1e30, -0.0, 1e308, 5e-324])
def test_any_number_that_json_holds_is_one(number: float) -> None:
    row = record("dense", 0, 90.0) | {"schedule.learning_rate": number, "test_loss": number}
    assert problem(json.loads(json.dumps(row))) is None


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 2**53 + 1, 10**400])
def test_what_it_does_not_hold_is_none(number: float) -> None:
    assert "schedule.learning_rate" in (problem(record("dense", 0, 90.0) | {"schedule.learning_rate": number}) or "")
