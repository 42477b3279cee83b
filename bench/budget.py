"""How much a compressed network may store, and when what a method achieved counts as having met it."""

import re
from dataclasses import dataclass
from fractions import Fraction

from bench.errors import BudgetError, InputError

# A budget is met when the stored values lie within this fraction of what was asked for.
TOLERANCE = 0.01

# Fewer values than this are no network: its first convolution and its classifier alone have more. A smaller number is a
# ratio whose x was forgotten.
FEWEST = 100

# Letters of a budget: whole numbers beyond are not exact in tables.
_LONGEST = 15

# What is left of a budget when nothing more is added to spend it: far less than the tolerance, and cheap to reach.
ENOUGH = 0.002


@dataclass(frozen=True)
class Budget:
    """A share of the dense network's stored values, or a number of values; exactly one of the two is set."""

    fraction: Fraction | None = None
    count: int | None = None

    def __str__(self) -> str:
        """One text for each budget, whatever was written: `0.25` and `4x` ask for the same and both give `4x`."""
        if self.fraction is None:
            return str(self.count)
        ratio = 1 / self.fraction
        if ratio.denominator == 1 or _finite(ratio):
            return f"{_decimal(ratio)}x"
        return _decimal(self.fraction)

    def values(self, dense_values: int) -> int:
        """How many values this asks for, where the dense network stores `dense_values`."""
        if self.count is not None:
            return self.count
        return max(1, round((self.fraction or 0) * dense_values))


def parse(text: str) -> Budget:
    """Read `4x` (a fourth of dense), `0.25` (of dense) or `160450` (values). Raises InputError."""
    text = str(text).strip()
    if len(text) <= _LONGEST and re.fullmatch(r"(\d+(\.\d+)?|\.\d+)x?", text, re.ASCII):
        number = Fraction(text.removesuffix("x"))
        if text.endswith("x") and number >= 1:
            return Budget(fraction=1 / number)
        if not text.endswith("x") and 0 < number < 1:
            return Budget(fraction=number)
        if text.isdecimal() and number >= FEWEST:
            return Budget(count=int(number))
        if text.isdecimal() and number >= 1:
            raise InputError(
                f"budget {text!r} asks for {int(number)} values, and no network stores so few; write {int(number)}x "
                f"for 1/{int(number)} of dense"
            )
    raise InputError(f"{text[:40]!r} is not a budget; write 4x (a fourth of dense), 0.25 (of dense) or 160450 (values)")


def parse_list(text: str) -> list[Budget]:
    """Read budgets written with commas. A comma within a number, as in `160,450`, would silently make two of one, so it
    is asked for. Raises InputError."""
    grouped = re.search(r"(?<![\d.])[1-9]\d{0,2}(,\d{3})+(?![\d.x])", text, re.ASCII)
    if grouped:
        number = grouped[0]
        raise InputError(
            f"is {number!r} one budget or several? write {number.replace(',', '')} for that many values, "
            f"{number.replace(',', 'x,')}x for ratios, and {number.replace(',', ', ')!r} for several numbers of values"
        )
    return [parse(part) for part in text.split(",") if part.strip()]


def _finite(number: Fraction) -> bool:
    """Whether its decimals end."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _decimal(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.12f}".rstrip("0")


def met(requested: int, stored: int) -> bool:
    """Whether `stored` values count as the `requested` ones."""
    return abs(stored - requested) <= TOLERANCE * requested


def require_no_more(requested: int, dense_values: int) -> None:
    """Raise BudgetError for a budget of more values than the dense network stores: no compression meets it."""
    if requested > dense_values:
        raise BudgetError(
            f"{requested:,} values were asked for, and the network itself stores {dense_values:,}: nothing is to be "
            "compressed; give a budget above 1x, as 4x, or fewer values"
        )


def check(requested: int | None, stored: int) -> None:
    """Raise BudgetError, with the reason, unless `stored` values count as the `requested` ones (None: none were)."""
    if requested is not None and not met(requested, stored):
        raise BudgetError(
            f"stores {stored:,} values where {requested:,} were asked for ({stored / requested - 1:+.1%}; "
            f"{TOLERANCE:.0%} is allowed)"
        )
