"""The network compressed by the run's method, as its training begins."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from bench.budget import Requested
from bench.measure import account, in_bytes
from bench.method import Compressed
from bench.plan.run import Run
from bench.runs.bench import Bench
from bench.runs.steps.columns import Columns, stored_columns
from bench.store.record import COMPRESSED, KERNELS


@dataclass(frozen=True)
class Compression:
    """The compressed network, before its training."""

    compressed: Compressed
    stored: account.Stored
    compress_seconds: float
    exceptions: str
    weights_form: Columns

    def columns(self, dense_values: int) -> Columns:
        return {
            "compress_seconds": self.compress_seconds,
            "exceptions": self.exceptions or None,
            "gradients": self.compressed.gradients,
            **self.weights_form,
            **stored_columns(self.stored, dense_values),
        }


def compress(bench: Bench, run: Run, network: nn.Module, requested: Requested, brought_to_size: bool) -> Compression:
    """Have the method compress the network. It starts from the compressed backbone of a run of the same method, if that
    fits. A network that is `brought_to_size` has its final size; it can be counted and not trained. Raises
    BudgetError."""
    method, started = run.choice.method, time.perf_counter()

    def made(network: nn.Module, seeds: Sequence[int] = ()) -> Compressed:
        return in_bytes.compress(
            method,
            network,
            requested,
            run.seed,
            run.compresses_trained,
            run.setting.model.model.family,
            lambda: bench.resizing.of(run.seed),
            account_only=brought_to_size,
            training_images=len(bench.data.train),
            seeds=seeds,
        )

    backbone, why_not = run.compressed_backbone, ""
    if backbone is None or brought_to_size:
        compressed = made(network)
    else:
        compressed, why_not = backbone.start(lambda seeds: made(bench.network(run), seeds))
    seconds = time.perf_counter() - started
    compressed.network.to(bench.device)
    if brought_to_size:
        account.to_size(method, compressed)
    own_start = "" if backbone is None or why_not else f"starts from the compressed backbone of {backbone.name}"
    exceptions = "; ".join(filter(None, [method.exceptions(), own_start, *compressed.own_rules()]))
    return Compression(compressed, account.stored(compressed), seconds, exceptions, _weights_form(run, why_not))


def _weights_form(run: Run, why_not: str) -> Columns:
    """Whether the run took a backbone in compressed form, or the reason why it took the kernels."""
    backbone = None if run.setting.weights is None else run.setting.weights.compressed
    if backbone is None:
        return {}
    why_not = run.why_kernels or why_not
    return {"weights_form": KERNELS if why_not else COMPRESSED, "weights_form_reason": why_not or None}
