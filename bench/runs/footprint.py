"""`bench footprint`: what methods would store and compute at each budget, without training anything."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import budget, count, models
from bench.budget import Budget
from bench.errors import BudgetError
from bench.files import artifact
from bench.measure.layers import Row, account, values_by_module
from bench.method import Method
from bench.models._build import build_network, compress, family
from bench.plan.plan import REFERENCE, MethodChoice
from bench.plugins import options

# What a row has besides its method and budget; None where the budget can't be met.
FIGURES = (
    "stored_values",
    "compression",
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
    """For which network the footprint is asked. `image_shape` is (channels, height, width)."""

    model: str
    image_shape: tuple[int, int, int]
    num_classes: int
    seed: int = 0

    @property
    def network(self) -> tuple[str, int, int, int]:
        """What `bench.files.artifact` builds it from."""
        return self.model, self.image_shape[0], self.num_classes, self.seed


def footprint(
    choices: Sequence[MethodChoice], budgets: Sequence[Budget], question: Question, layers: bool = False
) -> Iterator[Row]:
    """A row for every method and budget, as `bench run` would meet them: what was asked for, what is stored, and the
    rest of the account, or `reason` why the budget can't be met. The dense reference has one row.

    A method of fixed size has a row for each budget all the same. With `layers`, a row has `layers`: a list of what
    each layer stores, has as deployed, and computes. Weights are the initial ones, also for methods that compress
    trained networks: values don't depend on them, though bytes may, in kmeans for one. Raises InputError.
    """
    models.find(question.model)
    dense_values = count.stored_values(build_network(*question.network))
    for choice in choices:
        for asked in [None] if choice.text == REFERENCE else budgets:
            requested = None if asked is None else asked.values(dense_values)
            row: Row = {
                "method": choice.label,
                "budget": None if asked is None else str(asked),
                "requested_values": requested,
                **dict.fromkeys(FIGURES),
            }
            try:
                row |= _account(choice, requested, dense_values, question, layers)
                row["reason"] = "the reference; no budget is asked of it"
                if requested is not None:
                    budget.check(requested, row["stored_values"])
                    row["reason"] = None
            except BudgetError as error:
                fixed = "" if choice.method.sized_by_budget else "its size is fixed: "
                row["reason"] = f"{fixed}{error}"
            except Exception as error:  # one broken method must not hide the others
                first_line = str(error).partition("\n")[0]
                row |= {"reason": f"{type(error).__name__}: {first_line}", "failed": True}
            yield row


def _account(choice: MethodChoice, requested: int | None, dense_values: int, question: Question, layers: bool) -> Row:
    method: Method = choice.method
    asked = requested if method.sized_by_budget else None
    trained = method.moment > 0 or method.needs_trained
    network, others = build_network(*question.network), family(*question.network)
    started = time.perf_counter()
    compressed = compress(method, network, asked, question.seed, trained, others)
    if method.gradual:
        method.after_step(compressed, 1.0)
    seconds = time.perf_counter() - started
    stored = count.stored_values(compressed)
    model, channels, num_classes, seed = question.network
    description = artifact.Description(
        model=model,
        channels=channels,
        num_classes=num_classes,
        method=choice.name,
        options=options.changed(method),
        budget_values=asked,
        trained=trained,
        seed=seed,
        structure=method.structure(compressed),
    )
    row: Row = {
        "stored_values": stored,
        "compression": dense_values / stored,
        "stored_bytes": len(artifact.pack(compressed, description)),
        "statistics_values": sum(tensor.numel() for tensor in count.statistics(compressed).values()),
        "trained_values": count.trained_values(compressed),
        "compress_seconds": seconds,
    }
    in_training = count.forward_macs(compressed, question.image_shape)
    of_layer = values_by_module(compressed) if layers else {}
    deployed = method.finish(compressed.eval()).eval()
    macs = count.forward_macs(deployed, question.image_shape)
    row |= {
        "materialised_values": count.stored_values(deployed),
        "macs": macs,
        "generation_macs": in_training - macs,
    }
    if layers:
        row["layers"] = account(of_layer, deployed, question.image_shape)
    return row
