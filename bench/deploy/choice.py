"""Which trial's network is deployed, and whether a network is smaller at inference."""

from collections.abc import Callable, Iterable

from bench.deploy.search import Tried
from bench.metric import Metric
from bench.store.record import Record

# A network with at least this share of the dense network's materialised values counts as no smaller at inference.
_AS_LARGE = 0.95


def best(tried: Iterable[Tried]) -> Tried | None:
    """The finished trial with the best validation score; None if no trial finished. Among equal scores, networks that
    are smaller at inference come first, then those with the lowest loss."""

    def order(one: Tried) -> tuple[float, bool, float]:
        return validation(one.record), is_smaller_where_it_runs(one.record), -float(one.record["validation_loss"])

    return max((one for one in tried if one.finished), key=order, default=None)


def smallest(tried: Iterable[Tried], is_enough: Callable[[Record], bool]) -> Tried | None:
    """The finished trial that stores the fewest values among those that are good enough. Among equal sizes, the better
    score wins."""
    enough = [one for one in tried if one.finished and is_enough(one.record)]
    return min(enough, key=lambda one: (one.record["stored_values"], -validation(one.record)), default=None)


def is_smaller_where_it_runs(record: Record) -> bool:
    return bool(record["materialised_values"] < _AS_LARGE * record["dense_values"])


def validation(record: Record) -> float:
    """The validation score, with its sign set so that more is better."""
    metric = Metric.of(record)
    return float(record[metric.validation]) * (1 if metric.higher else -1)
