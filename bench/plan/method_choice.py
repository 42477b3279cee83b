"""Methods as the user writes them, `csg:code=8` or `small=csg:code=8`, and the methods that these texts name."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from bench.budget import Budget
from bench.errors import InputError, asking
from bench.files.description import Step
from bench.method import Compressed, Method
from bench.plan.ids import above_one, hash_of
from bench.plan.unique import require_unique
from bench.plugins import discovery, options

REFERENCE, GIVEN = "dense", "given"
ALL = "all"


@dataclass(frozen=True)
class MethodChoice:
    """A method with its options. Reports call it by its `label`: the name that the user gave it (`label=`), or the text
    of the method. `is_given` says that the user named it by a path. `shown` is its name while a sweep runs, "" for the
    label."""

    label: str
    name: str
    method: Method
    code: str
    identity: str
    is_given: bool = False
    shown: str = ""

    @property
    def text(self) -> str:
        """The method with its options, without a label."""
        return options.write(self.name, self.method)

    @cached_property
    def recorded(self) -> str:
        """The text as records have it. Records are published, so they hold no folder of this machine. If an option is
        the path of a file, they have its name instead, and a hash of its content to tell files of one name apart."""
        short = options.write(self.name, self.method, short=True)
        return short if short == self.text else f"{short}#{hash_of({'identity': self.identity})[:8]}"

    @property
    def written(self) -> str:
        """The method as a spec has it: with its label where the label says more than the text."""
        short = options.write(self.name, self.method, short=True)
        return self.text if self.label in (self.text, short) else f"{self.label}={self.text}"

    @cached_property
    def in_ids(self) -> list[Any]:
        """The part of the ids of runs."""
        identity = filter(None, [self.identity])
        return [self.name, options.changed(self.method), *identity, *above_one(self.method.revision)]

    def step(self, compressed: Compressed) -> Step:
        """The description of the compressed network in a file."""
        code = self.code if self.is_given else ""
        return Step(self.name, options.changed(self.method), compressed.structure(), code)


def find_methods(texts: Sequence[str], files: Sequence[str] = ()) -> list[MethodChoice]:
    """The methods that the texts name, each with its options. `all` stands for every method at its defaults that no
    other text names. Raises InputError."""
    if odd := next((text for text in texts if text.partition(":")[0] == ALL != text), None):
        raise InputError(f"can't read {odd!r}: all stands for every method at its defaults; name those with options")
    chosen = [find_method(text, files) for text in texts if text != ALL]
    require_unique([choice.text for choice in chosen], "methods")
    if ALL in texts:
        written = {choice.text for choice in chosen}
        # `given` compresses nothing, and needs finished weights.
        names = [name for name in discovery.available(discovery.METHODS, files) if name not in {*written, GIVEN}]
        chosen += [find_method(name, files) for name in names]
    return chosen


def find_method(text: str, files: Sequence[str] = ()) -> MethodChoice:
    """The method that the text names, with its options. Raises InputError."""
    label, rest = split_label(text)
    written = options.split(rest.strip())
    if re.search(r"\+(?!\d)", rest):
        raise InputError(
            f"can't read {rest.strip()!r}: + is reserved for steps that follow a method, and there are none yet"
        )
    plugin = discovery.find(discovery.METHODS, written.name, files)
    method = plugin.build(written.value, dict(written.options))
    with asking(f"method {rest!r}"):
        # The plan asks these later. An error in them should be told here, with the method's name.
        _ = method.sized_by_budget, method.sized_by_bytes, method.needs_trained, method.at_size
        if not 0 <= method.compress_at <= 1:
            raise ValueError(f"compress_at can't be {method.compress_at}; it is a fraction from 0 to 1")
        identity = method.identity()
        json.dumps(identity)  # ids take no other values
    if label in discovery.available(discovery.METHODS, files) and label != plugin.name:
        raise InputError(f"can't call {written.name!r} {label!r}, which is the name of another method")
    label = label or options.write(plugin.name, method, short=True)
    return MethodChoice(label, plugin.name, method, plugin.code(), identity, plugin.is_given)


def split_label(text: str) -> tuple[str, str]:
    """The label of a method, "" if it has none, and the text behind the label. Raises InputError."""
    label, rest = options.labelled(text)
    if not label:
        return "", text
    label = label.removesuffix("=")
    discovery.require_name(label, "a method")
    return label, rest


def budgets_of(method: Method, budgets: Sequence[Budget]) -> list[Budget]:
    """The budgets that the method takes part in; none if its options fix its size."""
    takes = {True: method.sized_by_bytes, False: method.sized_by_budget}
    return [budget for budget in budgets if takes[budget.in_bytes]]


def sizes_of(method: Method, budgets: Sequence[Budget]) -> list[Budget | None]:
    """The budgets at which the method is compared. A method that takes part in none has its own size alone: [None]."""
    return [*budgets_of(method, budgets)] or [None]


def no_part(choice: MethodChoice, budgets: Sequence[Budget]) -> str:
    """The line for a method that takes part in budgets of one unit only, where `budgets` has others. Empty if there are
    no others, or if the method takes part in no budget at all."""
    method, left = choice.method, [budget for budget in budgets if budget not in budgets_of(choice.method, budgets)]
    if not left or method.sized_by_budget == method.sized_by_bytes:
        return ""
    its, theirs = ("values", "bytes") if left[0].in_bytes else ("bytes", "values")
    once = "" if len(left) < len(budgets) else "; without one it has its own size"
    example = Budget(Fraction(1, 4), in_bytes=its == "bytes")
    return (
        f"{choice.label}: no part in {', '.join(map(str, left))}, since it doesn't shrink in {theirs}; it takes "
        f"budgets of {its} ({example}){once}"
    )
