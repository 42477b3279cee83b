"""From a spec to the list of runs: every method at every budget for every seed, and the dense reference."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.budget import Budget, parse
from bench.data import standard as standards
from bench.data.standard import Standard
from bench.dataset import Data, Dataset, Decoding
from bench.errors import InputError, asking
from bench.files.compressed_backbone import CompressedBackbone
from bench.files.description import Step
from bench.files.start_weights import BACKBONE, Weights
from bench.files.start_weights import find as find_weights
from bench.measure.cores import cores
from bench.method import Compressed, Method
from bench.plan import defaults, rates
from bench.plan.known import Known
from bench.plan.rates import Rates
from bench.plan.spec import Spec
from bench.plugins import discovery, networks, options
from bench.plugins.networks import ModelChoice
from bench.store.rates import factor_text
from bench.task import LOSS, Task
from bench.training import loop
from bench.training import schedule as schedules
from bench.training.schedule import Schedule
from bench.training.views import PLAIN

REFERENCE, GIVEN = "dense", "given"
ALL = "all"


@dataclass(frozen=True)
class MethodChoice:
    """A method with its options. `label` is how reports call it: the name given with `label=`, or what was written. One
    that `is_given` was named by a path. `shown` is what a person who watches knows it by, "" for the label."""

    label: str
    name: str
    method: Method
    code: str
    identity: str
    is_given: bool = False
    shown: str = ""

    @property
    def text(self) -> str:
        return options.write(self.name, self.method)

    @cached_property
    def in_ids(self) -> list[Any]:
        """What goes into ids of runs."""
        identity = filter(None, [self.identity])
        return [self.name, options.changed(self.method), *identity, *_above_one(self.method.revision)]

    def step(self, compressed: Compressed) -> Step:
        """The description of the compressed network in a file."""
        code = self.code if self.is_given else ""
        return Step(self.name, options.changed(self.method), compressed.structure(), code)


@dataclass(frozen=True)
class TaskChoice:
    """A task by name, chosen for a dataset."""

    name: str
    task: Task
    code: str


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset with its options, found and looked at but not decoded."""

    name: str
    dataset: Dataset
    identity: str
    code: str
    task: TaskChoice

    @property
    def label(self) -> str:
        return options.write(self.name, self.dataset, short=True)

    def decode(self, data_dir: Path, download: bool, decoding: Decoding | None = None) -> Data:
        """The images, looked over. Raises InputError."""
        with asking(f"dataset {self.label}"):
            data = self.dataset.decode(data_dir, download, decoding or Decoding(threads=cores()))
            _check_type(data, Data, "load")
            data.check()
            for name, split in data.splits().items():
                if not isinstance(split.targets, Tensor):  # masks in files, which are looked over with their images
                    continue
                try:
                    self.task.task.check(split.targets, len(data.classes))
                except ValueError as error:
                    raise ValueError(f"the {name} split {error}") from error
        return data

    def stamp(self, data_dir: Path) -> str | None:
        """`Dataset.stamp`. Raises InputError."""
        with asking(f"dataset {self.label}"):
            stamp = self.dataset.stamp(data_dir)
            if stamp is not None:
                _check_type(stamp, str, "stamp")
        return stamp


@dataclass(frozen=True)
class Setting:
    """The part that all runs of a sweep share: the network, the weights it starts from, the data, the schedule."""

    model: ModelChoice
    weights: Weights | None
    dataset: DatasetChoice
    schedule_name: str
    schedule: Schedule
    # How images are standardised, None: by the dataset's own mean and deviation; and whether that is what is done
    # where nobody asks for anything.
    standard: Standard | None = None
    is_usual: bool = True

    @property
    def untaught(self) -> "Setting":
        """The same without a teacher: that in which the teacher is trained."""
        return replace(self, schedule=replace(self.schedule, distillation=0.0))

    @property
    def untested(self) -> "Setting":
        """The same with each test image seen once: no state in training depends on how it is tested in the end."""
        return replace(self, schedule=replace(self.schedule, test_scales=PLAIN.scales, test_flip=PLAIN.flip))

    @cached_property
    def in_ids(self) -> dict[str, Any]:
        """The part of ids: everything that changes results, and nothing that is at its default."""
        return {
            "model": self.model.identity(),
            "dataset": [
                self.dataset.name,
                options.changed(self.dataset.dataset),
                self.dataset.identity,
                *_above_one(self.dataset.dataset.revision),
            ],
            "schedule": options.changed(self.schedule),
            **({} if self.weights is None else {"weights": self.weights.identity}),
            **({} if self.is_usual else {"normalise": standards.text_of(self.standard)}),
            **({"fresh_head": True} if self.weights is not None and self.weights.fresh_head else {}),
            # Augmentation alone is drawn in another way since.
            **({"training": loop.REVISION} if self.schedule.augments and loop.REVISION > 1 else {}),
        }


