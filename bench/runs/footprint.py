"""`bench footprint`: what methods would store and compute at each budget, without training anything."""

import copy
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from bench import count
from bench.budget import Budget, Requested
from bench.dataset import Dataset
from bench.errors import BudgetError, contained, typed_line
from bench.files import artifact
from bench.files.description import Description
from bench.measure import in_bytes, packed_size
from bench.measure.account import deploy, stored, to_size
from bench.measure.layers import Row
from bench.measure.resizable import Resizing
from bench.models._build import build_network
from bench.models._usable import require_outputs, require_reloadable
from bench.plan.method_choice import REFERENCE, MethodChoice, find_methods, no_part, sizes_of
from bench.plan.task_choice import find_task
from bench.plan.unique import require_unique
from bench.plugins.networks import ModelChoice

# The columns of a row besides its method and budget. They are None if the budget can't be met.
FIGURES = (
    "stored_values",
    "compression",
    "counted_bytes",
    "stored_bytes",
    "statistics_values",
    "trained_values",
    "materialised_values",
    "macs",
    "generation_macs",
    "compress_seconds",
)


@dataclass(frozen=True)
class Question:
    """The network that methods compress. `image_shape` is (channels, height, width)."""

    model: ModelChoice
    image_shape: tuple[int, int, int]
    num_classes: int
    seed: int = 0

    def network(self) -> nn.Module:
        """A fresh network."""
        return build_network(self.model.model, self.image_shape[0], self.num_classes, self.seed)

    @cached_property
    def resizing(self) -> Resizing:
        """The widths that the network can have. They are traced once."""
        return Resizing(self.model.model, self.image_shape[0], self.num_classes)


def find_compared(texts: Sequence[str], files: Sequence[str]) -> list[MethodChoice]:
    """The dense reference, and then the methods that the texts name. Raises InputError."""
    require_unique(texts, "methods")
    return find_methods([REFERENCE, *(text for text in texts if text != REFERENCE)], files)


def number_of_rows(choices: Sequence[MethodChoice], budgets: Sequence[Budget]) -> int:
    """The number of rows that `footprint` gives."""
    return sum(len(sizes_of(choice.method, budgets)) for choice in choices)


def footprint(
    choices: Sequence[MethodChoice], budgets: Sequence[Budget], question: Question, layers: bool = False
) -> Iterator[Row]:
    """A row for every method and budget, as `bench run` would meet them: the values or bytes that are asked for, those
    that are stored, and the other FIGURES; or the `reason` why the budget can't be met. Dense has one row.

    A method of fixed size has one row. So has a method that takes part in none of these budgets; the row has the
    reason. With `layers`, a row has `layers`: what each layer stores, has as deployed, and computes. All weights are
    initial, also for methods that compress trained networks. Values don't depend on weights; bytes may, as in sparse.
    `compress_seconds` leaves out work that changes no count (`bench.method.Context`). Raises InputError.
    """
    network, task = question.network(), find_task(question.model.model.task or Dataset.task).task
    dense_values, dense_bytes = count.stored_values(network), packed_size.counted_bytes(network)
    # Copied for every row. To draw a hundred million values anew would take twenty times as long.
    fresh = copy.deepcopy(network)
    require_outputs(network, question.image_shape, question.num_classes, task)
    require_reloadable(network, replace(question, seed=question.seed + 1).network(), question.image_shape, task)
    del network
    for choice in choices:
        for asked in sizes_of(choice.method, budgets):
            requested = Requested() if asked is None else asked.requested(dense_values, dense_bytes)
            row: Row = {
                "method": choice.label,
                "budget": None if asked is None else str(asked),
                "requested_values": requested.values,
                "requested_bytes": requested.bytes,
                **dict.fromkeys(FIGURES),
            }
            try:
                with contained():
                    row |= _account(choice, requested, copy.deepcopy(fresh), dense_values, question, layers)
                requested.check(row["stored_values"], row["counted_bytes"])
                row["reason"] = None if asked is not None else _own_size(choice, budgets)
            except BudgetError as error:
                row["reason"] = str(error) if asked is not None else f"its size is fixed: {error}"
            except Exception as error:  # one broken method must not hide the others
                row |= {"reason": typed_line(error), "traceback": traceback.format_exc(), "failed": True}
            yield row


def _own_size(choice: MethodChoice, budgets: Sequence[Budget]) -> str:
    """The reason why a method has a row without a budget."""
    if choice.text == REFERENCE:
        return "the reference; no budget is asked of it"
    return no_part(choice, budgets).removeprefix(f"{choice.label}: ") or "its size is fixed; no budget is asked of it"


def _account(
    choice: MethodChoice, requested: Requested, network: nn.Module, dense_values: int, question: Question, layers: bool
) -> Row:
    method, model, channels = choice.method, question.model.model, question.image_shape[0]
    trained = method.compress_at > 0 or method.needs_trained
    started = time.perf_counter()
    compressed = in_bytes.compress(
        method,
        network,
        requested,
        question.seed,
        trained,
        model.family,
        lambda: question.resizing.of(question.seed),
        account_only=True,
    )
    to_size(method, compressed)
    seconds = time.perf_counter() - started
    has = stored(compressed)
    description = Description(
        artifact.describe_model(question.model, channels, question.num_classes),
        (choice.step(compressed),),
    )
    packed = artifact.pack(compressed, description)
    deployed = deploy(compressed, question.image_shape)
    return {
        "stored_values": has.stored_values,
        "compression": dense_values / has.stored_values,
        "counted_bytes": has.counted_bytes,
        "stored_bytes": len(packed),
        "statistics_values": has.statistics_values,
        "trained_values": has.trained_values,
        "materialised_values": deployed.materialised_values,
        "macs": deployed.macs,
        "generation_macs": deployed.generation_macs,
        "compress_seconds": seconds,
        **({"layers": deployed.layers} if layers else {}),
    }
