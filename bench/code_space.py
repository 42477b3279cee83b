"""What generated kernels are made of, to look at: the pieces that all layers share, and each layer's codes for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class CodeSpace:
    """`pieces` `(K, height, width)` are combined into kernels, laid out as pictures; `codes` are the coefficients of
    the combinations, `(n, K)` for each layer by name."""

    pieces: Tensor
    codes: Mapping[str, Tensor]
