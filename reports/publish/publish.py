"""Makes a folder from stores that any web server or the Hugging Face hub can show: `bench publish`.

README.md               the card (bench.reports.publish.card)
index.html, ...         the report (bench.reports.report)
runs/NAME/              the runs, so that the folder is a store (bench.reports.publish.copies)
spec.toml, spec-2.toml  the spec of the last sweep of each store, with a seal beside it
code/                   the user's plugins that the specs name
publish.json            what was published (bench.store.published)
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.errors import InputError
from bench.reports.load import because, load
from bench.reports.publish.card import CARD, card, default_title
from bench.reports.publish.copies import Specs, copy_runs, telling
from bench.reports.publish.whole import check_place, whole
from bench.reports.report import write
from bench.reports.second_process import second_process
from bench.store import published, seal
from bench.store.machine_paths import first_of
from bench.store.published import PUBLISHED
from bench.store.store import EXAMPLES, SPEC, WEIGHTS, Store, seal_beside


class Elsewhere(Specs, Protocol):
    """The result of `bench.plan.elsewhere`: specs without the paths of this machine, and what they need."""

    needs: list[str]
    given: list[tuple[str, str]]

    def code(self, hashes: Collection[str]) -> dict[str, bytes]:
        """The files of plugins, by their place in the folder."""


@dataclass(frozen=True)
class Publication:
    """What was written.

    `parts` has the bytes of each type of file. `left_out` has, by name, the reason why a run or a spec is missing.
    `needs` says what a person must provide to repeat the runs. `pictured` are the datasets of which test images are
    shown.
    """

    folder: Path
    runs: int
    weights: int
    parts: dict[str, int]
    code: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    pictured: list[str] = field(default_factory=list)


def publish(
    stores: Sequence[Path], out: Path, elsewhere: Elsewhere, weights: str = "none", title: str | None = None
) -> Publication:
    """Write `out`, whole or not at all; it replaces an earlier publication there. `weights` says which saved networks
    are included: none, best (for each method and budget, the seed with the best validation score) or all.

    Raises InputError if another folder is there, or if there is nothing to publish.
    """
    for store in stores:
        if not Store(store).runs.is_dir():
            raise InputError(f"no runs in {store}; give the folder that `bench run --out` wrote")
    check_place(out, stores)
    with whole(out) as folder:
        secret = _secret([*stores, out, folder])
        copied = copy_runs(stores, folder, weights, elsewhere, secret)
        left_out = copied.left_out
        if not copied.records:
            raise InputError(f"no run can be published{because([line for _, line in left_out.values()])}")
        specs = _copy_specs(stores, folder, elsewhere, secret, left_out)
        hashes = {
            str(record[column])
            for record in copied.records
            for column in ("method_code", "dataset_code", "model_code", "task_code")
            if record[column]
        }
        code = elsewhere.code(hashes)
        for name, content in code.items():
            Store(folder).write(folder / name, content)
        with second_process([folder]) as other:
            loaded = load([folder])
            loaded.notes.extend(f"{name}: {why}" for name, (why, _) in left_out.items())
            write(loaded, folder, None, other)
        has = [(loaded.folders[run_id] / EXAMPLES).exists() for run_id in loaded.tried["id"]]
        pictured = sorted(set(loaded.tried.loc[has, "dataset"]))
        packages = sorted(set(loaded.runs["model_package"].dropna()))
        needs = [*elsewhere.needs, *(f"{package}, the installed package of a network" for package in packages)]
        text = card(
            loaded.runs,
            (folder / "summary.md").read_text(encoding="utf-8"),
            title or default_title(loaded.runs),
            specs,
            list(code),
            elsewhere.given,
            needs,
            copied.weights,
            (folder / "citation.bib").read_text(encoding="utf-8"),
        )
        Store(folder).write(folder / CARD, text.encode())
        Store(folder).write(folder / PUBLISHED, published.of(folder).encode())
        _require_untold(folder, secret)
        parts = _parts(folder)
    reasons = {name: line for name, (_, line) in left_out.items()}
    return Publication(out, len(copied.records), copied.weights, parts, list(code), reasons, needs, pictured)


def _secret(folders: Sequence[Path]) -> list[str]:
    """Folders of this machine that no file of the publication may name."""
    told = [
        Path.home(),
        *folders,
        *(folder.absolute() for folder in folders),
        *(folder.resolve() for folder in folders),
    ]
    return [str(folder) for folder in dict.fromkeys(told) if folder.is_absolute()]


def _copy_specs(
    stores: Sequence[Path],
    folder: Path,
    elsewhere: Elsewhere,
    secret: Sequence[str],
    left_out: dict[str, tuple[str, str]],
) -> list[str]:
    """Write the specs of these stores, each once, and return their names."""
    contents: list[bytes] = []
    for store in stores:
        path = store / SPEC
        try:
            content = seal.read_file(path)
            if content is None:
                continue
            if seal_beside(path).exists():
                seal.read(seal_beside(path)).check(path.name, content)
            content = elsewhere.spec(content)
        except ValueError as error:
            left_out[f"{SPEC} of store {stores.index(store) + 1}"] = "it can't be read", f"{path}: {error}"
            continue
        if told := telling(SPEC, content, secret):
            why = "it names a folder of the machine that made it"
            left_out[f"{SPEC} of store {stores.index(store) + 1}"] = why, f"{path} names {told}"
        elif content not in contents:
            contents.append(content)
    names = [SPEC, *(f"spec-{number}.toml" for number in range(2, len(contents) + 1))][: len(contents)]
    for name, content in zip(names, contents, strict=True):
        Store(folder).write_sealed(folder / name, content)
    return names


def _require_untold(folder: Path, secret: Sequence[str]) -> None:
    """A last check, also of the files made from records, that nothing names a folder of this machine. Raises
    InputError."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != WEIGHTS and (told := first_of(path.read_bytes(), secret)):
            name = path.relative_to(folder).as_posix()
            raise InputError(f"nothing was published: {name} would name {told}, a folder of this machine")


def _parts(folder: Path) -> dict[str, int]:
    """Bytes by type of file, in the order in which they are shown."""
    parts = dict.fromkeys(("report", "runs", "saved networks", "code"), 0)
    for path in folder.rglob("*"):
        if path.is_file():
            top = path.relative_to(folder).parts[0]
            kind = "saved networks" if path.name == WEIGHTS else top if top in parts else "report"
            parts[kind] += path.stat().st_size
    return parts
