"""The saved network of a run, measured again."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from bench.errors import InputError
from bench.files import artifact, network_file
from bench.files.artifact import Given
from bench.measure import account
from bench.measure.cores import threads
from bench.models._build import build_network
from bench.plan import plan
from bench.plan import spec as specs
from bench.plan.dataset_choice import find_dataset
from bench.plugins import networks, options
from bench.runs import environment
from bench.runs.steps.columns import by_class_columns, flat
from bench.runs.verify.differences import SAME_MACHINE, differences, other_by_class, other_examples, other_predictions
from bench.store.apart import corruptions
from bench.store.examples import Examples, decode_examples, encode_examples
from bench.store.predictions import Predictions, decode_predictions, encode_predictions
from bench.store.record import Record
from bench.store.store import (
    SPEC,
    WEIGHTS,
)
from bench.task import Task
from bench.training.evaluate import metered
from bench.training.kept import Kept, KeptExamples
from bench.training.views import Views


@dataclass
class MeasuredAgain:
    """Measures saved networks of one store again. Each dataset is decoded once. `given` is what a person named to load
    networks with; nothing that the store names is run. Datasets that are fetched lie in `data_dir`, or in the folder of
    the run's own spec."""

    given: Given
    data_dir: Path | None = None
    # Networks and methods whose code differs from the code that the run was made with. The person accepted that.
    other_code: set[str] = field(default_factory=set)
    _data: dict[tuple[str, str, float], tuple[Data, str, Normalise, Task]] = field(default_factory=dict)

    def differences(
        self, folder: Path, record: Record, kept: Predictions | None, shown: Examples | None, sealed: bool
    ) -> Iterator[str]:
        """A line for each figure that the saved network gives now and the record has otherwise, and one where the
        network predicts other things than were kept. Raises InputError."""
        path, given = folder / WEIGHTS, self._given_for(record)
        data, data_hash, own, task = self._images(folder, record)
        if data_hash != record["data"]:
            raise InputError(f"the images of {record['dataset']} are not those that it was tested on")
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
        self.other_code.update(artifact.other_code(saved.description, path, given))
        stored = account.stored(compressed, settled=True)
        deployed = account.deploy(compressed, data.image_shape)
        sizes = {"stored_bytes": path.stat().st_size, "test_images": len(data.test)}
        yield from differences(record, _account(stored, deployed, count.stored_values(dense)) | sizes, sealed)
        # On the device that the run was made on. If this machine has none, the tolerances apply.
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
        yield from differences(record, scores, sealed, exactly=same)
        if record["by_class"] is not None:  # runs of an earlier bench lack it
            yield from other_by_class(record, by_class_columns(task, meter, data.classes), exactly=same)
        if kept is not None:
            again = decode_predictions(encode_predictions(now.arrays(), data.classes))
            yield from other_predictions(kept, again, exactly=same)
        if shown is not None:
            shown_again = decode_examples(encode_examples(now_shown.arrays(), data.classes, IGNORED))
            yield from other_examples(shown, shown_again, exactly=same)

    def _given_for(self, record: Record) -> Given:
        """What the person gave to load the run's network with. Only a network of a file needs the person's file."""
        return self.given if networks.is_file(record["model"]) else replace(self.given, model=None)

    def _asked(self, folder: Path, record: Record) -> Iterator[str]:
        """A line for each thing that the run was asked for and its record has otherwise. Raises InputError."""
        asked = specs.read(folder / SPEC)
        if asked.get("weights") is not None:  # their file may be gone, and the plan needs it
            return
        if self._given_for(record).model is not None:
            asked["model"] = self.given.model
        spec = specs.check({**asked, "plugins": list(self.given.plugins)}, str(folder / SPEC))
        run = plan.from_spec(spec).runs[-1]
        method = run.choice.method
        known = {
            # Other code, which the person accepts, would give another id.
            "id": record["id"] if self.given.other_code else run.id,
            "method_name": run.choice.name,
            "method_text": run.choice.recorded,
            "budget": None if run.budget is None else str(run.budget),
            "seed": run.seed,
            "model": run.setting.model.text,
            "dataset": run.setting.dataset.label,
            "schedule": run.setting.schedule_name,
            "learning_rate_factor": run.rate,
            **flat("option", options.everything(method, short=True)),
            **flat("schedule", options.everything(run.setting.schedule)),
        }
        # Older records have the path of a file that is an option.
        older = {**known, "method_text": run.choice.text, **flat("option", options.everything(method))}
        for name, value in known.items():
            # Old records lack options that came later.
            if record.get(name, value) not in (value, older[name]):
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
