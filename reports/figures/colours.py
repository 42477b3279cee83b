"""How methods look in figures and on the page: one colour and one marker for each, the same everywhere. Also the
colours of classes in masks."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass

# Okabe and Ito's colours, which colour-blind people can tell apart; and lighter ones for a dark page.
_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#3A9BD9", "#333333")
_DARK = ("#56A8E0", "#F28C4A", "#2CC79B", "#E6A3C8", "#E6B422", "#9AD4F7", "#D8D8D8")
# The names of shapes and lines in matplotlib and in plotly. Triangles that point up and down stand for points beyond an
# edge.
_MARKERS = (
    ("o", "circle"),
    ("s", "square"),
    ("D", "diamond"),
    ("<", "triangle-left"),
    (">", "triangle-right"),
    ("P", "cross"),
    ("X", "x"),
)
_LINES = (("-", "solid"), ("--", "dash"), ("-.", "dashdot"), (":", "dot"))


@dataclass(frozen=True)
class Look:
    """Colours, and the names of marker and line in matplotlib, then in plotly."""

    light: str
    dark: str
    marker: str
    symbol: str
    line: str
    dash: str


REFERENCE_LOOK = Look("#333333", "#E0E0E0", "*", "star", ":", "dot")
# The given network, before any training.
GIVEN_LOOK = Look("#7A7A7A", "#A8A8A8", "p", "pentagon", ":", "dot")


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, by the place of its name in the sorted names. Markers and lines differ too, for grey
    prints."""
    found = {}
    for index, method in enumerate(sorted(set(methods))):
        round_ = index // len(_LIGHT)
        colour = index % len(_LIGHT)
        # Each round of the colours has other markers and lines.
        marker, symbol = _MARKERS[(colour + round_) % len(_MARKERS)]
        line, dash = _LINES[(colour + round_) % len(_LINES)]
        found[method] = Look(_LIGHT[colour], _DARK[colour], marker, symbol, line, dash)
    return found


# In many datasets the first class is the background. Then come Okabe and Ito's colours, those that differ most from it
# first.
_CLASSES = ("#22303F", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2")
# The step on the circle of hues from one further class to the next. With this step, hues stay apart for long.
_GOLDEN = 0.618033988749895


def class_colours(classes: int) -> list[str]:
    """A colour for each class, by its number alone, no two the same. Grey is reserved for pixels without a class."""
    further = []
    for number in range(max(0, classes - len(_CLASSES))):
        # Three rounds of lightness and saturation, so that similar hues differ in these.
        value, saturation = ((0.95, 0.55), (0.7, 0.85), (0.45, 0.7))[number % 3]
        parts = colorsys.hsv_to_rgb(number * _GOLDEN % 1, saturation, value)
        further.append("#" + "".join(f"{round(255 * part):02X}" for part in parts))
    return [*_CLASSES, *further][:classes]
