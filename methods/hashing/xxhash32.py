"""xxHash32 of many short keys at once. Hashing methods get their pseudo-random numbers from it, equal on every machine.

The algorithm is that of https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md for inputs of whole words below
16 bytes, which don't use its main loop. All of it is arithmetic modulo 2^32, so all processors agree.
"""

import numpy
from numpy.typing import NDArray

Words = NDArray[numpy.uint32]

# Python's numbers: numpy's single numbers would warn of the intended overflow, numpy's arrays don't.
_PRIME_2, _PRIME_3, _PRIME_4, _PRIME_5 = 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
_MOST_WORDS = 3


def xxhash32(keys: Words, seed: int) -> Words:
    """The hash of each key, uint32 `(n,)`.

    `keys` is uint32 `(words, n)` with at most three words: key i is the bytes of `keys[0, i]`, `keys[1, i]` and so on,
    each with its lowest byte first. `seed` lies between 0 and 2^32 - 1.
    """
    words, number = keys.shape
    assert words <= _MOST_WORDS
    hashes: Words = numpy.full(number, (seed + _PRIME_5 + 4 * words) % 2**32, numpy.uint32)
    for word in keys:
        hashes += word * numpy.uint32(_PRIME_3)
        hashes = (hashes << numpy.uint32(17) | hashes >> numpy.uint32(15)) * numpy.uint32(_PRIME_4)
    hashes ^= hashes >> numpy.uint32(15)
    hashes *= numpy.uint32(_PRIME_2)
    hashes ^= hashes >> numpy.uint32(13)
    hashes *= numpy.uint32(_PRIME_3)
    hashes ^= hashes >> numpy.uint32(16)
    return hashes
