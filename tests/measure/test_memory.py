"""Peak memory: of what was done since, and never a reason for a run to fail."""

import mmap
from pathlib import Path

import pytest
import torch

from bench.measure import memory

CPU = torch.device("cpu")
BYTES = 200_000_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_peak_is_that_of_what_was_done_since() -> None:
    def peak(number: int) -> int:
        if not memory.forget_peak(CPU):
            pytest.skip("the system does not let a process forget its peak")
        # Of the system's own: an allocator may hand out what others freed before, which is taken already.
        torch.frombuffer(mmap.mmap(-1, number), dtype=torch.uint8).fill_(1)
        found = memory.peak_bytes(CPU)
        assert found is not None
        return found

    before, with_tensor, after = peak(1), peak(BYTES), peak(1)
    assert with_tensor - before > 0.9 * BYTES
    assert with_tensor - after > 0.9 * BYTES


@pytest.mark.parametrize("there", [True, False])
def test_where_the_system_refuses_it_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:  # a folder in its place can't be written to, by root neither
        (tmp_path / "self" / "clear_refs").mkdir(parents=True)
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "self")
    assert memory.forget_peak(CPU) is False
