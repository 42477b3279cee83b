"""How much a compressed network may store, and when what a method achieved counts as having met it."""

import re
from dataclasses import dataclass
from fractions import Fraction

from bench.errors import BudgetError, InputError

# A budget is met when what is stored lies within this fraction of what was asked for.
TOLERANCE = 0.01

# The same of bytes at the end of training, where they depend on what was trained: where masks keep values, say.
TOLERANCE_TRAINED = 0.02

# Behind a budget of bytes; others are of values.
IN_BYTES = "-bytes"

# Fewer values than this are no network: its first convolution and its classifier alone have more. A smaller number is a
# ratio whose x was forgotten.
FEWEST = 100

# Letters of a budget: whole numbers beyond are not exact in tables.
_LONGEST = 15

# What is left of a budget when nothing more is added to spend it: far less than the tolerance, and cheap to reach.
ENOUGH = 0.002


@dataclass(frozen=True)
class Budget:
    """A share of what the dense network stores, or a number; exactly one of the two is set. Of values, or of bytes."""

    fraction: Fraction | None = None
    count: int | None = None
    in_bytes: bool = False

    def __str__(self) -> str:
        """One text for each budget, whatever was written: `0.25` and `4x` ask for the same and both give `4x`."""
        return self._number() + (IN_BYTES if self.in_bytes else "")

    def _number(self) -> str:
        if self.fraction is None:
            return str(self.count)
        ratio = 1 / self.fraction
        if ratio.denominator == 1 or _finite(ratio):
            return f"{_decimal(ratio)}x"
        return _decimal(self.fraction)

    def amount(self, dense: int) -> int:
        """How many values, or bytes, this asks for, where the dense network stores `dense` of these."""
        if self.count is not None:
            return self.count
        return max(1, round((self.fraction or 0) * dense))

    def requested(self, dense_values: int, dense_bytes: int) -> "Requested":
        """What this asks of a network that stores so much."""
        if self.in_bytes:
            return Requested(bytes=self.amount(dense_bytes))
        return Requested(values=self.amount(dense_values))


@dataclass(frozen=True)
class Requested:
    """What a compressed network shall store: so many values, or so many bytes, as `bench.measure.packed_size` counts
    them. Neither: what the method's options say."""

    values: int | None = None
    bytes: int | None = None

    def check(self, values: int, bytes_: int, trained: bool = False) -> None:
        """Raise BudgetError, with the reason, unless so many values and bytes count as what was asked for. More may be
        off in the bytes of a network that is `trained`."""
        check(self.values, values)
        check(self.bytes, bytes_, "bytes", TOLERANCE_TRAINED if trained else TOLERANCE)


def parse(text: str) -> Budget:
    """Read `4x` (a fourth of dense), `0.25` (of dense) or `160450` (values), or the same of bytes: `4x-bytes`. Raises
    InputError."""
    written = str(text).strip()
    text = written.removesuffix(IN_BYTES)
    in_bytes, what = text != written, "bytes" if text != written else "values"
    if len(text) <= _LONGEST and re.fullmatch(r"(\d+(\.\d+)?|\.\d+)x?", text, re.ASCII):
        number = Fraction(text.removesuffix("x"))
        if text.endswith("x") and number >= 1:
            return Budget(1 / number, in_bytes=in_bytes)
        if not text.endswith("x") and 0 < number < 1:
            return Budget(number, in_bytes=in_bytes)
        if text.isdecimal() and number >= FEWEST:
            return Budget(count=int(number), in_bytes=in_bytes)
        if text.isdecimal() and number >= 1:
            raise InputError(
                f"budget {written!r} asks for {int(number)} {what}, and no network stores so few; write "
                f"{int(number)}x{IN_BYTES if in_bytes else ''} for 1/{int(number)} of dense"
            )
    raise InputError(
        f"{written[:40]!r} is not a budget; write 4x (a fourth of dense), 0.25 (of dense) or 160450 (values), or "
        f"4x{IN_BYTES} for bytes"
    )


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


def met(requested: int, stored: int, tolerance: float = TOLERANCE) -> bool:
    """Whether `stored` values (or bytes) count as the `requested` ones."""
    return abs(stored - requested) <= tolerance * requested


def require_no_more(requested: int, dense: int, what: str = "values") -> None:
    """Raise BudgetError for a budget of more values (or bytes) than the dense network stores: no compression meets
    it."""
    if requested > dense:
        raise BudgetError(
            f"{requested:,} {what} were asked for, and the network itself stores {dense:,}: nothing is to be "
            f"compressed; give a budget above 1x, as {'4x' if what == 'values' else f'4x{IN_BYTES}'}, or fewer {what}"
        )


def check(requested: int | None, stored: int, what: str = "values", tolerance: float = TOLERANCE) -> None:
    """Raise BudgetError, with the reason, unless `stored` values (or bytes) count as the `requested` ones (None: none
    were)."""
    if requested is not None and not met(requested, stored, tolerance):
        raise BudgetError(
            f"stores {stored:,} {what} where {requested:,} were asked for ({off_by(requested, stored)}; "
            f"{tolerance:.0%} is allowed)"
        )


def off_by(requested: int, stored: int) -> str:
    """How far from what was asked for, as text."""
    return f"{stored / requested - 1:+.1%}"
