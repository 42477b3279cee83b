"""How methods look in figures and on the page: one colour and one marker each, the same everywhere."""

from collections.abc import Iterable
from dataclasses import dataclass

# Okabe and Ito's colours, told apart by the colour-blind; and lighter ones for a dark page.
_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#3A9BD9", "#333333")
_DARK = ("#56A8E0", "#F28C4A", "#2CC79B", "#E6A3C8", "#E6B422", "#9AD4F7", "#D8D8D8")
# Shapes as matplotlib and as plotly call them; lines likewise.
_MARKERS = (
    ("o", "circle"),
    ("s", "square"),
    ("D", "diamond"),
    ("^", "triangle-up"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
)
_LINES = (("-", "solid"), ("--", "dash"), ("-.", "dashdot"), (":", "dot"))


@dataclass(frozen=True)
class Look:
    """Markers and lines as matplotlib calls them, then as plotly does."""

    light: str
    dark: str
    marker: str
    symbol: str
    line: str
    dash: str


REFERENCE_LOOK = Look("#333333", "#E0E0E0", "*", "star", ":", "dot")
# What was given, before any training.
GIVEN_LOOK = Look("#7A7A7A", "#A8A8A8", "p", "pentagon", ":", "dot")


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, by its name's place among all; markers and lines differ too, for print in grey."""
    found = {}
    for index, method in enumerate(sorted(set(methods))):
        round_ = index // len(_LIGHT)
        colour = index % len(_LIGHT)
        # Another marker and another line in each round of the colours.
        marker, symbol = _MARKERS[(colour + round_) % len(_MARKERS)]
        line, dash = _LINES[(colour + round_) % len(_LINES)]
        found[method] = Look(_LIGHT[colour], _DARK[colour], marker, symbol, line, dash)
    return found
