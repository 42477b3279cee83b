"""Draws the picture of each method: what is stored, and how kernels are made of it.

    python docs/methods/pictures/draw.py [FOLDER]

writes an SVG for each function of `PICTURES` into FOLDER (by default the one that this file is in), all in one style:
blue is stored, dashed follows from a seed and is not stored, grey is computed, and crossed out is gone.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

# Tints of one blue: different stored values. A kernel shows by its tints what it is made of.
TINTS = ["#08519c", "#3182bd", "#6baed6", "#9ecae1", "#c6dbef", "#deebf7"]
COMPUTED, EDGE, INK = "#d9d9d9", "#ffffff", "#333333"

Grid = Sequence[Sequence[str]]  # the colours of cells, row by row; "" is a cell that is gone


class Canvas:
    """One picture, in units of a cell's side; y grows downwards."""

    def __init__(self, width: float, height: float) -> None:
        self.figure, self.axes = plt.subplots(figsize=(width * 0.36, height * 0.36))
        self.axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        self.axes.axis("off")
        self.figure.subplots_adjust(0, 0, 1, 1)

    def box(self, x: float, y: float, width: float, height: float, color: str, *, dashed: bool = False) -> None:
        line = {"edgecolor": INK, "linestyle": "--", "linewidth": 0.9} if dashed else {"edgecolor": EDGE}
        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, **line))

    def grid(self, x: float, y: float, colors: Grid, *, cell: float = 1, dashed: bool = False) -> None:
        """Cells from the corner at the top left."""
        for row, line in enumerate(colors):
            for column, color in enumerate(line):
                left, top = x + column * cell, y + row * cell
                if color:
                    self.box(left, top, cell, cell, color, dashed=dashed)
                else:
                    self.axes.add_patch(Rectangle((left, top), cell, cell, facecolor="white", edgecolor="#bbbbbb"))
                    self.axes.plot([left, left + cell], [top + cell, top], color="#bbbbbb", linewidth=0.8)

    def text(self, x: float, y: float, text: str, *, size: float = 9, color: str = INK, align: str = "center") -> None:
        self.axes.text(x, y, text, ha=align, va="center", fontsize=size, color=color)

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, linewidth=1.1))


def grey(level: float) -> str:
    """A computed value, 0 to 1."""
    return mpl.colors.to_hex([0.93 - 0.5 * level] * 3)


