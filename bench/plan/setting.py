"""The setting of a sweep: the network, its first weights, the data and the schedule, found for a spec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.data import standard as standards
from bench.data.standard import Standard
from bench.errors import InputError
from bench.files import start_weights
from bench.files.start_weights import Weights
from bench.plan import defaults
from bench.plan.dataset_choice import DatasetChoice, find_dataset, require_pixels, with_size
from bench.plan.ids import above_one, hash_of
from bench.plan.known import Known
from bench.plan.spec import Spec
from bench.plugins import networks, options
from bench.plugins.networks import ModelChoice
from bench.training import loop
from bench.training import schedule as schedules
from bench.training.schedule import Schedule
from bench.training.views import PLAIN


@dataclass(frozen=True)
class Setting:
    """The part that all runs of a sweep share: the network, the weights it starts from, the data, the schedule."""

    model: ModelChoice
    weights: Weights | None
    dataset: DatasetChoice
    schedule_name: str
    schedule: Schedule
    # How images are standardised. None: by the dataset's own mean and deviation.
    standard: Standard | None = None
    # Whether the standard is the one that is taken where the user names none.
    is_usual: bool = True

    @property
    def untaught(self) -> "Setting":
        """The same without a teacher. The teacher itself is trained in this setting."""
        return replace(self, schedule=replace(self.schedule, distillation=0.0))

    @property
    def untested(self) -> "Setting":
        """The same with each test image seen once. Training doesn't depend on the test, so neither do kept states."""
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
                *above_one(self.dataset.dataset.revision),
            ],
            "schedule": options.changed(self.schedule),
            **({} if self.weights is None else {"weights": self.weights.identity}),
            **({} if self.is_usual else {"normalise": standards.text_of(self.standard)}),
            **({"fresh_head": True} if self.weights is not None and self.weights.fresh_head else {}),
            # A revision of the loop changed how augmentation is drawn, and nothing else.
            **({"training": loop.REVISION} if self.schedule.augments and loop.REVISION > 1 else {}),
        }


def prefix_id(setting: Setting, seed: int, epochs: int, made_with: Mapping[str, Any]) -> str:
    """The name of the dense network's state after some epochs. `made_with` has everything else that decides the state:
    the images, their normalisation, code, the device."""
    network = {"network": setting.model.code}
    return hash_of({"prefix": epochs, "seed": seed, **network, **made_with, **setting.untested.in_ids})


def find_setting(spec: Spec, files: Sequence[str], known: Known | None) -> tuple[Setting, list[str]]:
    """The setting that the spec asks for, and lines for the person. `files` are paths of plugins. Files on another
    machine are `known`, and not looked for here. Raises InputError."""
    chosen = find_dataset(spec.dataset, files, None if known is None else known.identity)
    model = networks.find(spec.model or chosen.dataset.network or defaults.MODEL)
    if model.model.task not in ("", chosen.task.name):
        raise InputError(
            f"{model.text} is a network for {model.model.task}, and {chosen.label} a dataset for {chosen.task.name}: "
            "choose another --model or --dataset"
        )
    schedule_name, schedule = _find_schedule(spec.schedule)
    if not schedule.views.is_plain:
        require_pixels(chosen, "test_scales and test_flip")
    weights = _find_weights(spec, model, files, known)
    chosen, notes = _sized_for(weights, model, chosen)
    standard, is_usual, said = _find_standard(spec.normalise, weights, model)
    return Setting(model, weights, chosen, schedule_name, schedule, standard, is_usual), [*notes, *said]


def _find_schedule(given: str | dict[str, Any]) -> tuple[str, Schedule]:
    if isinstance(given, str):
        return schedules.find(given)
    table = dict(given)
    name = str(table.pop("name", "custom"))
    schedule = schedules.from_table(name, table)
    if name in schedules.names() and schedule != schedules.find(name)[1]:
        name = f"{name} (changed)"
    return name, schedule


def _find_weights(spec: Spec, model: ModelChoice, files: Sequence[str], known: Known | None) -> Weights | None:
    """The finished weights that the spec asks for. Raises InputError."""
    if known is not None:
        return known.weights_for(model)
    if spec.weights is not None:
        return start_weights.find(spec.weights, model, files, spec.fresh_head)
    if spec.fresh_head:
        raise InputError("--fresh-head is about the classifier of finished weights: give --weights, or leave it out")
    return None


def _sized_for(weights: Weights | None, model: ModelChoice, chosen: DatasetChoice) -> tuple[DatasetChoice, list[str]]:
    """The dataset with images of the size that the finished weights were trained on, and notes on the weights. Raises
    InputError."""
    if weights is None:
        return chosen, []
    if weights.backbone:  # a backbone takes images of any size
        return chosen, [*weights.notes, f"{weights.name} fills the backbone, and the head is fresh"]
    inputs = weights.inputs or model.model.inputs
    chosen, sized = with_size(chosen, None if inputs is None else inputs.size)
    fresh = [f"{weights.name} as it came is not measured, since its classifier is fresh"] if weights.fresh_head else []
    return chosen, [*weights.notes, *sized, *fresh]


def _find_standard(
    asked: str | None, weights: Weights | None, model: ModelChoice
) -> tuple[Standard | None, bool, list[str]]:
    """How images are standardised, whether that is the usual way, and notes on it. Usual for finished weights is what
    they say, or else what the network says; usual for fresh networks are the dataset's own mean and deviation. Raises
    InputError if nothing says how the images of finished weights were standardised."""
    inputs = None if weights is None else weights.inputs or model.model.inputs
    is_known = weights is None or inputs is not None
    usual = None if inputs is None else Standard.of(inputs)
    if asked is not None:
        chosen = standards.parse(asked)
        return chosen, is_known and standards.text_of(chosen) == standards.text_of(usual), []
    if weights is None:
        return usual, True, []
    if usual is None:
        raise InputError(
            f"how were the images standardised that {weights.name} was trained on? Neither it nor {model.text} says "
            f"it: give --normalise, which is {standards.CHOICES}"
        )
    source = model.text if weights.inputs is None else weights.name
    return usual, True, [f"images are standardised by {usual.text}, as {source} says (--normalise takes another)"]
