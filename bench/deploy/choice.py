"""Which of the networks that were made is deployed, and which of them are not smaller where they run."""

from collections.abc import Callable, Iterable

from bench.deploy.search import Tried
from bench.metric import Metric
from bench.store.record import Record

# A network whose values are at least this share of the given one's where it runs is no smaller there.
_AS_LARGE = 0.95


def best(tried: Iterable[Tried]) -> Tried | None:
    """The finished one with the best validation score; of equal ones one that is smaller where it runs, and of these
    that with the least loss. None if none is."""

    def order(one: Tried) -> tuple[float, bool, float]:
        return validation(one.record), is_smaller_where_it_runs(one.record), -float(one.record["validation_loss"])

    return max((one for one in tried if one.finished), key=order, default=None)


def smallest(tried: Iterable[Tried], is_enough: Callable[[Record], bool]) -> Tried | None:
    """The finished one that stores the fewest values of those that are good enough; of equal ones the better."""
    enough = [one for one in tried if one.finished and is_enough(one.record)]
    return min(enough, key=lambda one: (one.record["stored_values"], -validation(one.record)), default=None)


def is_smaller_where_it_runs(record: Record) -> bool:
    return bool(record["materialised_values"] < _AS_LARGE * record["dense_values"])


def validation(record: Record) -> float:
    """How well it does on the validation split: the more the better."""
    metric = Metric.of(record)
    return float(record[metric.validation]) * (1 if metric.higher else -1)
