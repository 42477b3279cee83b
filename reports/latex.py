"""Tables for papers in LaTeX: booktabs, with every letter of a name kept from meaning anything."""

import unicodedata

import pandas as pd

from bench.metric import Metric
from bench.reports.table import HEADINGS, SCORE, by_budget, cells

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
_LONGEST = 48


def latex(summary: pd.DataFrame, setting: str, metric: Metric) -> str:
    """A `table*` for each budget of one setting, for a document that uses the packages booktabs and inputenc (utf8):
    the methods of fixed size, the dense reference among them, then the others from the best to the worst.

    What may be the best of a budget is bold. In brackets stands the standard deviation over seeds; behind ± half the
    width of the change's 95 % interval.
    """
    ordered = by_budget(summary, metric.higher)
    fixed = ordered["requested_values"].isna()
    budgets = list(dict.fromkeys(ordered.loc[~fixed, "requested_values"]))
    tables = []
    for asked in budgets or [None]:
        rows = ordered[fixed | (ordered["requested_values"] == asked)] if asked is not None else ordered
        title = setting if asked is None else f"{setting}, at {rows['budget'].dropna().iloc[-1]} ({asked:,} values)"
        tables.append(_table(rows, title, metric))
    return "\n".join(tables)


def _table(rows: pd.DataFrame, caption: str, metric: Metric) -> str:
    shown = [index for index, heading in enumerate(HEADINGS) if heading not in ("budget", "asked", "validation")]
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(shown) - 1)}}}",
        r"\toprule",
        " & ".join(escape(metric.title if HEADINGS[index] == SCORE else HEADINGS[index]) for index in shown) + r" \\",
        r"\midrule",
    ]
    accuracy = HEADINGS.index(SCORE)
    for row, best in zip(cells(rows), rows["is_best"].fillna(False), strict=True):
        texts = [escape(cell) for cell in row]
        if best:
            texts[accuracy] = rf"\textbf{{{texts[accuracy]}}}"
        lines.append(" & ".join(texts[index] for index in shown) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""]
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
