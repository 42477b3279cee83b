"""Checking a store against its records: the seals first, then every saved network, measured again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from bench import count
from bench.cache.inventory import look_over
from bench.corruptions.computed import Computed
from bench.corruptions.measure import headlines
from bench.data.batches import in_order
from bench.data.normalise import Normalise
from bench.data.splits import fingerprint, hold_out
from bench.data.standard import DATASET
from bench.data.streaming import Loading
from bench.dataset import IGNORED, Data
from bench.errors import InputError, TooNew, first_line, typed_line
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.measure import account
from bench.measure.cores import threads
from bench.metric import Metric
from bench.models._build import build_network
from bench.plan import plan
from bench.plan import spec as specs
from bench.plan.dataset_choice import find_dataset
from bench.plugins import networks, options
from bench.runs import environment
from bench.runs.run import by_class_columns, flat
from bench.store import by_class, published, seal
from bench.store.apart import corruptions
from bench.store.examples import Examples, decode_examples, encode_examples
from bench.store.predictions import Predictions, decode_predictions, encode_predictions
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
from bench.task import Task
from bench.training.evaluate import metered
from bench.training.kept import Kept, KeptExamples
from bench.training.views import Views
from bench.watching.planned import PLAN

Content = TypeVar("Content")

# These columns decide the order in which sums are added up: where all are the same, so are scores, to the bit.
SAME_MACHINE = ("device", "device_name", "threads", "torch_version")
# Elsewhere scores may differ by so much: accuracy in percentage points, the loss relative to the record's.
TOLERANCE_POINTS, TOLERANCE_LOSS = 0.1, 1e-3
# A single class may have few pixels, so that its own figure moves further than the mean of all.
TOLERANCE_CLASS = 1.0
# And so many images, in percent and at least one, may be given another class, or their own by another confidence than
# so much. What changes scores by less than the above moves single images that lie on the border of two classes.
TOLERANCE_IMAGES, TOLERANCE_CONFIDENCE = 0.1, 0.01


@dataclass
class Verdict:
    """The result. `wrong` has, by a run's folder or another file, a line for each difference to the record."""

    runs: int = 0
    sealed: int = 0
    measured: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    unsealed: list[str] = field(default_factory=list)
    # Folders of a report that was not written to its end.
    unfinished: list[str] = field(default_factory=list)
    # The folders of runs that are not as they were sealed, or don't give their record's figures.
    damaged: list[Path] = field(default_factory=list)
    # What was measured with other code than it was made with, since the person said so.
    other_code: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[str]:
        """What is wrong, and the conclusion."""
        places: dict[str, list[str]] = {}
        for where, found in self.wrong.items():
            for line in found:
                places.setdefault(line, []).append(where)
        yield from (f"{_first(where)}: {line}" for line, where in places.items())
        if self.unsealed:
            yield f"without a seal, being of an earlier bench: {_first(self.unsealed)}"
        if self.unfinished:
            yield f"cut short while it was written: {_first(self.unfinished)}; `bench report` writes it again"
        if self.other_code:
            yield f"measured with other code than it was made with: {', '.join(sorted(self.other_code))}"
        apart = f" ({self.sealed} sealed, {self.measured} measured again)"
        right = self.runs - sum(where.startswith("runs/") for where in self.wrong)
        yield f"{right} of {self.runs} as recorded{apart if not self.sealed == self.measured == self.runs else ''}"


