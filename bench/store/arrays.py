"""Arrays by name, and what they are, as the bytes of one safetensors file: nothing in it can run.

The header has one key, the kind of file, with JSON behind it: `format`, and what else describes the arrays.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.errors import MALFORMED, TooNew, first_line, require_format

# The header is JSON behind its length in so many bytes.
_LENGTH = 8


def encode_arrays(kind: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    # Laid out anew: of arrays whose axes lie in another order in memory, safetensors writes the values in that order.
    laid_out = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # One key alone: the order of several is drawn by chance, and the same run would be other bytes.
    return bytes(save(laid_out, metadata={kind: json.dumps(about)}))


def decode_arrays(kind: str, newest: int, content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The description and the arrays again. Raises TooNew, or another ValueError where the bytes are no such file."""
    try:
        header = json.loads(content[_LENGTH : _LENGTH + int.from_bytes(content[:_LENGTH], "little")])
        about = json.loads(header["__metadata__"][kind])
        require_format(about["format"], newest)
        return about, load(content)
    except TooNew:
        raise
    except (*MALFORMED, RecursionError, SafetensorError) as error:
        raise ValueError(f"{type(error).__name__}: {first_line(error)}") from error
