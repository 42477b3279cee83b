"""The history and the layers of a run as rows of CSV."""

import csv
import io
from collections.abc import Iterable
from typing import Any

# These columns of histories and layers hold whole numbers.
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
    """The rows of a CSV file, as text. Raises ValueError if the file is malformed."""
    try:
        lines = [row for row in csv.reader(io.StringIO(content.decode())) if row]
        header = lines[0] if lines else []
        for row in lines:
            if len(row) != len(header):
                raise ValueError(f"a row has {len(row)} cells, not {len(header)}")
        rows = [dict(zip(header, row, strict=True)) for row in lines[1:]]
        for column in _WHOLE_NUMBERS.intersection(header):
            for named in rows:
                int(named[column])
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return rows
