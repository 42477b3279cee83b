"""Which runs can start from a compressed backbone. Networks that are thrown away tell it before anything is trained."""

from collections.abc import Iterator, Sequence

from bench import count
from bench.budget import Requested
from bench.errors import contained
from bench.files.compressed_backbone import CompressedBackbone, Misfit
from bench.files.start_weights import Start
from bench.measure import in_bytes, packed_size
from bench.measure.resizable import Resizing
from bench.models._build import build_network
from bench.plan.run import Run


def lines(runs: Sequence[Run], channels: int, classes: int, start: Start) -> Iterator[str]:
    """A line for each method and budget, where the method is the one that compressed the backbone: it starts from the
    compressed form, or takes the kernels in full, with the reason. `start` gives networks the finished weights. A
    method that can't compress the network has no line here; its run gives the reason."""
    asked = set()
    for run in runs:
        weights = run.setting.weights
        backbone = None if weights is None else weights.compressed
        what = run.choice.label if run.budget is None else f"{run.choice.label} at {run.budget}"
        if backbone is None or backbone.method != run.choice.name or what in asked:
            continue
        asked.add(what)
        try:
            with contained():
                why_not = run.why_kernels or _misfit(backbone, run, channels, classes, start)
        except Exception:
            why_not = None  # the run will fail or miss its budget, and its record says why
        if why_not == "":
            yield f"{what} starts from the compressed backbone of {backbone.name}"
        elif why_not:
            yield f"{what} takes the kernels of {backbone.name} in full, as the other methods do: {why_not}"


def _misfit(backbone: CompressedBackbone, run: Run, channels: int, classes: int, start: Start) -> str:
    """The reason why the run's network can't start from the backbone; empty if it can. Raises BudgetError."""
    model = run.setting.model.model
    dense = start(build_network(model, channels, classes, run.seed), run.seed)
    requested = Requested()
    if run.budget is not None:
        requested = run.budget.requested(count.stored_values(dense), packed_size.counted_bytes(dense))
    compressed = in_bytes.compress(
        run.choice.method,
        dense,
        requested,
        run.seed,
        run.compresses_trained,
        model.family,
        lambda: Resizing(model, channels, classes).of(run.seed),
        account_only=True,
        seeds=backbone.seeds,
    )
    try:
        backbone.fill(compressed)
    except Misfit as error:
        return str(error)
    return ""
