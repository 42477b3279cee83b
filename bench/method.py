"""What a method plugin is: it turns a network and a budget into a smaller network. It never sees data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench import masks
from bench.code_space import CodeSpace
from bench.generated import GeneratedNetwork


@dataclass(frozen=True)
class Family:
    """A network at other widths: `build(widths)` makes it with fresh weights and these numbers of channels, one for
    each group of channels that can have a number of its own. `widths` are the network's own."""

    widths: tuple[int, ...]
    build: Callable[[Sequence[int]], nn.Module]


@dataclass(frozen=True)
class Context:
    """What a method may know besides the network and the budget.

    `generator` is on the CPU and seeded for this run alone: draw every random number from it. `trained` says whether
    the network has been trained up to here (`compress_at` above 0, or a start from finished weights) or holds its
    initial weights. `family` makes the network at other widths, for methods that can't reach a budget otherwise
    (`bench.width`); None where the network's file doesn't say how.
    """

    generator: torch.Generator
    trained: bool
    family: Family | None = None


@dataclass(frozen=True)
class Method:
    """Base of every method plugin: a frozen dataclass whose fields are its options.

    A plugin is one file with one subclass; the file's name is the method's name. The docstring says what the method
    does, the paper it comes from and the formula for its stored values; its first line is shown by `bench list`.
    """

    @property
    def citation(self) -> str:
        """The paper as a BibTeX entry, for the bibliography of a comparison; empty where there is none."""
        return ""

    @property
    def compress_at(self) -> float | None:
        """Where on the schedule, from 0 to 1, `compress` is called. Before that, training is that of the dense run.

        A subclass overrides this with a value, or with a field to make it an option. Rounded to whole epochs. With None
        as a value of the option, `moment` says what that means.
        """
        return 0.0

    @property
    def moment(self) -> float:
        """`compress_at`, or what it is where the option leaves that to the method."""
        assert self.compress_at is not None
        return self.compress_at

    @property
    def needs_trained(self) -> bool:
        """Whether `compress` makes sense on a trained network alone. A sweep that would have it compress initial
        weights is refused before anything is trained."""
        return False

    def identity(self) -> str:
        """What tells this method from one with the same options, for the run's id: the content of a file that it reads,
        say, since where files lie is no part of ids. Raises InputError where the file can't be used."""
        return ""

    def exceptions(self) -> str:
        """What this method has that the others have not, in a few words, for every report to show: epochs spent on
        something that it reuses, say. Empty: nothing."""
        return ""

    @property
    def sized_by_budget(self) -> bool:
        """Whether the budget decides the size. A method that is not (dense, or an option that fixes the size) is run
        once per seed, and its records ask for no budget."""
        return True

    def compress(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        """The network that is trained from here on. It may reuse or change `model`, which belongs to this run.

        `budget` is the number of values the result shall store, as `bench.count.stored_values` counts them: every
        parameter and persistent buffer once, but no batch-norm statistics. It is None where `sized_by_budget` is False.
        What a seed regenerates belongs in a buffer with `persistent=False`, made here from `context.generator`.

        The shape of the result may depend on the budget, the options and the generator, not on the weights: the saved
        network is loaded by compressing a fresh one and filling in the stored values. Where it depends on more, or
        shall not be worked out again, override `structure` and `rebuild`.

        Raises BudgetError, with the reason, where the budget can't be met.
        """
        raise NotImplementedError

    def structure(self, model: nn.Module) -> Mapping[str, Any] | None:
        """What the saved file must say of the compressed network for `rebuild` to make one of its shape, as JSON.
        None: nothing, `compress` gives it."""
        return None

    def rebuild(self, model: nn.Module, structure: Mapping[str, Any], context: Context) -> nn.Module:
        """A compressed network of the shape that `structure` tells of, for stored values to be filled in. `model` is a
        fresh network, the context that of `compress`. Nothing but these may be used: no file, and no option that is
        not in the structure."""
        raise NotImplementedError

    @property
    def gradual(self) -> bool:
        """Whether `compress` leaves the network larger than the budget, and `after_step` brings it there bit by bit.
        After a call with progress 1 it must be there, whatever calls came before: before anything is trained, the
        harness asks a network that it throws away. How many values it is exactly may depend on what was trained, within
        the tolerance of budgets."""
        return False

    def after_step(self, model: nn.Module, progress: float) -> bool:
        """Called after every optimiser step once compressed; `progress` is the fraction of the schedule done.

        Gradients are still there. Masks (`bench.masks`) may be changed in place; what they leave out is zeroed after
        the call. Returns whether parameters were replaced by others: then the optimiser starts afresh.
        """
        return False

    def decay(self, model: nn.Module) -> Mapping[str, float]:
        """Factors on the schedule's weight decay, by parameter name; those that are not named have 1. A method that
        gives any must say so in `exceptions`."""
        return {}

    def settle(self, model: nn.Module) -> None:
        """Called once after the last epoch, before anything is measured or saved: the place to round or to cluster."""

    def finish(self, model: nn.Module) -> nn.Module:
        """The network as it is deployed, in eval mode; it must give the same outputs. It may take `model` apart.

        By default the model itself, without what the shared mechanisms add to it: generated kernels are computed for
        good, and masks come off.
        """
        masks.detach(model)
        return model.materialise() if isinstance(model, GeneratedNetwork) else model

    def solved(self, model: nn.Module) -> Mapping[str, Any]:
        """What was chosen to meet the budget (a code length, ranks), for the record; numbers or short text."""
        return {}

    def code_space(self, model: nn.Module) -> Mapping[str, CodeSpace]:
        """What the trained network's kernels are combined from, for reports to show, by a name for each set of shared
        pieces; empty where kernels are not combinations."""
        return {}
