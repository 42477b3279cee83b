"""Checks that a step did not exchange the network: the tested network is the one that was compressed."""

from torch import Tensor

from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference


class NotTheSame(RuntimeError):
    """The network that was trained or finished is not the one that was compressed."""


def require_same_size(compressed_values: int, trained_values: int) -> None:
    """Raises NotTheSame."""
    if trained_values != compressed_values:
        raise NotTheSame(
            f"the network stored {compressed_values:,} values when compressed, {trained_values:,} when trained"
        )


def require_same_outputs(outputs: Tensor, expected: Tensor) -> None:
    """Compare the outputs of the finished network with those of the trained network. Raises NotTheSame."""
    difference = relative_difference(outputs, expected)
    if not difference <= LARGEST_DIFFERENCE:
        raise NotTheSame(f"finish() changed the network's outputs by {difference:.2g} of the largest logit")
