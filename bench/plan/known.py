"""Facts about files on another machine that a plan needs: found there, and taken here as they were found."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bench.files.start_weights import Weights
from bench.plugins.networks import ModelChoice


@dataclass(frozen=True)
class Known:
    """What the dataset says of its files (`Dataset.identity`), and the finished weights without their network."""

    identity: str
    weights: Mapping[str, Any] | None

    @classmethod
    def of(cls, identity: str, weights: Weights | None) -> "Known":
        if weights is None:
            return cls(identity, None)
        own = {field.name: getattr(weights, field.name) for field in fields(weights) if field.name != "model"}
        return cls(identity, own)

    def weights_for(self, model: ModelChoice) -> Weights | None:
        """The weights, which were seen to fit this network."""
        return None if self.weights is None else Weights(model=model, **self.weights)
