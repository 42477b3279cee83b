"""How methods look in figures and on the page: one colour and one marker each, the same everywhere. And the colours of
classes in masks."""

import colorsys
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


# The first class is background in many datasets; then Okabe and Ito's again, those that differ most from it first.
_CLASSES = ("#22303F", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2")
# Of the circle of hues, between one further class and the next: no two of them come close for long.
_GOLDEN = 0.618033988749895


def class_colours(classes: int) -> list[str]:
    """A colour for each class, by its number alone, no two the same, and none of them grey, which is left for what has
    no class."""
    further = []
    for number in range(max(0, classes - len(_CLASSES))):
        # Three rounds of lightness and saturation, so that hues that come close differ in these.
        value, saturation = ((0.95, 0.55), (0.7, 0.85), (0.45, 0.7))[number % 3]
        parts = colorsys.hsv_to_rgb(number * _GOLDEN % 1, saturation, value)
        further.append("#" + "".join(f"{round(255 * part):02X}" for part in parts))
    return [*_CLASSES, *further][:classes]
