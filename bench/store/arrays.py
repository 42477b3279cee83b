"""Named arrays and their description, as the bytes of one safetensors file. Nothing in such a file can run.

The header has one key, the kind of file. Its value is JSON with `format` and other entries that describe the arrays.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.errors import MALFORMED, TooNew, first_line, require_format

# The first 8 bytes of the file hold the length of the JSON header.
_LENGTH = 8


def encode_arrays(kind: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    # safetensors writes values in the order in which they lie in memory, so each array is first made contiguous.
    laid_out = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # Only one key: safetensors writes several keys in random order, and then the same run would give different bytes.
    return bytes(save(laid_out, metadata={kind: json.dumps(about)}))


def decode_arrays(kind: str, newest: int, content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the description and the arrays. Raises TooNew for a newer format and ValueError for other malformed
    bytes."""
    try:
        header = json.loads(content[_LENGTH : _LENGTH + int.from_bytes(content[:_LENGTH], "little")])
        about = json.loads(header["__metadata__"][kind])
        require_format(about["format"], newest)
        return about, load(content)
    except TooNew:
        raise
    except (*MALFORMED, RecursionError, SafetensorError) as error:
        raise ValueError(f"{type(error).__name__}: {first_line(error)}") from error
