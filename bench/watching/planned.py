"""The runs that the last sweep on a store asked for, as plain data: `plan.json`.

The spec has the same information. But to plan from it needs the plugins that it names, and code that a store names is
never run.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.errors import first_line, require_format
from bench.store import seal
from bench.store.seal import Broken
from bench.store.store import Store

PLAN = "plan.json"
_FORMAT = 1


@dataclass(frozen=True)
class Planned:
    """A run that the sweep will make.

    `begins` is the epoch at which its own part starts, after shared epochs, of the `epochs` of its schedule. `work` is
    its own work in epochs, with a small addition for everything that is not training.
    """

    id: str
    title: str
    begins: float
    epochs: float
    work: float

    @classmethod
    def of(cls, body: Any) -> "Planned":
        """A run from JSON. Raises ValueError."""
        texts, numbers = ("id", "title"), ("begins", "epochs", "work")
        if (
            not isinstance(body, Mapping)
            or not all(isinstance(body.get(name), str) for name in texts)
            or not all(is_number(body.get(name)) for name in numbers)
        ):
            raise ValueError(f"{str(body)[:80]!r} is not a planned run")
        return cls(*(body[name] for name in (*texts, *numbers)))


def is_number(value: Any) -> bool:
    """Whether a value from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def remember(store: Store, spec: bytes, runs: Sequence[Planned]) -> None:
    """Write the plan of a sweep that begins. If the stored plan has the same spec, as for shards of one sweep, the runs
    are added to it. Any other plan is replaced."""
    spec_hash = hashlib.sha256(spec).hexdigest()
    with store.lock("plan", wait=True):
        try:
            found_hash, known = _read(store)
        except ValueError:  # of a newer bench, or edited: it is replaced
            found_hash, known = "", []
        others = known if found_hash == spec_hash else []
        mine = {run.id for run in runs}
        whole = [*(run for run in others if run.id not in mine), *runs]
        body = {"format": _FORMAT, "spec": spec_hash, "runs": [asdict(run) for run in whole]}
        store.write_sealed(store.folder / PLAN, json.dumps(body, allow_nan=False).encode())


def read(store: Store) -> list[Planned]:
    """The planned runs; empty if no sweep of this version has used the store. Raises ValueError."""
    return _read(store)[1]


def _read(store: Store) -> tuple[str, list[Planned]]:
    """The hash of the plan's spec, and the planned runs."""
    try:
        content = seal.read_file(store.folder / PLAN)
        if content is None:
            return "", []
        body = json.loads(content)
        require_format(body["format"], _FORMAT)
        return str(body["spec"]), [Planned.of(run) for run in body["runs"]]
    except (Broken, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{PLAN} can't be read: {first_line(error)}") from error
