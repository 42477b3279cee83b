"""The helper process: killed, too slow, or ended by the code that it runs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.files import fresh_process
from bench.files.fresh_process import Helper, NotReloadable

# Answers as fresh_process does, without torch: a file "dies" holds how often it still dies.
SOURCE = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    left = int(open(request["dies"]).read())
    if left:
        open(request["dies"], "w").write(str(left - 1))
        os._exit(9)
    time.sleep(request["seconds"])
    print(json.dumps({"done": request["seconds"]}), flush=True)
"""


class Stand(Helper):
    """In the place of the process that loads networks."""

    module = "stand_in_for_a_helper"


@pytest.fixture
def dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / f"{Stand.module}.py").write_text(SOURCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "dies"


def test_a_helper_that_is_killed_once_is_asked_again(dies: Path) -> None:
    dies.write_text("1")
    with Stand() as helper:
        assert helper.ask({"dies": str(dies), "seconds": 0}, "it can't") == {"done": 0}
    assert dies.read_text() == "0"


def test_one_that_dies_each_time_is_the_reason_and_the_next_is_served(dies: Path) -> None:
    dies.write_text("2")
    with Stand() as helper:
        with pytest.raises(NotReloadable, match="ended with exit code 9, twice"):
            helper.ask({"dies": str(dies), "seconds": 0}, "it can't")
        assert helper.ask({"dies": str(dies), "seconds": 0}, "it can't") == {"done": 0}


@pytest.mark.slow
def test_one_that_takes_too_long_is_ended(dies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dies.write_text("0")
    monkeypatch.setattr(fresh_process, "LONGEST_SECONDS", 1)
    with Stand() as helper:
        with pytest.raises(NotReloadable, match="was ended after 1 s"):
            helper.ask({"dies": str(dies), "seconds": 600}, "it can't")
        monkeypatch.setattr(fresh_process, "LONGEST_SECONDS", 60)
        assert helper.ask({"dies": str(dies), "seconds": 0}, "it can't") == {"done": 0}


def test_leaving_ends_a_helper_that_is_at_work(dies: Path) -> None:
    """As an interrupt does: nobody waits for it, and it says nothing."""
    dies.write_text("0")
    started = time.monotonic()
    with Stand() as helper:
        assert helper._process is not None
        assert helper._process.stdin is not None
        helper._process.stdin.write(f'{{"dies": "{dies}", "seconds": 600}}\n')
        helper._process.stdin.flush()
    assert helper._process.returncode == -9
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_what_ends_a_process_is_an_answer_and_what_is_printed_is_none() -> None:
    code = (
        "import os, sys; from bench.files.fresh_process import serve_this_process\n"
        "def answer(request):\n"
        "    os.write(1, b'noise'); print('noise'); sys.exit(3)\n"
        "serve_this_process(answer)"
    )
    ended = subprocess.run([sys.executable, "-c", code], input="{}\n{}\n", capture_output=True, text=True, check=True)
    lines = ended.stdout.splitlines()
    assert len(lines) == 2
    assert all('"error": "SystemExit: 3"' in line for line in lines)
