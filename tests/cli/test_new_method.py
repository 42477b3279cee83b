"""`bench new-method`: what it writes works as it stands, and it writes over nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import Command

from bench import count, masks, testing
from bench.cli.new_method import new_method
from bench.errors import InputError
from bench.plugins import discovery

# Written, and imported, once where pytest has several processes.
pytestmark = pytest.mark.xdist_group("new method")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "made"
    new_method("round_tape", folder)
    return folder


def test_it_says_what_was_written_and_what_to_do_next(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    code, out, err = command("new-method", "round_tape", "--out", str(folder))
    assert (code, err) == (0, "")
    assert {file.name for file in folder.iterdir()} == {"round_tape.py", "test_round_tape.py"}
    file = folder / "round_tape.py"
    assert out.splitlines() == [
        f"wrote {file}, a method that works, and {folder / 'test_round_tape.py'}; your idea goes into its compress",
        "next:",
        f"  bench check round-tape --plugin {file}",
        f"  bench footprint --methods round-tape,csg --plugin {file}",
        f"  bench run --methods round-tape,csg --plugin {file}",
        f"  python -m pytest {folder / 'test_round_tape.py'}",
    ]


def test_into_this_folder_if_nothing_is_said(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("new-method", "round-tape")
    assert code == 0
    assert "  bench check round-tape --plugin round_tape.py" in out.splitlines()
    assert {file.name for file in tmp_path.iterdir()} == {"round_tape.py", "test_round_tape.py"}


def test_every_name_is_its_own(written: Path) -> None:
    for file in written.glob("*.py"):
        text = file.read_text()
        assert "new_method" not in text
        assert "new-method" not in text
        assert "NewMethod" not in text
    assert (
        discovery.find(discovery.METHODS, "round-tape", [str(written / "round_tape.py")]).load().__name__ == "RoundTape"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=[] if name == "resnet8" else pytest.mark.whole) for name in testing.FAMILIES]
)
def test_the_method_plays_by_the_rules(written: Path, model: str) -> None:
    results = list(testing.run_all("round-tape", [model], [str(written / "round_tape.py")]))
    assert [result for result in results if result.outcome == "failed"] == []
    assert {result.check for result in results if result.outcome == "skipped"} <= {"works_on_a_gpu"}


def test_the_method_keeps_the_largest_weights_to_the_value(written: Path) -> None:
    method = discovery.find(discovery.METHODS, "round-tape", [str(written / "round_tape.py")]).build(None, {})
    for model, budget in (("resnet8", 75_290), ("resnet8", 75_289), ("resnet8", 1_000), ("resnet20", 20_000)):
        before = {name: value.detach().clone() for name, value in testing.network(model).named_parameters()}
        compressed = testing.compress(method, model, budget, trained=True).network
        assert count.stored_values(compressed) == budget
        kept = masks.of(compressed)
        assert ("conv1.weight" in kept, "classifier.weight" in kept) == (False, budget < 75_290)
        for name, mask in kept.items():
            # In no layer is a value dropped that is larger than one that is kept.
            sizes = before[name].abs()
            if mask.any() and not mask.all():
                assert sizes[mask].min() >= sizes[~mask].max()


@pytest.mark.whole
def test_the_test_that_is_written_passes(written: Path) -> None:
    """In a process of its own, with none of our settings."""
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_round_tape.py"]
    ended = subprocess.run(arguments, cwd=written, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert f"{len(testing.CHECKS) + torch.cuda.is_available()} passed" in ended.stdout


@pytest.mark.parametrize("existing", ["round_tape.py", "test_round_tape.py"])
def test_nothing_is_written_over(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(InputError) as caught:
        new_method("round_tape", tmp_path)
    assert str(caught.value) == (f"there is a {tmp_path / existing} already; give another name, or a folder with --out")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(existing, "mine")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2x", "can't call a method '2x'; a name is letters, digits and _, like my_method"),
        ("a.b", "can't call a method 'a.b'; a name is letters, digits and _, like my_method"),
        ("../a", "can't call a method '../a'; a name is"),
        ("", "can't call a method ''; a name is"),
        ("_a", "can't call a method '_a'; a name is"),
        ("größe", "can't call a method 'größe'; a name is"),
        ("class", "can't call a method 'class'; a name is"),
        ("csg", "there is a method 'csg' already; give another name"),
        ("all", "there is a method 'all' already; give another name"),
        ("random", "can't call a method 'random': its file would hide Python's random; give another name"),
        ("rule", "can't call a method 'rule': its class would be Rule, which is taken; give another"),
    ],
)
def test_names_that_can_not_be(command: Command, tmp_path: Path, name: str, message: str) -> None:
    code, out, err = command("new-method", "--out", str(tmp_path / "mine"), "--", name)
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"can't write to .*/file: .*; give another --out"):
        new_method("round_tape", tmp_path / "file")
