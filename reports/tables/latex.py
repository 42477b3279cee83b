"""Tables for papers in LaTeX: booktabs, with every special letter of a name escaped."""

import unicodedata
from typing import Any

import pandas as pd

from bench.metric import Metric
from bench.reports.names import short_names
from bench.reports.tables.table import HEADINGS, SCORE, by_budget, cells, deviation, headings
from bench.roles import REFERENCE

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
    "[": "{[}",  # after the end of a row, brackets would be its argument
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "…": r"\ldots{}",
}
# Grave, acute, circumflex, tilde, diaeresis, ring, caron, cedilla: all LaTeX fonts have these accents.
_ACCENTS = set("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327")
# The most letters of a name.
_LONGEST = 48


def latex(summary: pd.DataFrame, overall: pd.DataFrame, setting: str, metric: Metric, label: str) -> str:
    """Tables of one setting, for a document that uses the packages booktabs and inputenc (utf8).

    First, methods by budgets with their mean ranks, labelled `tab:LABEL`. Then a `table*` for each budget: the methods
    of fixed size with the dense reference, and the others from the best to the worst.

    A method that may be the best of a budget is bold. The number in brackets is the standard deviation over seeds; the
    number after ± is half the width of the change's 95 % interval.
    """
    ordered = by_budget(summary, metric.higher)
    fixed = ordered["asked"].isna()
    budgets = list(dict.fromkeys(ordered.loc[~fixed, "asked"]))
    tables = [_by_budgets(summary, overall, setting, metric, label)] if budgets else []
    for number, asked in enumerate(budgets or [None]):
        rows = ordered[fixed | (ordered["asked"] == asked)] if asked is not None else ordered
        title = (
            setting
            if asked is None
            else f"{setting}, at {rows['budget'].dropna().iloc[-1]} ({asked:,} {rows['unit'].iloc[0]})"
        )
        tables.append(_table(rows, title, metric, f"{label}-{number + 1}"))
    return "\n".join(tables)


def _by_budgets(summary: pd.DataFrame, overall: pd.DataFrame, setting: str, metric: Metric, label: str) -> str:
    """A row for each method, a column for each budget, and the mean rank in the last column."""
    sized = summary[summary["asked"].notna()]
    budgets = sized.drop_duplicates("asked").sort_values("asked", ascending=False)
    ranks: dict[str, float] = dict(zip(overall["method_text"], overall["mean_rank"], strict=True))
    order = sorted(dict.fromkeys(sized["method_text"]), key=lambda text: (ranks.get(text, float("inf")), text))
    dense = summary[summary["role"] == REFERENCE]
    of_dense = f"; dense: {deviation(dense['score_mean'].iloc[0], dense['score_std'].iloc[0])}" if len(dense) else ""
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize",
        rf"\caption{{{escape(f'{setting}: {metric.title} by budget{of_dense}')}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{l{'r' * len(budgets)}r}}",
        r"\toprule",
        " & ".join(["method", *(escape(str(budget)) for budget in budgets["budget"]), "mean rank"]) + r" \\",
        r"\midrule",
    ]
    names = short_names(sized["method"], _LONGEST)
    for text in order:
        own = sized[sized["method_text"] == text].drop_duplicates("asked").set_index("asked")
        scores = [_score(own.loc[asked]) if asked in own.index else "--" for asked in budgets["asked"]]
        rank = f"{ranks[text]:.2f}" if text in ranks else "--"
        lines.append(" & ".join([escape(names[own["method"].iloc[0]]), *scores, rank]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""]
    return "\n".join(lines)


def _score(row: "pd.Series[Any]") -> str:
    text = escape(deviation(row["score_mean"], row["score_std"]))
    return rf"\textbf{{{text}}}" if not pd.isna(row["is_best"]) and row["is_best"] else text


def _table(rows: pd.DataFrame, caption: str, metric: Metric, label: str) -> str:
    every = headings(rows)
    shown = [index for index, heading in enumerate(every) if heading not in ("budget", "asked", "validation")]
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(shown) - 1)}}}",
        r"\toprule",
        " & ".join(escape(metric.title if every[index] == SCORE else every[index]) for index in shown) + r" \\",
        r"\midrule",
    ]
    accuracy = HEADINGS.index(SCORE)
    for row, best in zip(cells(rows, _LONGEST), rows["is_best"].fillna(False), strict=True):
        texts = [escape(cell) for cell in row]
        if best:
            texts[accuracy] = rf"\textbf{{{texts[accuracy]}}}"
        lines.append(" & ".join(texts[index] for index in shown) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that LaTeX prints unchanged. Letters of scripts that its common fonts lack are written as their numbers."""
    return "".join(_SPECIAL.get(letter, _plain(letter)) for letter in text)


def _plain(letter: str) -> str:
    if " " <= letter <= "~":
        return letter
    if unicodedata.category(letter).startswith("C"):
        return ""  # control characters, also those that change the text direction
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and base.isalpha() and set(marks) <= _ACCENTS:
        return letter
    return f"{{[}}U+{ord(letter):04X}{{]}}"
