"""The rules that every method keeps to, and what is special about this one."""

from pathlib import Path

import pytest

from bench import count, testing
from bench.models._build import build_network, compress
from bench.plugins import discovery

FILE = str(Path(__file__).with_name("new_method.py"))


# In one small network, in seconds; `testing.FAMILIES` are those that `bench check` tries.
@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize("model", ["resnet8"])
def test_it_plays_by_the_rules(model: str, check: str) -> None:
    testing.run(check, "new-method", model, plugins=[FILE])


def test_the_budget_is_met_to_the_value() -> None:
    method = discovery.find(discovery.METHODS, "new-method", [FILE]).make(None, {})
    network = build_network("resnet8", channels=3, num_classes=10, seed=0)
    compressed = compress(method, network, 20_000, seed=0, trained=True)
    assert count.stored_values(compressed) == 20_000
