"""The card of a publication: README.md, with the front matter that the Hugging Face hub reads."""

import json
import re
import shlex
from collections.abc import Sequence

import pandas as pd

from bench.reports.audit import every
from bench.reports.tables.table import plain_markdown
from bench.reports.words import words
from bench.store.printable import one_line, printable
from bench.version import __version__

CARD = "README.md"
_TAGS = ("model-compression", "convolutional-neural-networks", "benchmark")
# The hub's names of image tasks begin with this: image-classification, image-segmentation.
_TASK = "image-"
# The most networks and datasets that a title names.
_NAMED = 3

_FILES = (
    ("index.html", "the page: figures, tables, training curves, the fairness audit, in one self-contained file"),
    ("summary.md, .csv, .tex, .parquet", "a line for each method and budget"),
    ("pairwise.csv, overall.csv", "every pair of methods at a budget; methods over all budgets"),
    ("results.csv", "a line for each run, with every option, version and time"),
    ("figures/", "figures for papers, as PDF, PNG and SVG"),
    ("citation.bib", "the papers of the methods compared"),
    ("runs/", "each run: its record, training history, layers, spec, and the seal with the SHA-256 of each"),
    ("publish.json", "the SHA-256 of every file here"),
)


def default_title(runs: pd.DataFrame) -> str:
    """The default title of a publication."""
    return f"{words(runs).title}: {_few(runs['model'])} on {_few(runs['dataset'])}"


def card(
    runs: pd.DataFrame,
    summary: str,
    title: str,
    specs: Sequence[str],
    code: Sequence[str],
    given: Sequence[tuple[str, str]],
    needs: Sequence[str],
    weights: int,
    bibliography: str,
) -> str:
    """The text of the card.

    `summary` is the text of summary.md. `specs` and `code` are files of the publication. `given` has the options that
    name plugins, and `needs` says what the reader must provide. `weights` is the number of saved networks. Text from
    records is never used as markup.
    """
    title, version = " ".join(printable(title).split()), _version(runs)
    files = [*_FILES]
    if specs:
        files.insert(-1, (", ".join(specs), "specs for `bench run --spec`; paths in them start from this folder"))
    if code:
        files.insert(-1, ("code/", "plugins that the runs used"))
    kept = f"Saved networks here: {weights:,} of {len(runs):,} runs." if weights else "Saved networks are not here."
    lines = [
        *_front_matter(title, _tasks(runs)),
        f"# {plain_markdown(title)}",
        "",
        f"{words(runs).question} In each table all methods were trained on one schedule, from the same initial weights "
        "for the same seed.",
        "[index.html](index.html) shows all of it, once it is downloaded or served.",
        "",
        summary.partition("\n")[2].strip(),
        "",
        "## Files",
        "",
        "| file | what it is |",
        "| --- | --- |",
        *(f"| {plain_markdown(name)} | {what} |" for name, what in files),
        "",
        f"{kept} The seals of the runs list the files that were left out on purpose (saved networks, tracebacks of "
        "failed runs). This folder is a store of bench: `bench show .`, `bench compare . OTHER` and the other commands "
        "work on it.",
        "",
        "## Repeat it",
        "",
        *_block(f"pip install csg-bench=={version}", *(f"bench run --spec {name} --out ../again" for name in specs)),
        "",
        "Each run also has its own spec, `runs/NAME/spec.toml`. Read other people's code before you run it.",
        "",
        *(["You must provide:", "", *(f"* {plain_markdown(line)}" for line in needs), ""] if needs else []),
        *_check_it(given),
        *_made_with(runs),
        *_citation(bibliography),
    ]
    return "\n".join(lines) + "\n"


def _check_it(given: Sequence[tuple[str, str]]) -> list[str]:
    options = [f"{option} {shlex.quote(one_line(place))}" for option, place in given]
    return [
        "## Check it",
        "",
        *_block(" ".join(["bench verify .", *options])),
        "",
        "It compares every file with its seal, and measures saved networks again; `--data-dir` names the folder of "
        "downloaded images.",
        "",
    ]


def _made_with(runs: pd.DataFrame) -> list[str]:
    known = ((name, column) for name, column in _MADE_WITH if runs[column].notna().any())
    lines = [f"* {name}: {plain_markdown(every(runs[column]))}" for name, column in known]
    return ["## Made with", "", *lines, f"* published by bench {__version__}", ""]


def _citation(bibliography: str) -> list[str]:
    lines = [printable(line) for line in bibliography.strip().split("\n")]
    return ["## Citation", "", "The papers of the compared methods:", "", *_block(*lines, language="bibtex")]


_MADE_WITH = (
    ("bench", "bench_version"),
    ("torch", "torch_version"),
    ("Python", "python_version"),
    ("processor", "device_name"),
    ("system", "platform"),
    ("commit", "git_commit"),
)


def _tasks(runs: pd.DataFrame) -> list[str]:
    """The hub's names of the tasks. A record may contain any text."""
    found = [str(name) for name in dict.fromkeys(runs["task"].dropna())]
    return [f"{_TASK}{name}" for name in found if re.fullmatch(r"[a-z][a-z0-9-]*", name)]


def _front_matter(title: str, tasks: Sequence[str]) -> list[str]:
    """The front matter, for cards of datasets and of static spaces. JSON strings are used, since a printable JSON
    string is also valid YAML."""
    quoted = json.dumps(title, ensure_ascii=False)
    return [
        "---",
        f"pretty_name: {quoted}",
        f"title: {quoted}",
        "sdk: static",
        *(["task_categories:", *(f"- {task}" for task in tasks)] if tasks else []),
        "tags:",
        *(f"- {tag}" for tag in (*_TAGS[:2], *tasks, *_TAGS[2:])),
        "configs:",
        "- config_name: summary",
        "  data_files: summary.csv",
        "- config_name: runs",
        "  data_files: results.csv",
        "# license: yours to choose; cc-by-4.0 for instance",
        "---",
        "",
    ]


def _block(*lines: str, language: str = "sh") -> list[str]:
    """Lines unchanged, in a code fence that none of them can end."""
    longest = max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]


def _version(runs: pd.DataFrame) -> str:
    """The newest bench version that made a run, in the form that pip accepts."""
    known = [str(version) for version in runs["bench_version"].dropna()]
    plain = [version for version in known if re.fullmatch(r"\d+(\.\d+)*(\.?[a-z]+\d*)*", version)]
    return max(plain, key=lambda version: [int(part) for part in re.findall(r"\d+", version)], default=__version__)


def _few(column: "pd.Series[str]") -> str:
    names = [str(name) for name in dict.fromkeys(column)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
