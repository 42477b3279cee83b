"""The result of checking a store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Verdict:
    """The result. `wrong` has lines by the name of a run's folder or of a file: one for each difference."""

    runs: int = 0
    sealed: int = 0
    measured: int = 0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    unsealed: list[str] = field(default_factory=list)
    # Folders of reports whose writing was cut short.
    unfinished: list[str] = field(default_factory=list)
    # The folders of runs that are not as they were sealed, or don't give their record's figures.
    damaged: list[Path] = field(default_factory=list)
    # Networks and methods that were measured with other code than theirs, which the person accepted.
    other_code: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[str]:
        """What is wrong, and the conclusion."""
        places: dict[str, list[str]] = {}
        for where, found in self.wrong.items():
            for line in found:
                places.setdefault(line, []).append(where)
        yield from (f"{_first(where)}: {line}" for line, where in places.items())
        if self.unsealed:
            yield f"without a seal, since an earlier bench wrote it: {_first(self.unsealed)}"
        if self.unfinished:
            yield f"cut short while it was written: {_first(self.unfinished)}; `bench report` writes it again"
        if self.other_code:
            yield f"measured with other code than it was made with: {', '.join(sorted(self.other_code))}"
        apart = f" ({self.sealed} sealed, {self.measured} measured again)"
        right = self.runs - sum(where.startswith("runs/") for where in self.wrong)
        yield f"{right} of {self.runs} as recorded{apart if not self.sealed == self.measured == self.runs else ''}"


def _first(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
