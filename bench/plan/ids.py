"""Ids of runs and of kept states: hashes of everything that changes results."""

import hashlib
import json
from typing import Any


def hash_of(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def above_one(revision: int) -> list[str]:
    """The part of an id for the revision of a plugin. The first revision has none."""
    return [] if revision == 1 else [f"revision {revision}"]
