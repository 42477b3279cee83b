"""The rules that every method keeps to, and what is special about this one."""

from pathlib import Path

import pytest

from bench import count, testing
from bench.plugins import discovery

FILE = str(Path(__file__).with_name("new_method.py"))


# In one small network, in seconds; `testing.FAMILIES` are those that `bench check` tries.
@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize("model", ["resnet8"])
def test_it_plays_by_the_rules(model: str, check: str) -> None:
    testing.run(check, "new-method", model, plugins=[FILE])


def test_the_budget_is_met_to_the_value() -> None:
    method = discovery.find(discovery.METHODS, "new-method", [FILE]).build(None, {})
    compressed = testing.compress(method, "resnet8", 20_000, trained=True)
    assert count.stored_values(compressed.network) == 20_000
