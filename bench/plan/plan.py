"""From a spec to the list of runs: every method at every budget for every seed, and the dense reference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.budget import Budget, parse
from bench.data import standard as standards
from bench.errors import InputError
from bench.files.start_weights import BACKBONE
from bench.plan import defaults, rates
from bench.plan.known import Known
from bench.plan.method_choice import (
    GIVEN,
    REFERENCE,
    MethodChoice,
    find_method,
    find_methods,
    no_part,
    sizes_of,
)
from bench.plan.rates import Rates
from bench.plan.run import Run
from bench.plan.setting import Setting, find_setting
from bench.plan.spec import Spec
from bench.plan.unique import NAMES_OF_METHODS, require_unique
from bench.plugins import options


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep in the order in which they are made, and the resolved spec that they come from. `notes` are
    lines for the person: what was found or decided."""

    runs: tuple[Run, ...]
    spec: Spec
    setting: Setting
    notes: tuple[str, ...] = ()

    def kept_epochs(self, seed: int) -> set[int]:
        """The epochs after which the dense run of a seed keeps its state. Other runs start from these states."""
        return {run.compress_epoch for run in self.runs if run.seed == seed and run.compress_epoch > 0}


def from_spec(spec: Spec, known: Known | None = None) -> Plan:
    """The plan of a spec. Finds every name and checks every option; decodes no data. Files on another machine are
    `known`, and not looked for here. Raises InputError."""
    files = [str(Path(file).expanduser().resolve()) for file in spec.plugins]
    choices = _with_references(spec, files)
    require_unique([choice.text for choice in choices], "methods")
    require_unique([choice.label for choice in choices], NAMES_OF_METHODS)
    budgets = [parse(text) for text in spec.budgets]
    require_unique([str(budget) for budget in budgets], "budgets")
    require_unique([str(seed) for seed in spec.seed_list], "seeds")
    factors = rates.from_spec(spec.learning_rates, spec.seed_list)
    if isinstance(factors.written, list):
        require_unique(factors.written, "learning rates")
    setting, notes = find_setting(spec, files, known)
    notes += [line for choice in choices if (line := no_part(choice, budgets))]
    runs = tuple(_runs(choices, budgets, setting, spec.seed_list, factors))
    _require_distinct(runs)
    _require_trained(runs)
    return Plan(runs, _resolved(spec, files, choices, budgets, factors, setting), setting, tuple(notes))


def require_teacher(plan: Plan) -> None:
    """Raise InputError if `--distill` asks for a teacher and the schedule says that it has none."""
    if not plan.setting.schedule.distillation:
        raise InputError("--distill, and the schedule says distillation=0; leave one of them out")


def _with_references(spec: Spec, files: Sequence[str]) -> list[MethodChoice]:
    """The network as finished weights give it, the dense network, and then the methods of the spec. Raises
    InputError."""
    choices = find_methods(spec.methods, files)
    asked = [choice.text for choice in choices]
    is_there = spec.weights is not None and not spec.fresh_head and not spec.weights.startswith(BACKBONE)
    if GIVEN in asked and not is_there:
        why = "there is none: give --weights"
        if spec.weights is not None:
            why = "its classifier is fresh: leave out --fresh-head" if spec.fresh_head else "its head is fresh"
        raise InputError(f"{GIVEN} measures the network as finished weights give it, and {why}, or leave out {GIVEN}")
    first = [*([GIVEN] if is_there else []), REFERENCE]
    choices += [find_method(name, files) for name in first if name not in asked]
    # Dense before others: it keeps the states that these start from.
    return sorted(choices, key=lambda choice: first.index(choice.text) if choice.text in first else len(first))


def _runs(
    choices: list[MethodChoice], budgets: list[Budget], setting: Setting, seeds: list[int], factors: Rates
) -> Iterator[Run]:
    for seed in seeds:
        # The given network is the same for every seed.
        for choice in choices if seed == seeds[0] else [choice for choice in choices if choice.text != GIVEN]:
            for budget in sizes_of(choice.method, budgets):
                run = Run(choice, budget, setting, seed)
                # A rate changes nothing in a run without epochs of its own.
                own = factors.of(choice.recorded, budget) if run.trains_itself else [run.rate]
                yield from (replace(run, rate=factor) for factor in own)


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


def _resolved(
    spec: Spec,
    files: Sequence[str],
    choices: Sequence[MethodChoice],
    budgets: Sequence[Budget],
    factors: Rates,
    setting: Setting,
) -> Spec:
    """The spec with every name, option and path written out, so that it means the same in another folder."""
    schedule = options.everything(setting.schedule)
    return spec.model_copy(
        update={
            "methods": [choice.written for choice in choices],
            "budgets": [str(budget) for budget in budgets],
            "learning_rates": factors.written,
            "model": setting.model.asked,
            "dataset": options.write(setting.dataset.name, setting.dataset.dataset),
            # TOML has no null, so options that are None are left out.
            "schedule": {
                "name": setting.schedule_name,
                **{name: own for name, own in schedule.items() if own is not None},
            },
            "data_dir": str(Path(spec.data_dir).expanduser().resolve()),
            "plugins": files,
            "weights": None if setting.weights is None else setting.weights.text,
            "normalise": None if spec.normalise is None else standards.text_of(setting.standard),
            "corruptions": _located(spec.corruptions),
        }
    )


def _located(corruptions: str | None) -> str | None:
    """The corruptions that the spec asks for; a folder as an absolute path."""
    is_folder = corruptions not in (None, defaults.COMPUTED)
    return str(Path(corruptions).expanduser().resolve()) if corruptions and is_folder else corruptions
