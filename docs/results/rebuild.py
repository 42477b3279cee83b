"""Writes the pages of results, and their figures, from the records beside them: `python docs/results/rebuild.py`.

Each page NAME.md is made of NAME.md.jinja, which has an expression in the place of each number, so that no number was
typed. Words that compare have a condition beside them (`holds`); if one fails, no page is written. A table has a spec
of its name, tables/NAME.toml. Its runs are those in `runs/` that have the spec's network, dataset and schedule. With
`--check` nothing is written, and the exit code is 1 if a page differs from what the records say.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from traceback import extract_tb

from authors_logs import AuthorsLogs
from checklist_by_table import ChecklistByTable
from chosen_rates import Rates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plain_tests import together
from replaced import Replaced
from results_table import Table

from bench.plan import spec as specs
from bench.plan.method_choice import REFERENCE, split_label
from bench.plugins import discovery
from bench.plugins.toml import read_toml
from bench.reports.load import Loaded, load
from bench.reports.statistics.pairs import TEST
from bench.reports.summary import analyse

HERE = Path(__file__).resolve().parent
_TEMPLATE = ".jinja"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page would change")
    asked = parser.parse_args(arguments)
    figures: dict[str, bytes] = {}
    try:
        made = pages(figures)
    except NotBorneOutError as error:
        where = [place for place in extract_tb(error.__traceback__) if place.filename.endswith(_TEMPLATE)][-1]
        print(f"{where.filename}:{where.lineno}: the records don't bear out the words there; nothing was written")
        return 1
    if asked.check:
        stale = [name for name, text in made.items() if text != (HERE / name).read_text(encoding="utf-8")]
        for name in stale:
            print(f"{HERE / name} is not what the records say; python {Path(__file__).name} writes it anew")
        return 1 if stale else 0
    for name, text in made.items():
        (HERE / name).write_text(text, encoding="utf-8")
        print(f"wrote {HERE / name}")
    for name, content in figures.items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_bytes(content)
    return 0


def pages(figures: dict[str, bytes]) -> dict[str, str]:
    """The text of each page by its name; `figures` gets the content of each picture by its path."""
    loaded = _whole(HERE)
    chosen = {folder.name.replace("-", "_"): Rates(_whole(folder)) for folder in sorted(HERE.glob("rates*/"))}
    analysis = analyse(loaded.runs)
    tables = {
        path.stem.replace("-", "_"): Table(path.stem, specs.from_options({}, path), loaded, analysis, figures)
        for path in sorted((HERE / "tables").glob("*.toml"))
    }
    around = Environment(  # noqa: S701  # Markdown, of our own records
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    known = {
        **tables,
        **chosen,
        "authors": AuthorsLogs(),
        "replaced": Replaced(),
        "test": TEST,
        "holds": holds,
        "together": together,
    }
    known["checklist"] = ChecklistByTable([*tables.values()])
    known["methods"] = methods_of(tables.values())
    known["to_be_made"] = [table.name for table in tables.values() if not table.is_made]
    names = sorted(path.name for path in HERE.glob(f"*{_TEMPLATE}"))
    return {name.removesuffix(_TEMPLATE): around.get_template(name).render(known) for name in names}


class NotBorneOutError(ValueError):
    """A sentence of a page that the records don't bear out."""


def holds(*claims: bool) -> str:
    """Nothing, beside a sentence whose words the records bear out. Raises NotBorneOutError if they don't: then its
    words must change."""
    if not all(claims):
        raise NotBorneOutError(claims)
    return ""


def methods_of(tables: Iterable[Table]) -> list[tuple[str, str, list[str]]]:
    """Each method of the tables, what it does, and its variants as the specs name them."""
    variants: dict[str, dict[tuple[str, str], str]] = {}
    for table in tables:
        # As the file writes it: in the spec, paths are absolute.
        written = read_toml(HERE / "tables" / f"{table.name}.toml", "spec file")["methods"]
        for text, choice in zip(written, table.choices, strict=True):
            label, options = split_label(text)
            named = variants.setdefault(choice.name, {})
            if label:
                named.setdefault((label, options), table.spec.model)
    return [
        (name, discovery.find(discovery.METHODS, name).first_line(), [*_told_apart(own)])
        for name, own in sorted(variants.items())
        if name != REFERENCE
    ]


def _told_apart(variants: dict[tuple[str, str], str]) -> Iterable[str]:
    """Each variant with its options, and with its network where another variant has the same name."""
    names = [name for name, _ in variants]
    for (name, options), network in variants.items():
        where = f" in {network}" if names.count(name) > 1 else ""
        yield f"{name} (`{options}`{where})"


def _whole(store: Path) -> Loaded:
    """Raises ValueError where anything in the store is damaged."""
    loaded = load([store])
    if loaded.notes:
        raise ValueError(loaded.notes[0])
    return loaded


if __name__ == "__main__":
    sys.exit(main())
