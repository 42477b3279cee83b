"""docs/results: no number on its page was typed, each table is whole, and its runs are as they were sealed."""

import csv
import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench.plan import plan, spec
from bench.store.store import Store

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = DOCS / "results"
README = DOCS.parent / "README.md"


@pytest.fixture(scope="module")
def rebuild() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(RESULTS)  # as Python does for a script
        yield importlib.import_module("rebuild")


@pytest.mark.slow
def test_the_pages_are_what_the_records_say(rebuild: ModuleType) -> None:
    figures: dict[str, bytes] = {}
    pages = rebuild.pages(figures)
    assert sorted(pages) == sorted(path.name for path in RESULTS.glob("*.md"))
    for name, text in pages.items():
        assert text == (RESULTS / name).read_text(), "run docs/results/rebuild.py"
    assert sorted(figures) == sorted(f"figures/{path.name}" for path in (RESULTS / "figures").iterdir())


@pytest.mark.slow
def test_words_that_the_records_do_not_bear_out_are_a_line(
    rebuild: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def contradicted(*claims: bool) -> str:
        assert claims
        assert all(claims)
        raise rebuild.NotBorneOutError(claims)

    monkeypatch.setattr(rebuild, "holds", contradicted)
    assert rebuild.main(["--check"]) == 1
    assert re.fullmatch(
        r"\S+index\.md\.jinja:\d+: the records don't bear out the words there.*\n", capsys.readouterr().out
    )


def test_the_readme_has_the_verdict_of_the_results() -> None:
    """The three lines, to the letter."""
    lines = [
        re.findall(r"^\* \*\*\d+x\*\*: .*$", path.read_text(), flags=re.MULTILINE)
        for path in (README, RESULTS / "index.md")
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 3


# Names, budgets, and what is said of statistics alike everywhere.
NO_FIGURES = re.compile(
    r"\b\d+x(-bytes)?\b|ResNet-\d+|DenseNet-BC-\d+-\d+|MobileNetV2|ShuffleNetV2(\s+x0\.5)?|CIFAR-10|16x16"
    r"|top-1|Top-1|95 %"
)


@pytest.mark.parametrize("template", sorted(RESULTS.glob("*.jinja")), ids=lambda path: path.name)
def test_no_number_is_typed(template: Path) -> None:
    text = template.read_text()
    prose = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", text, flags=re.DOTALL)
    prose = re.sub(r"\]\([^)]*\)|`[^`]*`", "", prose)  # targets of links, and names in code
    assert re.findall(r"\S*\d\S*", NO_FIGURES.sub("", prose)) == []
    assert "{{" in text


@pytest.mark.slow
@pytest.mark.parametrize("store", [path.parent for path in sorted(RESULTS.glob("**/runs"))], ids=lambda path: path.name)
def test_every_record_is_as_it_was_sealed(store: Path) -> None:
    found, damaged = Store(store).read_all()
    assert damaged == []
    assert len(found) == len([*(store / "runs").iterdir()]) >= 20
    for folder in found:
        sealed = Store.seal_of(folder)
        assert sealed is not None
        sealed.check_all(folder)
        known = {*sealed.files, *sealed.left_out, "seal.json", "latency.json"}
        assert {path.name for path in folder.iterdir()} <= known


def test_replaced_scores_are_those_of_their_commit() -> None:
    """By the records in the repository's history, where that is there."""
    with (RESULTS / "replaced.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert rows

    def git(*arguments: str) -> str:
        made = subprocess.run(["git", "-C", str(RESULTS), *arguments], capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip("the history is not here")
        return made.stdout

    for row in rows:
        asked = spec.from_options({}, RESULTS / "tables" / f"{row['table']}.toml")
        folder = f"{row['commit']}:docs/results/runs"
        names = [name for name in git("show", folder).split() if name.startswith(f"{row['method']}-{row['budget']}-")]
        found = [json.loads(git("show", f"{folder}/{name}record.json")) for name in names]
        scores = [
            record["test_top1"]
            for record in found
            if (record["model"], record["dataset"], record["schedule"]) == (asked.model, asked.dataset, asked.schedule)
        ]
        assert len(scores) >= 2
        assert f"{sum(scores) / len(scores):.2f}" == row["score"]


def test_generators_that_other_networks_reuse_are_there() -> None:
    reused = {
        (path.parent / match).resolve()
        for path in (*RESULTS.glob("*.toml"), *(RESULTS / "tables").glob("*.toml"))
        for match in re.findall(r"generator=([./\w-]*/[\w.=-]+)", path.read_text())
    }
    assert reused
    assert [folder for folder in reused if not (folder / "weights.safetensors").is_file()] == []


def test_what_is_said_of_learning_rates_is_in_their_table() -> None:
    with (DOCS / "decisions" / "learning-rates.csv").open() as file:
        made = [*csv.DictReader(file)]
    assert all(row["seeds"] == "3" for row in made)

    def test(method: str, budget: str, rate: str, chosen: bool) -> float:
        """Top-1 at the schedule's rate, or at the factor that validates best."""
        own = [row for row in made if (row["method"], row["budget"], row["schedule_rate"]) == (method, budget, rate)]
        best = max(own, key=lambda row: float(row["validation_top1"]))
        plain = next(row for row in own if row["factor"] == "1.0")
        return float((best if chosen else plain)["test_top1"])

    def behind(method: str, budget: str, rate: str, chosen: bool) -> float:
        return round(test("csg", budget, rate, chosen) - test(method, budget, rate, chosen), 1)

    names = {row["method"] for row in made if row["budget"] == "4x"} - {"csg"}
    at_once = {name: behind(name, "4x", "0.15", False) for name in names}
    assert {name for name, lead in at_once.items() if lead < 1.5} == {"sparse", "lowrank"}
    assert max(lead for name, lead in at_once.items() if name != "gcnn") == 7.9
    assert behind("lowrank", "4x", "0.3", True) == -0.9
    assert [behind(name, "4x", "0.3", True) for name in ("separable", "hashing", "lego")] == [0.6, 1.1, 1.2]
    assert [behind(name, "8x", "0.3", True) for name in ("lowrank", "hashing")] == [1.2, 1.8]
    assert [behind(name, "8x", "0.15", False) for name in ("lowrank", "hashing")] == [3.8, 4.2]
    assert {name for name in names if behind(name, "8x", "0.15", False) < 0} == {"sparse"}


TABLES = sorted((RESULTS / "tables").glob("*.toml"))


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_each_table_can_be_made_again_from_anywhere(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs have the ids of the committed ones."""
    monkeypatch.chdir(tmp_path)
    asked = spec.from_options({}, table)
    if asked.dataset.startswith("parquet:"):
        pytest.skip("its images are not in the repository")
    if isinstance(asked.learning_rates, str) and not Path(asked.learning_rates).is_dir():
        pytest.skip("its learning rates are still to be chosen")
    planned = {run.id for run in plan.from_spec(asked).runs}
    made = [record for record in Store(RESULTS).records()[0] if record["id"] in planned]
    assert len(made) in (0, len(planned))


@pytest.mark.parametrize("runs", ["csg-8x-*", "csg-generator=*"])
def test_a_run_can_be_made_again_from_anywhere(runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one with another run's generator, which lies beside it."""
    monkeypatch.chdir(tmp_path)
    run = next((RESULTS / "runs").glob(runs))
    record = Store(RESULTS).read(run)
    assert record["id"] in {one.id for one in plan.from_spec(spec.from_options({}, run / "spec.toml")).runs}
