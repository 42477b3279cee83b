"""On what runs are made: bfloat16 where the device has it, and a word where it doesn't."""

import os
import subprocess
import sys

import pytest
import torch

from bench.runs import environment

CPU = torch.device("cpu")


@pytest.mark.parametrize("flags", [{"avx512_bf16"}, {"amx_bf16", "avx2"}, {"bf16"}])
def test_a_processor_with_bfloat16_uses_it(flags: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_cpu_flags", lambda: frozenset(flags))
    assert environment.find_precision("auto", CPU) == torch.bfloat16
    assert environment.find_precision("float32", CPU) == torch.float32
    assert environment.slow_precision("bfloat16", CPU) is None


def test_one_without_it_does_not_and_who_asks_for_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_cpu_flags", lambda: frozenset({"avx2", "avx512f"}))
    assert environment.find_precision("auto", CPU) == torch.float32
    assert environment.find_precision("bfloat16", CPU) == torch.bfloat16
    assert environment.slow_precision("auto", CPU) is None
    said = environment.slow_precision("bfloat16", CPU)
    assert said is not None
    assert "has no bfloat16, so torch emulates it: 5 times the time of float32" in said


def test_flags_are_those_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are read: by torch, or by an older one's way."""
    environment._cpu_flags.cache_clear()
    if not hasattr(torch.cpu, "get_capabilities"):
        pytest.skip("this torch has one way")
    now = environment._cpu_flags()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    environment._cpu_flags.cache_clear()
    then = environment._cpu_flags()
    environment._cpu_flags.cache_clear()
    assert now & {"avx2", "avx512_bf16", "amx_bf16"} == then & {"avx2", "avx512_bf16", "amx_bf16"}


def test_a_processor_that_is_to_use_other_instructions_has_another_name() -> None:
    """As one of another generation, which a virtual machine may call the same; its sums may end in other bits."""
    source = """
import torch
from bench.runs.environment import processor
print(processor(torch.device("cpu")))
print(torch.backends.cpu.get_cpu_capability())
"""

    def said(**more: str) -> list[str]:
        """The name, and what torch calls the instructions that it uses."""
        return subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, check=True, env={**os.environ, **more}
        ).stdout.splitlines()

    (plain, used), (other, least) = said(), said(ATEN_CPU_CAPABILITY="default")
    assert plain == environment.processor(CPU)
    assert (plain == other) == (used == least)
    assert plain.endswith(f"{used})")
    assert plain.removesuffix(f"{used})") == other.removesuffix(f"{least})") != ""
