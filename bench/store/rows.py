"""Histories and layers: rows of a run as CSV."""

import csv
import io
from collections.abc import Iterable
from typing import Any

# In histories and layers these are whole numbers, wherever they stand.
_WHOLE_NUMBERS = {"epoch", "stored_values"}


def encode_rows(rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows with the same names as the bytes of a CSV file."""
    rows = list(rows)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()


def decode_rows(content: bytes) -> list[dict[str, str]]:
    """The rows again, as text. Raises ValueError."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        for row in rows:
            for column in _WHOLE_NUMBERS & row.keys():
                int(row[column])
    except (TypeError, csv.Error) as error:
        raise ValueError(str(error)) from error
    return rows