def csg() -> Canvas:
    canvas = Canvas(25, 10)
    canvas.text(3.5, 0.8, "generator: K slices")
    for number in range(3):
        canvas.grid(0.5 + 2.2 * number, 1.6, [[TINTS[number * 2]] * 2] * 2)
    canvas.text(3.5, 5.2, "a code of K values for each slice")
    weights = [(3, 1, 1), (1, 3, 1), (1, 1, 3), (2, 2, 1), (1, 2, 2), (2, 1, 2)]
    for place in range(6):
        canvas.grid(0.5 + 3.4 * (place % 2), 5.9 + 1.2 * (place // 2), [[TINTS[3]] * 3])
    canvas.arrow((8, 4.8), (11, 4.8))
    canvas.text(9.5, 4, "each slice a", size=8)
    canvas.text(9.5, 5.6, "combination", size=8)
    canvas.text(17, 0.8, "the kernels of all layers, slice by slice")
    levels = [(first + second / 2) / (first + second + third) for first, second, third in weights]
    for place, level in enumerate([*levels, *(levels[number] for number in (2, 0, 4, 1, 3, 5))]):
        column, row = place % 4, place // 4
        canvas.grid(11.8 + 2.2 * column, 1.6 + 2.2 * row, [[grey(level)] * 2] * 2)
    canvas.text(22.3, 4.9, "cropped where\na layer has\nfewer channels", size=8)
    return canvas


def basis() -> Canvas:
    canvas = Canvas(23, 9)
    canvas.text(2.6, 0.8, "K basis filters")
    for number in range(3):
        canvas.grid(0.7 + 1.4 * number, 1.6, [[TINTS[number * 2]]] * 3)
    canvas.text(8.6, 0.8, "K coefficients for each part")
    for row in range(5):
        for part in range(2):
            canvas.grid(6.2 + 2.6 * part, 1.6 + 1.3 * row, [[TINTS[3]] * 3], cell=0.75)
    canvas.arrow((11.6, 4.5), (14, 4.5))
    canvas.text(18, 0.8, "filters, each of s = 2 parts")
    random = np.random.default_rng(3)
    for row in range(5):
        for part in range(2):
            canvas.grid(14.5 + 3.4 * part, 1.6 + 1.3 * row, [[grey(random.random())] * 3])
    return canvas


def crelu() -> Canvas:
    canvas = Canvas(23, 8.6)
    canvas.text(2.6, 0.8, "half of the filters")
    for row in range(3):
        canvas.grid(0.6, 2.2 + 1.4 * row, [[TINTS[row]] * 4])
    canvas.arrow((5.2, 4), (7.4, 4))
    canvas.text(9.5, 0.8, "outputs y and −y")
    for row in range(3):
        canvas.box(8, 1.5 + 1.1 * row, 3, 0.9, grey(0.2 + 0.3 * row))
        canvas.text(9.5, 1.95 + 1.1 * row, "+", size=10)
        canvas.box(8, 4.9 + 1.1 * row, 3, 0.9, grey(0.2 + 0.3 * row))
        canvas.text(9.5, 5.35 + 1.1 * row, "−", size=10)
    canvas.arrow((11.6, 4.6), (13.8, 4.6))
    canvas.text(18, 0.8, "batch norm and rectifier, as before")
    for place in range(6):
        canvas.box(14.4, (1.5 if place < 3 else 1.6) + 1.1 * place, 7, 0.9, COMPUTED)
    return canvas


def gcnn() -> Canvas:
    canvas = Canvas(23, 9.2)
    pattern = np.array([[0, 1, 5], [2, 3, 5], [0, 5, 5]])

    def colors(numbers: np.ndarray) -> list[list[str]]:
        return [[TINTS[number] for number in line] for line in numbers]

    canvas.text(2.2, 2, "one stored filter")
    canvas.grid(0.7, 3, colors(pattern))
    canvas.arrow((4.4, 4.5), (7, 4.5))
    canvas.text(14.5, 0.6, "serves turned four ways (p4)")
    canvas.text(14.5, 8.7, "and mirrored too (p4m)")
    for turns in range(4):
        canvas.grid(7.8 + 3.5 * turns, 1.2, colors(np.rot90(pattern, turns)))
        canvas.grid(7.8 + 3.5 * turns, 5.1, colors(np.rot90(np.fliplr(pattern), turns)))
    return canvas


def hashing() -> Canvas:
    canvas = Canvas(22, 8.4)
    random = np.random.default_rng(1)
    canvas.text(3.5, 1.6, "buckets")
    canvas.grid(0.5, 2.3, [TINTS])
    canvas.arrow((7, 2.9), (11.4, 4.2))
    canvas.text(3.5, 5.2, "hash of a weight's place:\nwhich bucket, which sign", size=8.5)
    canvas.box(0.6, 4.2, 5.8, 2, "none", dashed=True)
    canvas.arrow((6.8, 5.2), (11.4, 4.8))
    canvas.text(15.5, 0.8, "kernel")
    chosen = random.integers(6, size=(6, 8))
    signs = random.integers(2, size=(6, 8))
    canvas.grid(11.8, 1.5, [[TINTS[number] for number in line] for line in chosen])
    for row in range(6):
        for column in range(8):
            ink = "white" if chosen[row, column] < 2 else INK
            canvas.text(12.3 + column, 2 + row, "+−"[signs[row, column]], size=8, color=ink)
    return canvas


def hyper() -> Canvas:
    canvas = Canvas(27, 8.6)
    canvas.text(2, 0.8, "embedding z")
    canvas.text(2, 7.9, "one for each block", size=8)
    for row in range(4):
        canvas.grid(0.6, 1.6 + 1.4 * row, [[TINTS[row]] * 3])
    canvas.arrow((4.2, 4.2), (6, 4.2))
    canvas.text(8.2, 0.8, "Wᵢ, Bᵢ: first layer")
    canvas.grid(6.6, 2.2, [[TINTS[1]] * 3] * 4)
    canvas.text(8.2, 7.9, "one for each input channel", size=8)
    canvas.arrow((10.2, 4.2), (12.1, 4.2))
    canvas.text(11.2, 3.4, "aᵢ", size=9)
    canvas.text(14.4, 0.8, "W out, B out")
    canvas.grid(12.6, 2.7, [[TINTS[2]] * 4] * 3)
    canvas.text(14.6, 7.9, "shared by all", size=8)
    canvas.arrow((17.1, 4.2), (19, 4.2))
    canvas.text(22.5, 0.8, "kernels, block by block")
    random = np.random.default_rng(5)
    for place in range(9):
        canvas.grid(19.4 + 2.2 * (place % 3), 1.6 + 2.2 * (place // 3), [[grey(random.random())] * 2] * 2)
    return canvas


def kmeans() -> Canvas:
    canvas = Canvas(22, 8.4)
    random = np.random.default_rng(2)
    chosen = random.integers(4, size=(5, 6))
    canvas.text(2.6, 0.8, "centres of a layer")
    for number in range(4):
        canvas.grid(0.8 + 1.1 * number, 1.5, [[TINTS[number + (number > 1)]]])
        canvas.text(1.3 + 1.1 * number, 3, str(number), size=8)
    canvas.text(3.6, 4.1, "each weight's centre, 2 bits", size=8.5)
    canvas.grid(0.8, 4.7, [["#eff6fc"] * 6] * 5, cell=0.68)
    for row in range(5):
        for column in range(6):
            canvas.text(1.14 + 0.68 * column, 5.04 + 0.68 * row, str(chosen[row, column]), size=7)
    canvas.arrow((8, 4.4), (12, 4.4))
    canvas.text(10, 3.7, "looked up", size=8)
    canvas.text(16, 0.8, "kernel")
    canvas.grid(13, 1.8, [[TINTS[number + (number > 1)] for number in line] for line in chosen])
    return canvas


def lego() -> Canvas:
    canvas = Canvas(24, 8.6)
    canvas.text(2.6, 0.8, "m lego filters")
    for number in range(3):
        canvas.grid(1.2, 1.8 + 1.5 * number, [[TINTS[2 * number]] * 3])
        canvas.text(0.6, 2.3 + 1.5 * number, str(number), size=8)
    canvas.text(9.2, 0.8, "for each fragment:\nwhich one, times what", size=8.5)
    chosen = [(0, 2), (1, 0), (2, 2), (0, 1), (2, 1)]
    values = ["0.7", "−1.2", "0.4", "1.1", "−0.3", "0.9", "1.3", "−0.8", "0.5", "0.6"]
    for row, pair in enumerate(chosen):
        for part, number in enumerate(pair):
            canvas.box(6.6 + 2.7 * part, 2 + 1.2 * row, 2.5, 1, TINTS[4])
            canvas.text(7.85 + 2.7 * part, 2.5 + 1.2 * row, f"{number} · {values[2 * row + part]}", size=8)
    canvas.arrow((12.3, 4.9), (15, 4.9))
    canvas.text(19, 0.8, "filters of split = 2 fragments")
    for row, pair in enumerate(chosen):
        for part, number in enumerate(pair):
            canvas.grid(15.6 + 3.3 * part, 2 + 1.2 * row, [[TINTS[2 * number]] * 3])
    return canvas


def lowrank() -> Canvas:
    canvas = Canvas(25, 9)
    canvas.text(3, 0.8, "kernel: in × out × h × w")
    canvas.grid(0.6, 2, [[COMPUTED] * 5] * 5)
    canvas.text(3.1, 7.7, "not stored", size=8)
    canvas.text(7.4, 4.4, "≈", size=18)
    canvas.text(16.6, 0.8, "three smaller convolutions (Tucker-2)")
    for x, width, height, tint, what, size in (
        (9, 2, 5, 0, "1×1", "in p"),
        (14.2, 2.6, 2, 2, "h×w", "p q h w"),
        (20.2, 2.6, 5, 1, "1×1", "q out"),
    ):
        canvas.box(x, 4.5 - height / 2, width, height, TINTS[tint])
        canvas.text(x + width / 2, 4.5, what, color="white")
        canvas.text(x + width / 2, 7.7, size, size=8.5)
    canvas.arrow((11.3, 4.5), (13.9, 4.5))
    canvas.text(12.6, 3.8, "p channels", size=8)
    canvas.arrow((17.1, 4.5), (19.9, 4.5))
    canvas.text(18.5, 3.8, "q channels", size=8)
    return canvas


def pruning() -> Canvas:
    canvas = Canvas(25, 9)
    gone = (1, 3, 4)
    first = [["" if row in gone else TINTS[1]] * 4 for row in range(6)]
    second = [["" if column in gone else TINTS[2] for column in range(6)] for _ in range(4)]
    canvas.text(3, 0.8, "filters that matter least…")
    canvas.grid(0.8, 1.6, first)
    canvas.text(9.8, 0.8, "…and what reads them")
    canvas.grid(6.4, 2.6, second)
    canvas.arrow((13, 4.6), (15.2, 4.6))
    canvas.text(19.5, 0.8, "a smaller dense network")
    canvas.grid(15.8, 3, [[TINTS[1]] * 4] * 3)
    canvas.grid(20.8, 2.6, [[TINTS[2]] * 3] * 4)
    canvas.text(2.8, 8.3, "layer 1", size=8)
    canvas.text(9.4, 8.3, "layer 2", size=8)
    canvas.text(17.8, 8.3, "layer 1", size=8)
    canvas.text(22.3, 8.3, "layer 2", size=8)
    return canvas


def separable() -> Canvas:
    canvas = Canvas(24, 8.6)
    canvas.text(3, 0.8, "a k×k filter for each channel")
    for number in range(4):
        canvas.grid(1 + 1.2 * number, 1.7 + 1.05 * number, [[TINTS[number]] * 3] * 3, cell=0.8)
    canvas.text(3.6, 8, "in kh kw", size=8.5)
    canvas.arrow((8, 4.4), (10.2, 4.4))
    canvas.text(13, 0.8, "1×1 across channels")
    canvas.grid(10.8, 2, [[TINTS[(row + column) % 4] for column in range(4)] for row in range(5)])
    canvas.text(12.8, 8, "in out", size=8.5)
    canvas.text(16.6, 4.4, "replaces", size=8.5)
    canvas.text(20.8, 0.8, "in × out × kh × kw")
    canvas.grid(18.4, 2, [[COMPUTED] * 5] * 5)
    canvas.text(20.9, 8, "not stored", size=8)
    return canvas


def sharing() -> Canvas:
    canvas = Canvas(24, 8.8)
    canvas.text(3, 0.8, "bank of K templates")
    for number in range(2):
        canvas.grid(0.6 + 3.1 * number, 2.6, [[TINTS[2 * number]] * 3] * 3, cell=0.9)
    canvas.text(10.6, 0.8, "K coefficients a layer")
    weights = [(3, 1), (1, 3), (2, 2), (2, 1)]
    for row in range(4):
        canvas.grid(9.6, 1.6 + 1.7 * row, [[TINTS[3]] * 2])
    canvas.text(8.2, 4.4, "×", size=13)
    canvas.arrow((12.4, 4.6), (14.6, 4.6))
    canvas.text(19.2, 0.8, "kernels of layers of one shape")
    for place, (first, second) in enumerate(weights):
        level = first / (first + second)
        left, top = 15.4 + 4 * (place % 2), 1.5 + 3.6 * (place // 2)
        canvas.grid(left, top, [[grey(level)] * 3] * 3, cell=0.9)
        canvas.text(left + 1.35, top + 3.1, f"layer {place + 1}", size=8)
    return canvas


def sparse() -> Canvas:
    canvas = Canvas(23, 8.4)
    random = np.random.default_rng(4)
    kept = random.random((6, 7)) < 0.25
    shade = random.integers(4, size=(6, 7))
    canvas.text(3, 1.4, "the weights that are kept")
    values = [TINTS[number] for number in shade[kept]]
    canvas.grid(0.5, 2, [values[:6], values[6:]])
    canvas.text(3, 5.2, "and where they are: bytes,\nand no values", size=8.5)
    canvas.grid(0.8, 6, [["#eff6fc"] * 12] * 1, cell=0.5)
    for place, bit in enumerate(kept.flatten()[:12]):
        canvas.text(1.05 + 0.5 * place, 6.25, str(int(bit)), size=7)
    canvas.text(7.2, 6.25, "…", size=9)
    canvas.arrow((8.2, 4.2), (11.6, 4.2))
    canvas.text(16, 0.8, "kernel: all others are zero")
    colors = [
        [TINTS[shade[row, column]] if kept[row, column] else "#f5f5f5" for column in range(7)] for row in range(6)
    ]
    canvas.grid(12.4, 1.5, colors)
    return canvas


def width() -> Canvas:
    canvas = Canvas(24, 8)
    canvas.text(4.6, 0.8, "dense")
    canvas.text(18, 0.8, "width: all channels times s")
    for x, height, small in ((0.8, 2, 1), (3.2, 3, 1.5), (5.6, 5, 2.5), (8, 6, 3)):
        canvas.box(x, 4.6 - height / 2, 1.6, height, COMPUTED)
        canvas.box(x + 13.4, 4.6 - small / 2, 1.6, small, TINTS[1])
    canvas.arrow((10.4, 4.6), (13.4, 4.6))
    canvas.text(11.9, 3.8, "from scratch", size=8)
    return canvas


def reference() -> Canvas:
    canvas = Canvas(17, 7.4)
    canvas.text(3, 0.8, "dense: every weight is stored")
    random = np.random.default_rng(6)
    canvas.grid(0.8, 1.6, [[TINTS[number] for number in line] for line in random.integers(5, size=(5, 5))])
    canvas.arrow((6.6, 4.1), (9.4, 4.1))
    canvas.text(12.8, 0.8, "kernel")
    random = np.random.default_rng(6)
    canvas.grid(10.2, 1.6, [[TINTS[number] for number in line] for line in random.integers(5, size=(5, 5))])
    return canvas


PICTURES = (
    *(basis, crelu, csg, gcnn, hashing, hyper, kmeans, lego, lowrank),
    *(pruning, reference, separable, sharing, sparse, width),
)


def main(folder: Path) -> None:
    # Text stays text, and the same picture is the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif"})
    for picture in PICTURES:
        canvas = picture()
        canvas.figure.savefig(folder / f"{picture.__name__}.svg", metadata={"Date": None}, facecolor="white")
        plt.close(canvas.figure)


if __name__ == "__main__":
    mpl.use("svg")
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
