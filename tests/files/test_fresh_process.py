"""The helper process: killed, too slow, or ended by the code that it runs."""

import tempfile
import time
from pathlib import Path

import pytest
import torch
from conftest import STRIPES

from bench.files import fresh_process
from bench.files.fresh_process import FreshProcess, Helper, NotReloadable
from bench.plugins.by_path import import_path

# A file "dies" holds how often it still dies.
SOURCE = """
import os, sys, time
def answer(request):
    with open(request["dies"]) as file:
        left = int(file.read())
    if left:
        with open(request["dies"], "w") as file:
            file.write(str(left - 1))
        os._exit(9)
    time.sleep(request["seconds"])
    if request.get("leaves"):
        os.write(1, b"noise"); print("noise"); sys.exit(3)
"""


class Stand(Helper):
    """In the place of the process that loads networks."""

    module = "stand_in_for_a_helper"


@pytest.fixture
def dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / f"{Stand.module}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "dies"


def test_a_helper_that_is_killed_once_is_asked_again(dies: Path) -> None:
    dies.write_text("1")
    with Stand() as helper:
        helper.ask({"dies": str(dies), "seconds": 0}, "it can't")
    assert dies.read_text() == "0"


def test_one_that_dies_each_time_is_the_reason_and_the_next_is_served(dies: Path) -> None:
    dies.write_text("2")
    with Stand() as helper:
        with pytest.raises(NotReloadable, match="ended with exit code 9, twice"):
            helper.ask({"dies": str(dies), "seconds": 0}, "it can't")
        helper.ask({"dies": str(dies), "seconds": 0}, "it can't")


@pytest.mark.slow
def test_one_that_takes_too_long_is_ended(dies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dies.write_text("0")
    monkeypatch.setattr(fresh_process, "LONGEST_SECONDS", 1)
    with Stand() as helper:
        with pytest.raises(NotReloadable, match="was ended after 1 s"):
            helper.ask({"dies": str(dies), "seconds": 600}, "it can't")
        monkeypatch.setattr(fresh_process, "LONGEST_SECONDS", 60)
        helper.ask({"dies": str(dies), "seconds": 0}, "it can't")


def test_leaving_ends_a_helper_that_is_at_work(dies: Path) -> None:
    """As an interrupt does: nobody waits for it, and it says nothing."""
    dies.write_text("0")
    started = time.monotonic()
    with Stand() as helper:
        helper._pipe.send({"dies": str(dies), "seconds": 600})
        process = helper._process
    assert process is not None
    assert process.exitcode == -9
    assert time.monotonic() - started < 60


def test_what_ends_a_process_is_an_answer_and_what_is_printed_is_none(
    dies: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dies.write_text("0")
    with Stand() as helper:
        for _ in range(2):
            with pytest.raises(NotReloadable, match="it can't: SystemExit: 3"):
                helper.ask({"dies": str(dies), "seconds": 0, "leaves": True}, "it can't")
    assert capfd.readouterr().out == ""


def test_a_helper_begins_without_any_network_plugin_or_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though this process has them, and whatever it did before."""
    network = torch.nn.Linear(2, 2)
    import_path(Path(STRIPES))
    source = """
import gc, sys, torch
def answer(request):
    seen = [str(type(thing)) for thing in gc.get_objects() if issubclass(type(thing), (torch.nn.Module, torch.Tensor))]
    seen += [name for name in sys.modules if name.startswith("bench_plugin_") or name in ("pytest", "conftest")]
    seen += [name for name in sys.modules if name.startswith(("bench.methods.", "bench.datasets."))]
    raise ValueError(f"seen: {seen}")
"""
    (tmp_path / f"{Stand.module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with Stand() as helper, pytest.raises(NotReloadable, match=r"seen: \[\]"):
        helper.ask({}, "it")
    del network


def test_between_two_checks_nothing_lies_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a sweep that is killed leaves none of its images behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with FreshProcess() as process:
        before = list(tmp_path.iterdir())
        with pytest.raises(NotReloadable, match="can't be loaded in a fresh process"):
            process.check(tmp_path / "missing", torch.zeros(1, 3, 8, 8), torch.zeros(1, 2), "classification")
        assert (before, list(tmp_path.iterdir())) == ([], [])
