"""Whether two networks give the same outputs, as a saved or finished network must."""

from torch import Tensor

# The largest allowed difference between the outputs of equal networks: different kernels sum in different orders.
LARGEST_DIFFERENCE = 1e-4


def relative_difference(outputs: Tensor, expected: Tensor) -> float:
    """The largest difference of a logit, relative to the largest logit (but at least 1)."""
    return float((outputs - expected).abs().max() / expected.abs().max().clamp(min=1))
