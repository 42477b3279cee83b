"""How much a compressed network may store, and when a method has met that budget."""

import re
from dataclasses import dataclass
from fractions import Fraction

from bench.errors import BudgetError, InputError

# A budget is met when the stored values lie within this fraction of the requested ones.
TOLERANCE = 0.01

# The tolerance for bytes at the end of training. Training can change the bytes: masks may keep other values, say.
TOLERANCE_TRAINED = 0.02

# The suffix of a budget in bytes. A budget without it is in values.
IN_BYTES = "-bytes"

# No network stores fewer values than this: a first convolution and a classifier alone have more. A smaller number is
# probably a ratio without its x.
FEWEST = 100

# The most characters of a budget. Tables can't show longer whole numbers exactly.
_LONGEST = 15

# A solver stops when it has at most this fraction of a budget left: far below the tolerance, and cheap to reach.
ENOUGH = 0.002


@dataclass(frozen=True)
class Budget:
    """A share of the dense network's size, or a number; exactly one of the two is set. In values or in bytes."""

    fraction: Fraction | None = None
    count: int | None = None
    in_bytes: bool = False

    def __str__(self) -> str:
        """One text for each budget, however it was written: `0.25` and `4x` ask for the same, and both give `4x`."""
        return self._number() + (IN_BYTES if self.in_bytes else "")

    def _number(self) -> str:
        if self.fraction is None:
            return str(self.count)
        ratio = 1 / self.fraction
        if ratio.denominator == 1 or _finite(ratio):
            return f"{_decimal(ratio)}x"
        return _decimal(self.fraction)

    def amount(self, dense: int) -> int:
        """How many values (or bytes) this budget asks for, if the dense network stores `dense` of them."""
        if self.count is not None:
            return self.count
        return max(1, round((self.fraction or 0) * dense))

    def requested(self, dense_values: int, dense_bytes: int) -> "Requested":
        """The requested size for a network whose dense form stores `dense_values` values and `dense_bytes` bytes."""
        if self.in_bytes:
            return Requested(bytes=self.amount(dense_bytes))
        return Requested(values=self.amount(dense_values))


@dataclass(frozen=True)
class Requested:
    """The requested size of a compressed network, in values or in bytes, as `bench.measure.packed_size` counts them. If
    both are None, the method's options decide the size."""

    values: int | None = None
    bytes: int | None = None

    def check(self, values: int, bytes_: int, trained: bool = False) -> None:
        """Raise BudgetError, with the reason, unless these values and bytes meet the request. The tolerance for bytes
        is larger for a `trained` network."""
        check(self.values, values)
        check(self.bytes, bytes_, "bytes", TOLERANCE_TRAINED if trained else TOLERANCE)


def parse(text: str) -> Budget:
    """Read a budget: `4x` (a fourth of dense), `0.25` (of dense) or `160450` (values). `4x-bytes` is the same in bytes.
    Raises InputError."""
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
    """Read budgets that are separated by commas. Raises InputError.

    A comma inside a number, as in `160,450`, would silently give two budgets, so it is an error.
    """
    grouped = re.search(r"(?<![\d.])[1-9]\d{0,2}(,\d{3})+(?![\d.x])", text, re.ASCII)
    if grouped:
        number = grouped[0]
        raise InputError(
            f"is {number!r} one budget or several? write {number.replace(',', '')} for that many values, "
            f"{number.replace(',', 'x,')}x for ratios, and {number.replace(',', ', ')!r} for several numbers of values"
        )
    return [parse(part) for part in text.split(",") if part.strip()]


def _finite(number: Fraction) -> bool:
    """Whether the decimal expansion of `number` ends."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _decimal(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.12f}".rstrip("0")


def met(requested: int, stored: int, tolerance: float = TOLERANCE) -> bool:
    """Whether `stored` values (or bytes) are within the tolerance of the `requested` ones."""
    return abs(stored - requested) <= tolerance * requested


def require_no_more(requested: int, dense: int, what: str = "values") -> None:
    """Raise BudgetError for a budget of more values (or bytes) than the dense network stores: no compression can meet
    it."""
    if requested > dense:
        raise BudgetError(
            f"{requested:,} {what} were asked for, but the dense network stores only {dense:,}, so there is nothing to "
            f"compress; give a ratio above 1x, like {'4x' if what == 'values' else f'4x{IN_BYTES}'}, or fewer {what}"
        )


def check(requested: int | None, stored: int, what: str = "values", tolerance: float = TOLERANCE) -> None:
    """Raise BudgetError, with the reason, unless `stored` values (or bytes) meet the `requested` ones. None requests
    nothing."""
    if requested is not None and not met(requested, stored, tolerance):
        raise BudgetError(
            f"stores {stored:,} {what}, but {requested:,} were asked for ({off_by(requested, stored)}; "
            f"{tolerance:.0%} is allowed)"
        )


def off_by(requested: int, stored: int) -> str:
    """The relative difference from the requested number, as text."""
    return f"{stored / requested - 1:+.1%}"
