"""Names that are too long are cut where they agree."""

from hypothesis import given
from hypothesis import strategies as st

from bench.reports.names import short_names

LONG = ["csg:slice=12x12,generator=binary,half=true", "csg:slice=12x12,generator=binary,half=false"]


def test_what_differs_stays() -> None:
    short = short_names([*LONG, "csg"], 24)
    assert short["csg"] == "csg"
    assert [short[name].rpartition(",")[2] for name in LONG] == ["half=true", "half=false"]
    assert all(short[name].startswith("csg:slic") for name in LONG)


def test_what_differs_early_is_cut_at_its_end() -> None:
    assert short_names(["alpha" * 10, "beta" * 10], 12) == {"alpha" * 10: "alphaalphaa…", "beta" * 10: "betabetabet…"}


@given(st.lists(st.text("ab,=", max_size=40), max_size=30), st.integers(8, 30))
def test_no_two_are_the_same_and_all_fit(names: list[str], length: int) -> None:
    short = short_names(names, length)
    assert set(short) == set(names)
    assert len(set(short.values())) == len(short)
    assert all(len(cut) <= length for cut in short.values())
    assert all(short[name] == name for name in names if len(name) <= length)
