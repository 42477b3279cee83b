"""A sweep over budgets of values and of bytes: who takes part in which, and what records say."""

from pathlib import Path

import pytest
from conftest import run_sweep, tiny_spec
from safetensors import safe_open

from bench.store.record import FINISHED, Record
from bench.store.store import WEIGHTS, Store

MASKED_RANDOM = str(Path(__file__).parents[1] / "samples" / "masked_random.py")


@pytest.fixture(scope="module")
def by_bytes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record], str]:
    """A store with three methods at 4x of the values and at 8x of the bytes. Do not write to it."""
    folder = tmp_path_factory.mktemp("bytes")
    asked = tiny_spec(["sparse", "kmeans", "masked-random"], budgets=["4x", "8x-bytes"])
    records, said = run_sweep(asked.model_copy(update={"plugins": [*asked.plugins, MASKED_RANDOM]}), folder)
    return folder, records, said


@pytest.mark.slow
def test_who_takes_part_in_which_budgets(by_bytes: tuple[Path, list[Record], str]) -> None:
    _, records, said = by_bytes
    assert [(record["method_name"], record["budget"], record["reason"] or record["status"]) for record in records] == [
        ("dense", None, FINISHED),
        ("sparse", "4x", FINISHED),
        ("sparse", "8x-bytes", FINISHED),
        ("kmeans", "8x-bytes", FINISHED),
        ("masked-random", "8x-bytes", FINISHED),
    ]
    assert [line for line in said.splitlines() if "no part in" in line] == [
        f"{name}: no part in 4x, since it doesn't shrink in values; it takes budgets of bytes (4x-bytes)"
        for name in ("kmeans", "masked-random")
    ]


@pytest.mark.slow
def test_records_have_what_was_asked_beside_what_is_stored(by_bytes: tuple[Path, list[Record], str]) -> None:
    folder, records, _ = by_bytes
    dense = records[0]
    assert dense["counted_bytes"] == dense["dense_bytes"] == 4 * dense["stored_values"]
    for record in records[1:]:
        of_bytes = record["budget"] == "8x-bytes"
        assert record["requested_bytes"] == (round(dense["dense_bytes"] / 8) if of_bytes else None)
        assert (record["requested_values"] is None) == of_bytes
        if of_bytes:  # sparse by what was trained, others to the byte as they were compressed
            allowed = 0.02 if record["method_name"] == "sparse" else 0.01
            assert abs(record["counted_bytes"] - record["requested_bytes"]) <= allowed * record["requested_bytes"]
        run = Store(folder).folder_of(record["id"])
        assert run is not None
        with safe_open(run / WEIGHTS, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        sizes = [tensor.numel() * tensor.element_size() for name, tensor in tensors.items() if "running_" not in name]
        assert record["counted_bytes"] == sum(sizes)
