"""The learning rates of a sweep: factors of the schedule's own rate, written `0.5x`.

Either all methods and budgets are tried at the same factors. Or each has one factor, which another sweep chose on other
seeds."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from bench.budget import Budget
from bench.errors import InputError
from bench.store.rates import chosen_of, factor_text
from bench.store.record import Record
from bench.store.store import Store

# Factors outside of this range train nothing. Within it a factor needs few digits.
_LEAST, _MOST = 0.0001, 10_000
_LONGEST = 12  # letters


def parse(text: str) -> float:
    """Read `0.5x`. Raises InputError."""
    text = text.strip()
    if len(text) <= _LONGEST and re.fullmatch(r"(\d+(\.\d+)?|\.\d+)x", text, re.ASCII):
        factor = float(text.removesuffix("x"))
        if _LEAST <= factor <= _MOST:
            return factor
    hint = f"{text}x" if re.fullmatch(r"(\d{1,5}(\.\d{1,4})?|\.\d{1,4})", text, re.ASCII) and float(text) else "0.5x"
    raise InputError(
        f"{text[:40]!r} is no factor of the learning rate; write {hint}, from {_LEAST}x to {_MOST}x, for so many times "
        "the schedule's, or name the store of a sweep that tried several"
    )


class ChosenRates(BaseModel):
    """Factors that were chosen in another sweep, by validation (`bench.store.rates`): as a table of a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The factor by the method's text with its options, and then by budget.
    chosen: dict[str, dict[str, str]]
    # The factors that were tried, the seeds, and the network, data and schedule.
    tried: list[str]
    seeds: list[int]
    setting: str

    def columns(self) -> dict[str, str]:
        """The columns of records."""
        seeds = ", ".join(map(str, self.seeds))
        return {
            "rates_before": ", ".join(self.tried),
            "rates_before_on": f"seed{'s' if len(self.seeds) > 1 else ''} {seeds} of {self.setting}",
        }


class Rates(Protocol):
    """The factors at which a method is tried at a budget."""

    def of(self, method_text: str, budget: Budget | None) -> Sequence[float]: ...

    @property
    def written(self) -> list[str] | ChosenRates:
        """As a resolved spec has it."""
        ...


class TheSame:
    """The same factors for all."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.factors = [parse(text) for text in texts]

    def of(self, method_text: str, budget: Budget | None) -> Sequence[float]:
        return self.factors

    @property
    def written(self) -> list[str]:
        return [factor_text(factor) for factor in self.factors]


class Chosen:
    """One factor for each method and budget, which another sweep chose."""

    def __init__(self, written: ChosenRates) -> None:
        self.written = written
        self._factors = {
            (method, budget): parse(text) for method, own in written.chosen.items() for budget, text in own.items()
        }

    def of(self, method_text: str, budget: Budget | None) -> Sequence[float]:
        found = self._factors.get((method_text, _key(budget)))
        if found is None:
            at = "" if budget is None else f" at {budget}"
            raise InputError(
                f"no learning rate was chosen for {method_text}{at}; have that tried too where the others were, or "
                "leave it out"
            )
        return [found]


def from_option(text: str) -> list[str] | str:
    """The factors that an option lists with commas, or the path of the store that it names."""
    if Path(text).expanduser().is_dir():
        return str(Path(text).expanduser())
    return [part.strip() for part in text.split(",") if part.strip()]


def from_spec(asked: list[str] | str | ChosenRates, seeds: Sequence[int]) -> Rates:
    """The rates that a spec asks for: a list of factors, the store of another sweep, or the factors that were chosen in
    one. The other sweep must have none of these `seeds`. Raises InputError."""
    if isinstance(asked, list):
        return TheSame(asked)
    chosen = chosen_in(Path(asked)) if isinstance(asked, str) else asked
    if both := sorted({*chosen.seeds} & {*seeds}):
        raise InputError(
            f"seed {', '.join(map(str, both))} chose learning rates, and is to be compared at them too: give other "
            f"seeds, as seeds = [{max(chosen.seeds) + 1}] in a spec"
        )
    return Chosen(chosen)


def chosen_in(folder: Path) -> ChosenRates:
    """The factor of each method and budget that reports of this store take. Raises InputError if the store has several
    settings."""
    if not folder.is_dir():
        raise InputError(f'no learning rates in {folder}: it is no folder of a store; factors are a list, as ["2x"]')
    records, damaged = Store(folder).records()
    if damaged:
        raise InputError(f"learning rates of {folder}: {damaged[0]}")
    settings = {_setting(record) for record in records}
    if len(settings) != 1:
        raise InputError(f"learning rates of {folder}: it has {len(settings)} settings, and must have one")
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        cells.setdefault((record["method_text"], record["budget"] or _OWN_SIZE), []).append(record)
    chosen: dict[str, dict[str, str]] = {}
    for (method, budget), own in cells.items():
        chosen.setdefault(method, {})[budget] = factor_text(chosen_of(own))
    return ChosenRates(
        chosen=chosen,
        tried=[factor_text(factor) for factor in sorted({record["learning_rate_factor"] for record in records})],
        seeds=sorted({record["seed"] for record in records}),
        setting=settings.pop(),
    )


# In place of a budget: for dense, and for methods of fixed size.
_OWN_SIZE = "own size"


def _key(budget: Budget | None) -> str:
    return _OWN_SIZE if budget is None else str(budget)


def _setting(record: Record) -> str:
    return f"{record['model']}, {record['dataset']}, {record['schedule']}"