@dataclass(frozen=True)
class Run:
    """One training with one outcome. `rate` is a factor of the schedule's learning rate: of the run, and not of the
    schedule, so that runs at several are of one setting."""

    choice: MethodChoice
    budget: Budget | None
    setting: Setting
    seed: int
    rate: float = 1.0

    @cached_property
    def id(self) -> str:
        """A hash of what the run does. Options at their default are left out, so that a new option changes no old id;
        so are labels, the device and where things lie."""
        return _hash(
            {
                "method": self.choice.in_ids,
                "budget": None if self.budget is None else str(self.budget),
                "seed": self.seed,
                **self.setting.in_ids,
                **({} if self.compressed_backbone is None else {"backbone": self.compressed_backbone.identity}),
                **({} if self.rate == 1 else {"learning_rate_factor": factor_text(self.rate)}),
            }
        )

    @property
    def name(self) -> str:
        """Readable and unique: the name of the run's folder."""
        text = options.write(self.choice.name, self.choice.method, short=True)
        words = [text, *([str(self.budget)] if self.budget else []), *self.rate_words, f"seed{self.seed}"]
        # A file's name has at most 255 bytes, and some of them are needed around this one.
        return re.sub(r"[^\w.=+-]+", "-", "-".join(words))[:120] + f"-{self.id}"

    @property
    def rate_words(self) -> list[str]:
        """The text for its learning rate, if that is not the schedule's."""
        return [] if self.rate == 1 else [f"rate={factor_text(self.rate)}"]

    @property
    def schedule(self) -> Schedule:
        """The schedule of the run's own epochs. The dense ones before, which runs share, are on the setting's."""
        schedule = self.setting.schedule
        return replace(schedule, learning_rate=schedule.learning_rate * self.rate)

    @property
    def compress_epoch(self) -> int:
        return self.setting.schedule.compress_epoch(self.choice.method.compress_at)

    @property
    def end_epoch(self) -> int:
        """The number of epochs after which its training ends."""
        return self.setting.schedule.epochs if self.choice.method.trains else self.compress_epoch

    @property
    def needs(self) -> list[tuple["Run", int]]:
        """The states of the dense network that it takes: of which run's setting, and after how many epochs. First where
        it starts, then its teacher, the dense network that is finished without one."""
        start = [(self, self.compress_epoch)] if self.compress_epoch else []
        return start + ([] if self.teacher is None else [(self.teacher, self.setting.schedule.epochs)])

    @property
    def teacher(self) -> "Run | None":
        """Stands for the training of its teacher: the same without one."""
        if self.setting.schedule.distillation == 0 or not self.choice.method.trains:
            return None
        return replace(self, setting=self.setting.untaught)

    @property
    def trains_itself(self) -> bool:
        """Whether it has epochs besides the dense ones that it shares."""
        return self.end_epoch > self.compress_epoch

    @property
    def compresses_trained(self) -> bool:
        """Whether the network to compress holds more than initial weights."""
        return self.compress_epoch > 0 or self.setting.weights is not None

    @property
    def compressed_backbone(self) -> CompressedBackbone | None:
        """The backbone that it starts from where that fits, which is seen once it is compressed: that of a run of its
        own method, as that left it."""
        weights = self.setting.weights
        return None if weights is None or self.why_kernels else weights.compressed

    @property
    def why_kernels(self) -> str:
        """Why it takes the kernels of a backbone that a run left compressed, whatever size it is of; empty if it
        need not."""
        found = None if self.setting.weights is None else self.setting.weights.compressed
        if found is None:
            return ""
        if found.method != self.choice.name:
            return f"{found.name} is a run of {found.method}"
        if self.compress_epoch:
            return f"it is dense up to epoch {self.compress_epoch}"
        return "it comes to its size in training" if self.choice.method.at_size == "at the end" else ""

    @property
    def is_reference(self) -> bool:
        return self.choice.text == REFERENCE

    @property
    def leaves_states(self) -> bool:
        """Whether others start from its state after some epochs: only on the schedule's own rate."""
        return self.is_reference and self.rate == 1

    def own_spec(self, spec: Spec) -> Spec:
        """The spec that asks for this run alone (and its dense reference), out of the resolved spec of the sweep."""
        budgets = spec.budgets if self.budget is None else [str(self.budget)]
        own = {"methods": [_written(self.choice)], "budgets": budgets, "seeds": [self.seed], "corruptions": None}
        return spec.model_copy(update={**own, "learning_rates": [factor_text(self.rate)]})


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep in the order in which they are made, and the spec that they come from, resolved; `notes` are
    lines for the person, on what was found or decided."""

    runs: tuple[Run, ...]
    spec: Spec
    setting: Setting
    notes: tuple[str, ...] = ()

    def kept_epochs(self, seed: int) -> set[int]:
        """After which epochs the dense run of a seed keeps its state, for the runs that start there."""
        return {run.compress_epoch for run in self.runs if run.seed == seed and run.compress_epoch > 0}


def make(spec: Spec, known: Known | None = None) -> Plan:
    """The plan of a spec. Finds every name and checks every option; decodes no data. What is `known` of files that lie
    on another machine is not looked for here. Raises InputError."""
    files = [str(Path(file).expanduser().resolve()) for file in spec.plugins]
    choices = _with_references(spec, files)
    require_unique([choice.text for choice in choices], "methods")
    require_unique([choice.label for choice in choices], "method names")
    budgets = [parse(text) for text in spec.budgets]
    require_unique([str(budget) for budget in budgets], "budgets")
    require_unique([str(seed) for seed in spec.seed_list], "seeds")
    factors = rates.find(spec.learning_rates, spec.seed_list)
    if isinstance(factors.written, list):
        require_unique(factors.written, "learning rates")

    chosen = find_dataset(spec.dataset, files, None if known is None else known.identity)
    model = networks.find(spec.model or chosen.dataset.network or defaults.MODEL)
    if model.model.task not in ("", chosen.task.name):
        raise InputError(
            f"{model.text} is a network for {model.model.task}, and {chosen.label} a dataset for {chosen.task.name}: "
            "choose another --model or --dataset"
        )
    schedule_name, schedule = _schedule(spec.schedule)
    if not schedule.views.is_plain:
        require_pixels(chosen, "test_scales and test_flip")
    weights = _weights(spec, model, files, known)
    chosen, notes = _suiting(chosen, weights, model)
    standard, is_usual = _standard(spec.normalise, weights, model, notes)
    setting = Setting(model, weights, chosen, schedule_name, schedule, standard, is_usual)

    resolved = spec.model_copy(
        update={
            "methods": [_written(choice) for choice in choices],
            "budgets": [str(budget) for budget in budgets],
            "learning_rates": factors.written,
            "model": model.asked,
            "dataset": options.write(chosen.name, chosen.dataset),
            # TOML has nothing for none, which is where an option stands that isn't there.
            "schedule": {
                "name": schedule_name,
                **{name: own for name, own in options.everything(schedule).items() if own is not None},
            },
            "data_dir": str(Path(spec.data_dir).expanduser().resolve()),
            "plugins": files,
            "weights": None if weights is None else weights.text,
            "normalise": None if spec.normalise is None else standards.text_of(standard),
            "corruptions": _located(spec.corruptions),
        }
    )
    notes += [line for choice in choices if (line := no_part(choice, budgets))]
    runs = tuple(_runs(choices, budgets, setting, spec.seed_list, factors))
    _require_distinct(runs)
    _require_trained(runs)
    return Plan(runs, resolved, setting, tuple(notes))


def _suiting(chosen: DatasetChoice, weights: Weights | None, model: ModelChoice) -> tuple[DatasetChoice, list[str]]:
    """The dataset with images of the size that finished weights were trained on, and notes on these. Raises
    InputError."""
    if weights is None:
        return chosen, []
    if weights.backbone:  # which takes images of any size
        return chosen, [*weights.notes, f"{weights.name} fills the backbone, and the head is fresh"]
    inputs = weights.inputs or model.model.inputs
    chosen, sized = with_size(chosen, None if inputs is None else inputs.size)
    fresh = [f"{weights.name} as it came is not measured, since its classifier is fresh"] if weights.fresh_head else []
    return chosen, [*weights.notes, *sized, *fresh]


def _require_distinct(runs: Sequence[Run]) -> None:
    """Raise InputError if two methods have the same runs."""
    labels: dict[str, str] = {}
    for run in runs:
        if labels.setdefault(run.id, run.choice.label) != run.choice.label:
            raise InputError(
                f"methods: {labels[run.id]!r} and {run.choice.label!r} are one and the same; leave one out"
            )


def _require_trained(runs: Sequence[Run]) -> None:
    """Raise InputError if a method that compresses trained networks would get initial weights."""
    for run in runs:
        if run.choice.method.needs_trained and not run.compresses_trained:
            raise InputError(
                f"{run.choice.label} compresses a trained network, and here it would get initial weights: give "
                "compress_at above 0 (of whole epochs), or --weights"
            )


def _weights(spec: Spec, model: ModelChoice, files: Sequence[str], known: Known | None) -> Weights | None:
    """The finished weights that are asked for. Raises InputError."""
    if known is not None:
        return known.weights_for(model)
    if spec.weights is not None:
        return find_weights(spec.weights, model, files, spec.fresh_head)
    if spec.fresh_head:
        raise InputError("--fresh-head is about the classifier of finished weights: give --weights, or leave it out")
    return None


def _located(corruptions: str | None) -> str | None:
    """The corruptions that were asked for; a folder as an absolute path."""
    is_folder = corruptions not in (None, defaults.COMPUTED)
    return str(Path(corruptions).expanduser().resolve()) if corruptions and is_folder else corruptions


def _standard(
    asked: str | None, weights: Weights | None, model: ModelChoice, notes: list[str]
) -> tuple[Standard | None, bool]:
    """How images are standardised, and whether that is the default. By default the weights decide, or the network;
    fresh networks take the dataset's own mean and deviation. Raises InputError if finished weights would get these
    though nobody said so."""
    inputs = None if weights is None else weights.inputs or model.model.inputs
    is_known = weights is None or inputs is not None
    usual = None if inputs is None else Standard.of(inputs)
    if asked is not None:
        chosen = standards.parse(asked)
        return chosen, is_known and standards.text_of(chosen) == standards.text_of(usual)
    if weights is not None and usual is None:
        raise InputError(
            f"how were the images standardised that {weights.name} was trained on? Neither it nor {model.text} says "
            f"it: give --normalise, which is {standards.CHOICES}"
        )
    if weights is not None and usual is not None:
        source = model.text if weights.inputs is None else weights.name
        notes.append(f"images are standardised by {usual.text}, as {source} says (--normalise takes another)")
    return usual, True


Size = tuple[int | None, int | None]  # height and width; None where any will do


def with_size(chosen: DatasetChoice, size: Size | None) -> tuple[DatasetChoice, list[str]]:
    """The dataset with its images brought to the size that a finished network takes, where it has an option for that
    which was not given; and a line that says so."""
    height, width = size or (None, None)
    given = {field.name: getattr(chosen.dataset, field.name) for field in fields(chosen.dataset)}
    if height is None or height != width or given.get("size", 0) is not None:
        return chosen, []
    line = f"{chosen.label}: images are brought to {height}x{height}, as the network takes them (:size= takes another)"
    return replace(chosen, dataset=replace(chosen.dataset, **{"size": height})), [line]


def _with_references(spec: Spec, files: Sequence[str]) -> list[MethodChoice]:
    """The methods asked for, behind the network as finished weights give it, and dense. Raises InputError."""
    choices = find_methods(spec.methods, files)
    asked = [choice.text for choice in choices]
    is_there = spec.weights is not None and not spec.fresh_head and not spec.weights.startswith(BACKBONE)
    if GIVEN in asked and not is_there:
        why = "there is none: give --weights"
        if spec.weights is not None:
            why = "its classifier is fresh: leave out --fresh-head" if spec.fresh_head else "its head is fresh"
        raise InputError(f"{GIVEN} measures the network as finished weights give it, and {why}, or leave out {GIVEN}")
    first = [*([GIVEN] if is_there else []), REFERENCE]
    choices += [_method(name, files) for name in first if name not in asked]
    # Dense before others: it keeps the states that these start from.
    return sorted(choices, key=lambda choice: first.index(choice.text) if choice.text in first else len(first))


def find_methods(texts: Sequence[str], files: Sequence[str] = ()) -> list[MethodChoice]:
    """The methods that were written, each with its options; `all` stands for every one that there is, at its defaults,
    but for those that are written out. Raises InputError."""
    if odd := next((text for text in texts if text.partition(":")[0] == ALL != text), None):
        raise InputError(f"can't read {odd!r}: all stands for every method at its defaults; name those with options")
    chosen = [_method(text, files) for text in texts if text != ALL]
    require_unique([choice.text for choice in chosen], "methods")
    if ALL in texts:
        written = {choice.text for choice in chosen}
        # What was given is no method of compressing, and not there without finished weights.
        names = [name for name in discovery.available(discovery.METHODS, files) if name not in {*written, GIVEN}]
        chosen += [_method(name, files) for name in names]
    return chosen


def find_dataset(text: str, files: Sequence[str] = (), identity: str | None = None) -> DatasetChoice:
    """The dataset that `parquet:DIR` or the like asks for; nothing is decoded. Its `identity` is asked of it, unless it
    is known. Raises InputError."""
    written = options.split(text)
    plugin = discovery.find(discovery.DATASETS, written.name, files)
    dataset = plugin.make(written.value, dict(written.options))
    with asking(f"dataset {options.write(written.name, dataset, short=True)}"):
        identity = dataset.identity() if identity is None else identity
        _check_type(identity, str, "identity")
    return DatasetChoice(written.name, dataset, identity, plugin.code(), find_task(dataset.task, files))


def require_pixels(chosen: DatasetChoice, options: str) -> None:
    """Raises InputError if these options, which average predictions of pixels, were given for a dataset whose task
    has none."""
    if not chosen.task.task.of_pixels:
        raise InputError(
            f"{options} average outputs for pixels, and {chosen.label} is for {chosen.task.name}, which says "
            "nothing of pixels; leave them out"
        )


def find_task(name: str, files: Sequence[str] = ()) -> TaskChoice:
    """The task of this name. Raises InputError."""
    plugin = discovery.find(discovery.TASKS, name, files)
    task: Task = plugin.load()()
    if not task.metrics or not any(metric.name == LOSS for metric in task.metrics):
        raise InputError(f"task {name}: its metrics are a headline and others, of which one is called {LOSS!r}")
    return TaskChoice(name, task, plugin.code())


def _check_type(given: object, wanted: type, function: str) -> None:
    if not isinstance(given, wanted):
        raise ValueError(f"its {function}() gives a {type(given).__name__}, and not a {wanted.__name__}")


def prefix_id(setting: Setting, seed: int, epochs: int, made_with: Mapping[str, Any]) -> str:
    """Names the state of the dense network after some epochs. `made_with` has everything else that decides it: the
    images, their normalisation, code, the device."""
    network = {"network": setting.model.code}
    return _hash({"prefix": epochs, "seed": seed, **network, **made_with, **setting.untested.in_ids})


def _runs(
    choices: list[MethodChoice], budgets: list[Budget], setting: Setting, seeds: list[int], factors: Rates
) -> Iterator[Run]:
    for seed in seeds:
        # What was given is the same for every seed.
        for choice in choices if seed == seeds[0] else [choice for choice in choices if choice.text != GIVEN]:
            for budget in (*budgets_of(choice.method, budgets),) or (None,):
                run = Run(choice, budget, setting, seed)
                # Without epochs of its own there is nothing that a rate would change.
                own = factors.of(choice.text, budget) if run.trains_itself else [run.rate]
                yield from (replace(run, rate=factor) for factor in own)


def budgets_of(method: Method, budgets: Sequence[Budget]) -> list[Budget]:
    """The budgets that the method takes part in; none if its options fix its size."""
    takes = {True: method.sized_by_bytes, False: method.sized_by_budget}
    return [budget for budget in budgets if takes[budget.in_bytes]]


def no_part(choice: MethodChoice, budgets: Sequence[Budget]) -> str:
    """Why a method that some budgets size has no part in others, in one line; empty if it has, or if no budget
    sizes it."""
    method, left = choice.method, [budget for budget in budgets if budget not in budgets_of(choice.method, budgets)]
    if not left or method.sized_by_budget == method.sized_by_bytes:
        return ""
    its, theirs = ("values", "bytes") if left[0].in_bytes else ("bytes", "values")
    once = "" if len(left) < len(budgets) else ", and beside them it is of its own size"
    return (
        f"{choice.label}: no part in {', '.join(map(str, left))}, since it doesn't shrink in {theirs}; budgets of "
        f"{its} size it ({Budget(Fraction(1, 4), in_bytes=its == 'bytes')}){once}"
    )


def split_label(text: str) -> tuple[str, str]:
    """The label of a method, "" if it has none, and the text behind the label. Raises InputError."""
    label, equals, rest = text.partition("=")
    # In `csg:code=8` the first = belongs to an option; in `small=csg:code=8` it ends a label.
    if not equals or ":" in label:
        return "", text
    if not re.fullmatch(r"[\w.+-]+", label):
        raise InputError(f"can't call a method {label!r}; use letters, digits and . + - _")
    return label, rest


def _method(text: str, files: Sequence[str]) -> MethodChoice:
    label, rest = split_label(text)
    written = options.split(rest.strip())
    if re.search(r"\+(?!\d)", rest):
        raise InputError(f"can't read {rest.strip()!r}: + is kept for a step that follows a method, and none can yet")
    plugin = discovery.find(discovery.METHODS, written.name, files)
    method = plugin.make(written.value, dict(written.options))
    with asking(f"method {rest!r}"):
        # Which the plan asks later.
        _ = method.sized_by_budget, method.sized_by_bytes, method.needs_trained, method.at_size
        if not 0 <= method.compress_at <= 1:
            raise ValueError(f"compress_at can't be {method.compress_at}; it is a fraction from 0 to 1")
        identity = method.identity()
        json.dumps(identity)  # it goes into ids
    if label in discovery.available(discovery.METHODS, files) and label != plugin.name:
        raise InputError(f"can't call {written.name!r} {label!r}, which is the name of another method")
    label = label or options.write(plugin.name, method, short=True)
    return MethodChoice(label, plugin.name, method, plugin.code(), identity, plugin.is_given)


def _written(choice: MethodChoice) -> str:
    short = options.write(choice.name, choice.method, short=True)
    return choice.text if choice.label in (choice.text, short) else f"{choice.label}={choice.text}"


def _schedule(given: str | dict[str, Any]) -> tuple[str, Schedule]:
    if isinstance(given, str):
        return schedules.find(given)
    table = dict(given)
    name = str(table.pop("name", "custom"))
    schedule = schedules.from_table(name, table)
    if name in schedules.names() and schedule != schedules.find(name)[1]:
        name = f"{name} (changed)"
    return name, schedule


def require_unique(texts: Sequence[str], what: str) -> None:
    """Raise InputError for a text that is there twice."""
    for text, times in Counter(texts).items():
        if times > 1:
            hint = ", or give them names, as a=csg,b=csg:code=8" if what == "method names" else ""
            raise InputError(f"{what}: {text!r} is there twice; leave one out{hint}")


def _above_one(revision: int) -> list[str]:
    return [] if revision == 1 else [f"revision {revision}"]


def _hash(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
