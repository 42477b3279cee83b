"""Executors by their names, with the options that each understands."""

import importlib.util

import pytest

from bench.errors import InputError
from bench.executors.find import find
from bench.executors.here import Here


def test_the_one_of_this_machine_takes_a_number_of_runs() -> None:
    found = find("here", jobs="3", ray_address=None)
    assert isinstance(found, Here)
    assert found.jobs == 3


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("her", {}, "unknown executor 'her'; did you mean 'here'\\? have: here, ray"),
        ("processes", {}, "unknown executor 'processes'"),  # a part of another one
        ("here", {"ray_address": "auto"}, "--ray-address is not for --executor here; leave it out"),
        ("here", {"jobs": "none"}, "jobs can't be 'none'"),
    ],
)
def test_what_is_wrong_is_one_line(name: str, options: dict[str, str], line: str) -> None:
    with pytest.raises(InputError, match=line):
        find(name, **options)


def test_without_the_package_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else real(name, *more))
    with pytest.raises(InputError, match=r"--executor ray needs the package ray: pip install 'csg-bench\[ray\]'"):
        find("ray", jobs="auto")
