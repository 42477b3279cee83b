"""The command `csg-bench`: the same as `bench`, or one line of error if Python finds another project's package `bench`.

This module is outside of that package, since PyPI has another package of the same name.
"""

import importlib
import sys
from importlib.metadata import packages_distributions

_DISTRIBUTION = "csg-bench"


def main() -> None:
    """Run the command line, or exit with 2 and one line on standard error."""
    problem = _problem()
    if problem:
        print(f"{_DISTRIBUTION}: {problem}", file=sys.stderr)
        sys.exit(2)
    from bench.cli.main import main

    main()


def _problem() -> str:
    """The reason why `bench` can't be used, in one line; empty if it is ours."""
    try:
        module = importlib.import_module("bench")
    except ModuleNotFoundError as error:
        if error.name != "bench":
            raise
        return "its package bench is gone; install csg-bench again, into an environment of its own"
    if getattr(module, "__distribution__", "") == _DISTRIBUTION:
        return ""
    others = sorted(set(packages_distributions().get("bench", [])) - {_DISTRIBUTION})
    named = f" ({', '.join(others)})" if others else ""
    return (
        f"the package bench in {module.__file__ or ', '.join(module.__path__)} belongs to another project{named}; "
        "install csg-bench into an environment of its own (python3 -m venv)"
    )


if __name__ == "__main__":
    main()
