"""Facts about files that a plan needs, for a machine that doesn't have these files: another machine found them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.files.start_weights import Weights
from bench.plugins.networks import ModelChoice


@dataclass(frozen=True)
class Known:
    """The identity of the dataset's files (`Dataset.identity`), and the finished weights without their network."""

    identity: str
    weights: Mapping[str, Any] | None

    @classmethod
    def of(cls, identity: str, weights: Weights | None) -> "Known":
        if weights is None:
            return cls(identity, None)
        own = {field.name: getattr(weights, field.name) for field in fields(weights) if field.name != "model"}
        return cls(identity, own)

    def weights_for(self, model: ModelChoice) -> Weights | None:
        """The weights with this network. The other machine checked that they fit it."""
        return None if self.weights is None else Weights(model=model, **self.weights)
