"""Budgets: reading, one text for each, what they ask for, when they are met."""

import pytest

from bench.budget import Requested, check, met, parse
from bench.errors import BudgetError, InputError


@pytest.mark.parametrize(
    ("text", "dense", "values"),
    [("4x", 1000, 250), ("0.25", 1000, 250), ("160450", 1, 160450), ("2.5x", 1000, 400), (".3", 10, 3), ("1x", 7, 7)],
)
def test_what_a_budget_asks_for(text: str, dense: int, values: int) -> None:
    assert parse(text).amount(dense) == values


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("4x", "4x"),
        ("0.25", "4x"),
        ("4.0x", "4x"),
        ("0.3", "0.3"),
        ("3x", "3x"),
        ("1.5x", "1.5x"),
        ("0100", "100"),
        ("0.00003", "0.00003"),
        ("4x-bytes", "4x-bytes"),
        ("0.25-bytes", "4x-bytes"),
        ("160450-bytes", "160450-bytes"),
    ],
)
def test_one_text_for_each_budget(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert str(parse(canonical)) == canonical


@pytest.mark.parametrize(
    "text", ["", "x", "4y", "-2x", "0", "0x", "0.5x", "1.5", "1e3", "inf", "nan", "4 x", "0.0", "4x-byte", "bytes"]
)
def test_what_is_not_a_budget(text: str) -> None:
    with pytest.raises(InputError, match="is not a budget; write 4x"):
        parse(text)


def test_a_budget_of_bytes_asks_for_these_alone() -> None:
    assert parse("4x").requested(1000, 9000) == Requested(values=250)
    assert parse("4x-bytes").requested(1000, 9000) == Requested(bytes=2250)
    asked = Requested(bytes=1000)
    asked.check(1, 1010)
    asked.check(1, 1020, trained=True)
    with pytest.raises(BudgetError, match=r"stores 1,011 bytes, but 1,000 were asked for \(\+1.1%; 1% is allowed\)"):
        asked.check(1, 1011)
    with pytest.raises(BudgetError, match=r"stores 1,021 bytes, but .*2% is allowed"):
        asked.check(1, 1021, trained=True)
    with pytest.raises(BudgetError, match="1% is allowed"):
        Requested(values=1000).check(1011, 1, trained=True)
    with pytest.raises(InputError, match=r"budget '8-bytes' asks for 8 bytes, .*; write 8x-bytes for 1/8 of dense"):
        parse("8-bytes")


def test_met_within_one_percent_either_way() -> None:
    assert met(1000, 990)
    assert met(1000, 1010)
    assert not met(1000, 989)
    assert not met(1000, 1011)


def test_a_budget_that_is_not_met_says_by_how_much() -> None:
    check(None, 5)
    check(1000, 1010)
    with pytest.raises(BudgetError, match=r"stores 1,020 values, but 1,000 were asked for \(\+2.0%; 1% is allowed\)"):
        check(1000, 1020)
