"""The command `csg-bench`: the same as `bench`, or one line where the package `bench` that Python finds is another's.

It stands outside that package, since whose it is has to be asked from outside: one on PyPI has the same name.
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
    """Why `bench` can't be used, in a line; empty where it is ours."""
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
        f"the package bench in {module.__file__ or ', '.join(module.__path__)} is another's{named}; "
        "install csg-bench into an environment of its own (python3 -m venv)"
    )


if __name__ == "__main__":
    main()