def _first(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


@dataclass
class Verifier:
    """Looks a store over. `given` is named by a person, to load networks with. Nothing that the store names is run."""

    store: Store
    given: Given
    data_dir: Path | None = None  # where datasets that are fetched lie; default: where they lay
    seals_alone: bool = False
    say: Callable[[str], None] = lambda line: None
    _data: dict[tuple[str, str, float], tuple[Data, str, Normalise, Task]] = field(default_factory=dict)

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
        return verdict

    def _file(self, path: Path, verdict: Verdict) -> None:
        """One that is sealed by itself."""
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
        """A folder of files that one seal is for."""
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
        """A line for each thing of a run that is not as recorded."""
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
        if self.seals_alone or record["status"] != FINISHED:
            return
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
            found = list(self._measure(folder, record, kept, shown, sealed is not None, verdict))
            verdict.damaged += [folder] if found else []
            yield from found
        except InputError as error:
            # The line begins with the folder's name already.
            yield f"can't be measured again: {str(error).replace(f'{folder}/', '')}"
        except Exception as error:  # of a plugin's code
            yield f"can't be measured again: {typed_line(error)}"
        else:
            verdict.measured += 1

    def _measure(
        self,
        folder: Path,
        record: Record,
        kept: Predictions | None,
        shown: Examples | None,
        sealed: bool,
        verdict: Verdict,
    ) -> Iterator[str]:
        """A line for each figure that the saved network gives now and the record has otherwise, and one where it says
        other things of the images than were kept. Raises InputError."""
        path, given = folder / WEIGHTS, self._given_for(record)
        data, data_hash, own, task = self._images(folder, record)
        if data_hash != record["data"]:
            raise InputError(f"the images of {record['dataset']} are others than it was tested on")
        saved = network_file.read(path)
        compressed = artifact.build(saved, path, given)
        yield from self._asked(folder, record)
        inputs = saved.description.model.inputs
        # Numbers from elsewhere are in the artifact to the last bit.
        normalise = own if record["normalise"] == DATASET or inputs is None else Normalise.from_inputs(inputs)
        dense = build_network(
            artifact.find_model(saved.description.model, path, given).model,
            saved.description.model.channels,
            saved.description.model.classes,
            record["seed"],
        )
        verdict.other_code.update(artifact.other_code(saved.description, path, given))
        stored = account.stored(compressed, settled=True)
        deployed = account.deploy(compressed, data.image_shape)
        sizes = {"stored_bytes": path.stat().st_size, "test_images": len(data.test)}
        yield from _differences(record, _account(stored, deployed, count.stored_values(dense)) | sizes, sealed)
        # Where it was made if that can be had here; else on what there is, within the tolerances.
        device = environment.find_device("auto" if record["device"] == "cuda" else "cpu")
        with threads(record["threads"] or torch.get_num_threads()):
            same = all(
                record[name] == own for name, own in environment.describe(device).items() if name in SAME_MACHINE
            )
            now, now_shown = Kept(task), KeptExamples(task, data.test)
            network, views = deployed.network.to(device), Views.of(record)
            there = replace(data, test=data.test.to(device))
            batches = in_order(there.test, normalise.to(device))
            meter = metered(network, batches, task, len(data.classes), now, now_shown, views=views)
            on_corrupted = _on_corrupted(record, network, there, normalise.to(device), task)
        scores = {f"test_{name}": score for name, score in meter.scores().items()} | on_corrupted
        yield from _differences(record, scores, sealed, exactly=same)
        if record["by_class"] is not None:  # which runs of an earlier bench lack
            yield from _other_by_class(record, by_class_columns(task, meter, data.classes), exactly=same)
        if kept is not None:
            again = decode_predictions(encode_predictions(now.arrays(), data.classes))
            yield from _other_predictions(kept, again, exactly=same)
        if shown is not None:
            shown_again = decode_examples(encode_examples(now_shown.arrays(), data.classes, IGNORED))
            yield from _other_examples(shown, shown_again, exactly=same)

    def _given_for(self, record: Record) -> Given:
        """What is given to load a run's network: one of a file where it is one, and others go by their names."""
        return self.given if networks.is_file(record["model"]) else replace(self.given, model=None)

    def _asked(self, folder: Path, record: Record) -> Iterator[str]:
        """A line for each thing that the run was asked for and its record has otherwise. Raises InputError."""
        asked = specs.read(folder / SPEC)
        if asked.get("weights") is not None:  # they need not lie where they lay, and without them it is another plan
            return
        if self._given_for(record).model is not None:
            asked["model"] = self.given.model
        spec = specs.check({**asked, "plugins": list(self.given.plugins)}, str(folder / SPEC))
        run = plan.from_spec(spec).runs[-1]
        known = {
            # Of other code, which the person takes, the id would be another.
            "id": record["id"] if self.given.other_code else run.id,
            "method_name": run.choice.name,
            "method_text": run.choice.text,
            "budget": None if run.budget is None else str(run.budget),
            "seed": run.seed,
            "model": run.setting.model.text,
            "dataset": run.setting.dataset.label,
            "schedule": run.setting.schedule_name,
            "learning_rate_factor": run.rate,
            **flat("option", options.everything(run.choice.method)),
            **flat("schedule", options.everything(run.setting.schedule)),
        }
        for name, value in known.items():
            # Of an option that came later, old records know nothing.
            if record.get(name, value) != value:
                yield f"{name} is {record[name]!r}, and {value!r} in {SPEC}"

    def _images(self, folder: Path, record: Record) -> tuple[Data, str, Normalise, Task]:
        """The run's data with its validation split, their hash, their own mean and deviation, and their task."""
        spec = specs.check({**specs.read(folder / SPEC), "plugins": []}, str(folder / SPEC))
        data_dir = self.data_dir or Path(spec.data_dir)
        key = spec.dataset, str(data_dir), float(record["schedule.validation"])
        if key not in self._data:
            chosen = find_dataset(spec.dataset, self.given.plugins)
            data = chosen.decode(data_dir, download=False)
            if data.is_streamed:  # every file is hashed again, whatever the cache says
                data = look_over(data, None, chosen.label, lambda line: None)
            data = hold_out(data, key[-1])
            self._data[key] = data, fingerprint(data), Normalise.of(data.train), chosen.task.task
        return self._data[key]


def _on_corrupted(record: Record, network: nn.Module, data: Data, normalise: Normalise, task: Task) -> dict[str, float]:
    """The scores on corrupted images, measured again if the images are computed. Those of a folder need not be here."""
    source = Computed()
    if record[corruptions.SOURCE] != source.name:
        return {}
    loading = Loading(normalise.mean.device)
    figures = headlines(network, source, data, normalise, task, loading, Views.of(record))
    found = corruptions.columns(source.name, figures)
    return {name: own for name, own in found.items() if name != corruptions.SOURCE}


def _read(folder: Path, name: str, decode: Callable[[bytes], Content]) -> Content | None:
    """The predictions that the run kept in this file; None if there is none, as from an earlier bench. Raises TooNew,
    or another ValueError, which names the file."""
    content = Store.content(folder, name)
    try:
        return None if content is None else decode(content)
    except TooNew as error:
        raise TooNew(f"{name}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} can't be read: {first_line(error)}") from error


def _other_predictions(then: Predictions, now: Predictions, exactly: bool) -> Iterator[str]:
    """A line where these are not the same, or elsewhere than where they were made more than the tolerance apart."""
    for name in ("classes", "label"):
        if not np.array_equal(getattr(then, name), getattr(now, name)):
            yield f"{PREDICTIONS} has other {name if name == 'classes' else 'labels'} than the images"
            return
    apart = np.abs(then.confidence.astype(float) - now.confidence.astype(float))
    differ = (then.predicted != now.predicted) | (apart > (0 if exactly else TOLERANCE_CONFIDENCE))
    number, images = int(differ.sum()), len(differ)
    if number > (0 if exactly else max(1, TOLERANCE_IMAGES / 100 * images)):
        yield f"{PREDICTIONS} says other things of {number:,} of {images:,} images than the network does"


def _other_examples(then: Examples, now: Examples, exactly: bool) -> Iterator[str]:
    """The same of the images that are shown."""
    for name, what in (("classes", "classes"), ("number", "images"), ("mask", "masks")):
        if not np.array_equal(getattr(then, name), getattr(now, name)):
            yield f"{EXAMPLES} has other {what} than the dataset"
            return
    # Where images were made smaller, another torch may round otherwise.
    if then.image.shape != now.image.shape or np.abs(then.image.astype(int) - now.image).max() > 1:
        yield f"{EXAMPLES} has other images than the dataset"
        return
    number, pixels = int((then.predicted != now.predicted).sum()), now.predicted.size
    if number > (0 if exactly else max(1, TOLERANCE_IMAGES / 100 * pixels)):
        yield f"{EXAMPLES} says other things of {number:,} of {pixels:,} pixels than the network does"


def _other_by_class(record: Record, measured: Record, exactly: bool) -> Iterator[str]:
    """A line for each class whose figure is another. Elsewhere than where they were made, a few pixels may be taken for
    a class that had none."""
    then, now = by_class.figures(record), by_class.figures(measured)
    if list(then) != list(now):
        yield "the record has figures of other classes than the images"
        return
    for name, figure in then.items():
        other = now[name]
        if figure != other and (exactly or abs((figure or 0) - (other or 0)) > TOLERANCE_CLASS):
            said = ["none" if each is None else f"{each:,}" for each in (other, figure)]
            yield f"{record['by_class_label']} of {name} is {said[0]}, and {said[1]} in the record"


def _account(stored: account.Stored, deployed: account.Deployed, dense_values: int) -> dict[str, Any]:
    """The columns of a record that count a network's values, bytes and multiply-accumulates."""
    return {
        "dense_values": dense_values,
        "compression": dense_values / stored.stored_values,
        "stored_values": stored.stored_values,
        "counted_bytes": stored.counted_bytes,
        "statistics_values": stored.statistics_values,
        "materialised_values": deployed.materialised_values,
        "macs": deployed.macs,
        "generation_macs": deployed.generation_macs,
    }


def _differences(record: Record, measured: dict[str, Any], sealed: bool, exactly: bool = True) -> Iterator[str]:
    """Records of an earlier bench, which have no seal, may lack columns."""
    for name, now in measured.items():
        then = record.get(name)
        if then == now or (then is None and not sealed):
            continue
        if then is None:
            yield f"{name} is {now:,}, and empty in the record"
            continue
        tolerance = 0.0 if exactly else TOLERANCE_LOSS * abs(then) if name.endswith("loss") else TOLERANCE_POINTS
        if not abs(now - then) <= tolerance:
            yield f"{name} is {now:,}, and {then:,} in the record"
