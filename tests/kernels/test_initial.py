"""Slices and codes from trained kernels."""

import pytest
import torch

from bench.kernels import initial


@pytest.mark.parametrize("rank", [3, 12])
def test_large_matrices_are_decomposed_as_small_ones_are(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another way, which takes less memory: 40 rows at a time, and the same up to float32."""
    random = torch.Generator().manual_seed(rank)
    # Whole numbers, so that its rank is that in either precision.
    left, right = (torch.randint(-3, 4, shape, generator=random).float() for shape in ((100, rank), (rank, 20)))
    matrix = left @ right
    small = initial.leading(matrix, 8)
    monkeypatch.setattr(initial, "_LARGE", 0)
    monkeypatch.setattr(initial, "_ROWS", 40)
    large = initial.leading(matrix, 8)
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    kept = min(rank, 8)
    wanted = left[:, :kept] * values[:kept] @ right[:kept]
    for found in (small, large):
        assert [tuple(part.shape) for part in found] == [(100, kept), (kept,), (kept, 20)]
        assert torch.allclose(found[0] * found[1] @ found[2], wanted, rtol=0, atol=1e-6 * float(values[0]))
        assert torch.allclose(found[0].T @ found[0], torch.eye(kept, dtype=torch.float64), atol=1e-6)
