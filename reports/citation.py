"""The bibliography of the compared methods, from the citations in their records."""

import re

import pandas as pd

from bench.roles import GIVEN, REFERENCE


def bibliography(results: pd.DataFrame) -> tuple[str, list[str]]:
    """A BibTeX file with each entry once, and a line for each text that is not a BibTeX entry. A comment names the
    methods without a citation."""
    entries: dict[str, str] = {}
    problems = []
    cited = results.dropna(subset=["citation"]).drop_duplicates(["method_name", "citation"])
    for name, text in cited[["method_name", "citation"]].itertuples(index=False, name=None):
        found = split(text)
        if not found:
            problems.append(f"the citation of {name} is not a BibTeX entry, so it is left out")
        entries |= {key: entry for key, entry in found.items() if key not in entries}
    reference = set(results.loc[results["role"].isin([REFERENCE, GIVEN]), "method_name"])
    without = sorted(set(results["method_name"]) - set(cited["method_name"]) - reference)
    lines = ["% The methods compared, as their plugins cite them."]
    if without:
        lines.append(f"% Without a citation: {', '.join(re.sub(r'[^ -~]', '?', str(name)) for name in without)}")
    return "\n\n".join(["\n".join(lines), *(entries[key] for key in sorted(entries))]) + "\n", problems


def split(text: str) -> dict[str, str]:
    """The entries of a BibTeX text by key, their lines indented by two spaces; empty if the text is anything else."""
    entries: dict[str, str] = {}
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        start = re.compile(r"@\w+\{\s*([^\s,{}\"#%~\\]+)\s*,").match(text, position)
        if start is None:
            return {}
        depth, end = 0, position
        for end in range(position, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if text[end] == "}" and depth == 0:
                break
        if depth:
            return {}
        lines = [line.strip() for line in text[position : end + 1].splitlines()]
        inner = (("  " if line != "}" else "") + line for line in lines[1:])
        entries[start[1]] = "\n".join([lines[0], *inner])
        position = end + 1
    return entries
