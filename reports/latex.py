"""Tables for papers in LaTeX: booktabs, with every letter of a name kept from meaning anything."""

import unicodedata

import pandas as pd
from bench.reports.table import HEADINGS, cells

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after the end of a row these would be an argument of it
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "…": r"\ldots{}",
}
# Grave, acute, circumflex, tilde, diaeresis, ring, caron, cedilla: all of LaTeX's fonts have these.
_ACCENTS = set("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327")
# Of a name longer than this a table shows the beginning.
_LONGEST = 60


def latex(summary: pd.DataFrame, caption: str) -> str:
    """A `table` environment for one setting, for a document that uses the packages booktabs and inputenc (utf8).

    The best top-1 of each budget, and all that can't be told apart from it, is bold.
    """
    alignment = "ll" + "r" * (len(HEADINGS) - 2)
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(escape(heading) for heading in HEADINGS) + r" \\",
        r"\midrule",
    ]
    accuracy = HEADINGS.index("top-1 %")
    for row, best in zip(cells(summary), summary["is_best"].fillna(False), strict=True):
        texts = [escape(cell) for cell in row]
        if best:
            texts[accuracy] = rf"\textbf{{{texts[accuracy]}}}"
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that LaTeX prints as it is. Of scripts that its common fonts lack, the letters' numbers stand there."""
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(_SPECIAL.get(letter, _plain(letter)) for letter in shown)


def _plain(letter: str) -> str:
    if " " <= letter <= "~":
        return letter
    if unicodedata.category(letter).startswith("C"):
        return ""  # control letters, those that turn the direction of text among them
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and base.isalpha() and set(marks) <= _ACCENTS:
        return letter
    return f"{{[}}U+{ord(letter):04X}{{]}}"
