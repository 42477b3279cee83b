"""The learning rates that were tried and chosen, for the pages of results."""

from collections.abc import Sequence
from functools import cached_property

from bench.reports.load import Loaded
from bench.reports.statistics import rates


class Rates:
    """What was tried of learning rates, on seeds that no table has."""

    def __init__(self, loaded: Loaded) -> None:
        self.tried = rates.tried_in(loaded.tried)
        self.runs = len(loaded.tried.drop_duplicates("id"))
        self.seeds = ", ".join(map(str, sorted(loaded.tried["seed"].unique())))
        self.factors = rates.listed(sorted({factor for each in self.tried for factor in each.factors}))

    @cached_property
    def chosen(self) -> list[rates.Tried]:
        """An entry for each method and budget that a run finished of. Dense is the same run for budgets of values and
        of bytes."""
        found = {(each.cell.method_text, each.cell.budget): each for each in self.tried if each.choice.means}
        return [*found.values()]

    @cached_property
    def once(self) -> list[rates.Tried]:
        """The same, but of a budget of bytes whose runs repeat those at a budget of values only the first."""
        found = {}
        for each in self.chosen:
            scores = tuple((factor, *sorted(own.items())) for factor, own in sorted(each.scores.items()))
            found.setdefault((each.cell.method_text, scores), each)
        return [*found.values()]

    def validation(self, method: str, factor: float, budget: str = "") -> float:
        """The mean validation score of a method, by its label, at a factor. Raises ValueError."""
        (own,) = [
            each
            for each in self.tried
            if each.method.removesuffix(f" ({each.cell.method_text})") == method and each.cell.budget == budget
        ]
        return own.mean(factor)

    @property
    def once_at_edges(self) -> int:
        return sum(bool(each.edge) for each in self.once)

    def at(self, edge: str) -> int:
        """How many chosen factors are the "smallest" or the "largest" tried."""
        return sum(each.edge == f"the {edge} tried" for each in self.chosen)

    def is_at_edge(self, method: str, budget: str) -> bool:
        (own,) = [each for each in self.chosen if each.method == method and each.cell.budget == budget]
        return bool(own.edge)

    @property
    def close(self) -> int:
        """How many chosen factors have another within a point of the validation score."""
        tops = [sorted(each.choice.means.values(), reverse=True) for each in self.chosen]
        return sum(len(own) > 1 and own[0] - own[1] <= 1 for own in tops)

    @property
    def cells(self) -> int:
        """How many methods and budgets have a chosen factor."""
        return len(self.chosen)

    @property
    def at_edges(self) -> int:
        """How many of them have the smallest or the largest factor that was tried."""
        return sum(bool(each.edge) for each in self.chosen)

    @property
    def rows(self) -> str:
        """The validation score of each method, budget and factor, that which counts in brackets."""
        found = rates.curves_of(self.tried)
        assert found is not None
        columns = ["method", "budget", *found.factors, "remarks"]
        lines: list[Sequence[str]] = [columns, ["---", "---", *["---:"] * len(found.factors), "---"]]
        # Dense is the same run for budgets of values and of bytes.
        lines += [*dict.fromkeys(map(tuple, found.rows))]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
