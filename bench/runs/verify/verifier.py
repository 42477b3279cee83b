"""A store checked against its records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.errors import InputError, TooNew, first_line, typed_line
from bench.files.artifact import Given
from bench.metric import Metric
from bench.runs.verify.measured_again import MeasuredAgain
from bench.runs.verify.verdict import Verdict
from bench.store import published, seal
from bench.store.examples import decode_examples
from bench.store.predictions import decode_predictions
from bench.store.published import PUBLISHED
from bench.store.record import FINISHED, Record
from bench.store.seal import Broken
from bench.store.store import (
    EXAMPLES,
    IMAGES,
    PREDICTIONS,
    REPORT,
    SEAL,
    SPEC,
    STATES,
    WEIGHTS,
    Damaged,
    Newer,
    Store,
    seal_beside,
)
from bench.watching.planned import PLAN

Content = TypeVar("Content")


@dataclass
class Verifier:
    """Checks a store. `given` is what a person named to load networks with; nothing that the store names is run."""

    store: Store
    given: Given
    data_dir: Path | None = None  # where fetched datasets lie; default: where the runs found them
    seals_alone: bool = False
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self._again = MeasuredAgain(self.given, self.data_dir)

    def verify(self) -> Verdict:
        """Raises InputError for a folder that is no store."""
        if not self.store.runs.is_dir():
            raise InputError(f"no runs in {self.store.folder}; give the folder that `bench run --out` wrote")
        folders = [path for path in sorted(self.store.runs.iterdir()) if path.is_dir() and path.name[0] != "."]
        if not folders:
            raise InputError(f"no runs in {self.store.folder}; there is nothing to verify")
        verdict = Verdict()
        ids: dict[str, str] = {}
        for number, folder in enumerate(folders, 1):
            self.say(f"[{number}/{len(folders)}] {folder.name}")
            verdict.runs += 1
            if found := list(self._run(folder, ids, verdict)):
                verdict.wrong[f"runs/{folder.name}"] = found
        states = self.store.folder / STATES
        named = {path.name.partition(".")[0] for path in states.glob("*.*")}
        for path in (self.store.folder / name for name in (SPEC, PLAN, IMAGES)):
            self._file(path, verdict)
        for path in map(self.store.prefix, sorted(named)):
            self._file(path, verdict)
        for folder in (self.store.folder / REPORT, self.store.folder / REPORT / "figures"):
            if folder.is_dir():
                self._report(folder, verdict)
        self._publication(verdict)
        verdict.other_code |= self._again.other_code
        return verdict

    def _file(self, path: Path, verdict: Verdict) -> None:
        """A file with a seal of its own."""
        name = str(path.relative_to(self.store.folder))
        try:
            content = seal.read_file(path)
            seal.read(seal_beside(path)).check(path.name, content)
        except FileNotFoundError:
            if path.exists() or path.is_symlink():
                self._unsealed(name, verdict)
        except Broken as error:
            verdict.wrong[name] = [str(error)]

    def _report(self, folder: Path, verdict: Verdict) -> None:
        """A folder of a report, which has one seal for all of its files."""
        name = str(folder.relative_to(self.store.folder))
        try:
            sealed = seal.read(folder / SEAL)
            sealed.check_all(folder)
            if not sealed.files and any(path.is_file() and path.name != SEAL for path in folder.iterdir()):
                verdict.unfinished.append(name)
        except FileNotFoundError:
            self._unsealed(name, verdict)
        except Broken as error:
            verdict.wrong[name] = [str(error)]

    def _publication(self, verdict: Verdict) -> None:
        """The files that belong to no run, if the store was published."""
        try:
            found = published.read(self.store.folder)
        except Broken as error:
            verdict.wrong[PUBLISHED] = [str(error)]
            return
        for name, line in () if found is None else found.differences(self.store.folder):
            verdict.wrong.setdefault(name, []).append(line)

    def _unsealed(self, name: str, verdict: Verdict) -> None:
        """A store with sealed runs has seals everywhere, and one of an earlier bench nowhere."""
        if verdict.sealed:
            verdict.wrong[name] = ["it has no seal"]
        else:
            verdict.unsealed.append(name)

    def _run(self, folder: Path, ids: dict[str, str], verdict: Verdict) -> Iterator[str]:
        """A line for each difference between a run's files and its record."""
        try:
            sealed, record = self.store.seal_of(folder), self.store.read(folder)
            if sealed is not None:
                sealed.check_all(folder)
        except (Damaged, Broken) as error:
            if not isinstance(error, Newer):
                verdict.damaged.append(folder)
            yield str(error).removeprefix(f"{folder.name}: ")
            return
        if record["id"] in ids:
            yield f"the run {record['id']} is there twice, as {ids[record['id']]} too; remove the copy"
        ids.setdefault(record["id"], folder.name)
        if sealed is None:
            verdict.unsealed.append(folder.name)
        else:
            verdict.sealed += 1
        if not self.seals_alone and record["status"] == FINISHED:
            yield from self._finished(folder, record, sealed is not None, verdict)

    def _finished(self, folder: Path, record: Record, is_sealed: bool, verdict: Verdict) -> Iterator[str]:
        """A line for each figure of a finished run that is not as recorded."""
        try:
            kept, shown = _read(folder, PREDICTIONS, decode_predictions), _read(folder, EXAMPLES, decode_examples)
        except TooNew as error:
            yield f"can't be measured again: {error}"
            return
        except ValueError as error:
            verdict.damaged.append(folder)
            yield first_line(error)
            return
        metric = Metric.of(record)
        if kept is not None and metric.counts_images and record[metric.test] != kept.accuracy:
            verdict.damaged.append(folder)
            yield f"{metric.test} is {kept.accuracy:,} by {PREDICTIONS}, and {record[metric.test]:,} in the record"
            return
        if self.store.left_out(folder, WEIGHTS):
            return
        try:
            found = list(self._again.differences(folder, record, kept, shown, is_sealed))
            verdict.damaged += [folder] if found else []
            yield from found
        except InputError as error:
            # The line begins with the folder's name already.
            yield f"can't be measured again: {str(error).replace(f'{folder}/', '')}"
        except Exception as error:  # of a plugin's code
            yield f"can't be measured again: {typed_line(error)}"
        else:
            verdict.measured += 1


def _read(folder: Path, name: str, decode: Callable[[bytes], Content]) -> Content | None:
    """The content of a run's file; None if the run has none, as runs of an earlier bench. Raises TooNew, or another
    ValueError, which names the file."""
    content = Store.content(folder, name)
    try:
        return None if content is None else decode(content)
    except TooNew as error:
        raise TooNew(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} can't be read: {first_line(error)}") from error
