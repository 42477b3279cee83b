"""The contract of a method plugin. A method turns a network and a budget into a smaller network; it never sees data.

There are two objects. The Method is frozen and has the options. The Compressed is made for each run, has the network
and may change. A method may import the public face (the files of bench/), `kernels`, `measure` and `files`;
tests/project/test_layout.py checks that.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, final, get_args

import torch
from torch import Tensor, nn

from bench import count, masks
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork
from bench.surgery import tensors_by_module


@dataclass(frozen=True)
class Resizable:
    """A network that can be built at other widths.

    `widths` are the network's own: one number of channels for each group of channels that can have its own number.
    `build(widths)` makes the network with these numbers and fresh weights.
    """

    widths: tuple[int, ...]
    build: Callable[[Sequence[int]], nn.Module]
    # Which channels can't change, and why, in words; empty if all can change.
    left_alone: str = ""

    def empty(self, widths: Sequence[int]) -> nn.Module:
        """The network at these widths without storage (torch's meta device)."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return self.build(widths)

    def stored_values(self, widths: Sequence[int]) -> int:
        """How many values the network stores at these widths."""
        return count.stored_values(self.empty(widths))


@dataclass(frozen=True)
class Context:
    """The facts that a method may use besides the network and the budget.

    `generator` is on the CPU and seeded for this run alone: draw every random number from it. `trained` is True if the
    network has been trained before (`compress_at` above 0, or a start from finished weights), and False if it holds its
    initial weights. `family` is the network's registered family (`bench.model.Model.family`), "" if it has none. With
    `account_only` the network is counted and thrown away, as by `bench footprint`: a method may skip costly work that
    changes weights but no shape. `training_images` is the number of training images, for losses that weigh a prior
    against the data; it is 0 if unknown.
    """

    generator: torch.Generator
    trained: bool
    family: str = ""
    # Finds the groups of channels, which takes seconds.
    find_resizable: Callable[[], Resizable] | None = None
    account_only: bool = False
    training_images: int = 0
    # The seeds of a network of the same method, if this network starts from that network's compressed layers.
    seeds: Sequence[int] = ()

    def draw_seeds(self, number: int, below: int) -> list[int]:
        """Draw `number` whole numbers from 0 to `below` - 1 for the structure. Values that follow from a seed need not
        be stored. If this network starts from another network's compressed layers, it takes that network's seeds."""
        drawn: list[int] = torch.randint(below, (number,), generator=self.generator).tolist()
        return [*self.seeds, *drawn[len(self.seeds) :]][:number]

    @cached_property
    def resizable(self) -> Resizable:
        """The network at other widths, for methods that can't reach a budget otherwise (`bench.allocation.at_budget`).
        Raises BudgetError, with the reason, if none of its channels can change."""
        if self.find_resizable is None:
            raise BudgetError("it needs the network at another width, but this network can't be built at one")
        return self.find_resizable()


@dataclass(frozen=True)
class CodeSpace:
    """The pieces and codes of generated kernels, for pictures.

    `pieces` `(K, height, width)` are combined into kernels; they are laid out as pictures. `codes` are the coefficients
    of the combinations, `(n, K)` for each layer by name.
    """

    pieces: Tensor
    codes: Mapping[str, Tensor]


# The gradient that a backward pass gives each parameter. "exact": the derivative of the loss, extra loss included.
# "scaled": that derivative times factors above 0, one for each value. "straight-through": where the derivative is zero
# or doesn't exist, another gradient takes its place.
Gradients = Literal["exact", "scaled", "straight-through"]


class Compressed:
    """A compressed network, which the harness trains. Each run has its own, which may change.

    Most methods return a plain `Compressed(network, structure)`. A subclass overrides what its method needs.

    The harness trains it, or a user's own loop does (`bench.compress`). The loop gives `parameter_groups` to the
    optimiser, adds `extra_loss`, and calls `step_done` after each step, `settle` after the last step, and then
    `finish`.

    Records and audits show by themselves the rules that only some methods have (`decay`, `rates`, `extra_loss`) and the
    declared `gradients`. The conformance kit checks that declaration.
    """

    # The masked parameters with their masks, found once for all steps.
    _masked: list[tuple[nn.Parameter, Tensor]] | None = None

    def __init__(
        self,
        network: nn.Module,
        structure: Mapping[str, Any] | None = None,
        solved: Mapping[str, Any] | None = None,
        decay: Mapping[str, float] | None = None,
        rates: Mapping[str, float] | None = None,
        gradients: Gradients = "exact",
        half: Collection[str] = (),
        seeds: Sequence[int] = (),
    ) -> None:
        self.network = network
        self._structure = structure or {}
        # The sizes chosen to meet the budget (a code length, ranks), for the record; numbers or short text.
        self.solved = solved or {}
        # Factors on the schedule's weight decay, and on its learning rate, by parameter name. Parameters that are not
        # named have the factor 1.
        self.decay = _factors("decay", decay)
        self.rates = _factors("rates", rates)
        if gradients not in get_args(Gradients):
            raise ValueError(f"gradients can't be {gradients!r}; it is one of {', '.join(get_args(Gradients))}")
        self.gradients = gradients
        # The names of the stored tensors that `settle` rounds to half precision. Each of their values counts two bytes.
        self.half = half
        # The seeds from `Context.draw_seeds`, in the order drawn.
        self.seeds = seeds

    def structure(self) -> Mapping[str, Any]:
        """The network's current shape as JSON, from which `Method.rebuild` makes a network of this shape.

        It names layers and their sizes, never the arguments of a solver: a file must not depend on how a later solver
        answers.
        """
        return self._structure

    def state(self) -> Mapping[str, Any]:
        """Tensors and JSON values, by name, that a run needs to continue, besides the structure and the network's own
        tensors. Masks are buffers of the network."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state`. The harness calls it after `rebuild` and after it has filled in the network's
        tensors."""

    @final
    def parameter_groups(
        self,
        weight_decay: float,
        learning_rate: float | None = None,
        rate_of_layer: Callable[[str], float] | None = None,
    ) -> list[dict[str, Any]]:
        """Parameter groups for a torch optimiser: every trained parameter, with the factors of `decay` and `rates`. Ask
        again whenever the optimiser is made anew.

        `rate_of_layer` gives each layer, by its name in the network before compression, a factor on the learning rate:
        10 for a fresh head, say. It is multiplied with the method's own factor. A parameter that serves several layers
        gets the lowest of their factors.

        A group's `rate` is its factor on the learning rate, for loops that set the rate in each step. If
        `learning_rate` is given, the group's `lr` is that rate times the factor. Raises ValueError if a factor isn't 1
        and `learning_rate` is missing.
        """
        self._masked = None
        self._require_names()
        by_layer = {} if rate_of_layer is None else self._rates_by_layer(rate_of_layer)
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                rate = self.rates.get(name, 1.0) * by_layer.get(name, 1.0)
                groups.setdefault((self.decay.get(name, 1.0), rate), []).append(parameter)
        if learning_rate is None and any(rate != 1 for _, rate in groups):
            raise ValueError(
                "some parameters have learning rates of their own: give parameter_groups the learning_rate"
            )
        return [
            {
                "params": parameters,
                "weight_decay": decay * weight_decay,
                "rate": rate,
                **({} if learning_rate is None else {"lr": rate * learning_rate}),
            }
            for (decay, rate), parameters in groups.items()
        ]

    def _require_names(self) -> None:
        """Raise ValueError if a factor is for no parameter, since it would change nothing."""
        names = {name for name, _ in self.network.named_parameters(remove_duplicate=False)}
        for what, factors in (("decay", self.decay), ("rates", self.rates)):
            if wrong := sorted(factors.keys() - names):
                raise ValueError(f"{what} names {wrong[0]}, which is not a parameter of the compressed network")

    def extra_loss(self, batch: tuple[Tensor, Tensor], output: Any) -> Tensor | None:
        """A number that is added to the task's loss in training; None adds nothing.

        `batch` are the images as the network saw them and their targets, or a part of a batch that doesn't fit into
        memory. `output` is the network's output. A method with a loss of its own overrides this; the conformance kit
        finds gradients that come from elsewhere.
        """
        return None

    def works_for(self) -> Mapping[str, Sequence[str]]:
        """The layers that each parameter serves, by their names in the network before compression. A parameter shared
        by many layers so has a place when layers are treated in groups. By default a parameter serves its own layer, or
        the layers whose kernels depend on it."""
        if isinstance(self.network, GeneratedNetwork):
            return self.network.works_for()
        return {name: [name.rpartition(".")[0]] for name, _ in self.network.named_parameters(remove_duplicate=False)}

    def layer_tensors(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The stored tensors of each layer, by the layer's name in the network before compression.

        They are parameters and persistent buffers, including batch-norm statistics and masks. A tensor's name within
        its layer is the same wherever the layer stands. Each is the tensor itself or a view, so that values copied into
        it are stored. A tensor that serves several layers appears for each of them, as the same object. If other layers
        replaced a layer, they appear by their own names.

        By default these are the tensors of each submodule; for generated kernels, those that the generator names
        (`bench.generated.Generator.layer_tensors`).
        """
        if isinstance(self.network, GeneratedNetwork):
            return self.network.layer_tensors()
        return tensors_by_module(self.network)

    def dense_state(self) -> Mapping[str, Tensor]:
        """The state_dict of the network before compression, with the kernels that this network computes. It may take
        the network apart.

        By default it is the state_dict of the network from `finish`, which names the new layers if the method replaced
        layers.
        """
        return self.finish().state_dict()

    def _rates_by_layer(self, rate_of_layer: Callable[[str], float]) -> dict[str, float]:
        """For each parameter name, the lowest factor of the layers that the parameter serves, wherever it stands in the
        network."""
        names: dict[int, list[str]] = {}
        for name, parameter in self.network.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        served = self.works_for()
        found: dict[str, float] = {}
        for own in names.values():
            layers = [layer for name in own for layer in served.get(name, ())]
            found |= dict.fromkeys(own, min(map(rate_of_layer, layers), default=1.0))
        return found

    @final
    def own_rules(self) -> list[str]:
        """The exceptions of this method, in words."""
        trained = {name for name, parameter in self.network.named_parameters() if parameter.requires_grad}
        said = ["a loss of its own"] if type(self).extra_loss is not Compressed.extra_loss else []
        for factors, what in ((self.decay, "weight decay"), (self.rates, "learning rate")):
            own = sorted({factors[name] for name in factors.keys() & trained if factors[name] != 1})
            if own:
                number = sum(factors.get(name, 1.0) != 1 for name in trained)
                times = ", ".join(f"{factor:g}" for factor in own[:_SHOWN]) + (", ..." if len(own) > _SHOWN else "")
                said.append(f"{what} times {times} for {number} of {len(trained)} parameters")
        return said

    @final
    def step_done(self, progress: float) -> bool:
        """Set to zero the values that masks leave out, before and after the method's `after_step`. Call it after every
        optimiser step, before gradients are zeroed.

        `progress` is the finished fraction of the training: above 0 after the first step, 1 after the last. Returns
        whether parameters were replaced; then make the optimiser anew, from `parameter_groups`.
        """
        if self._masked is None:
            self._masked = masks.pairs(self.network)
        # The optimiser has changed these values, too, by gradients that may be huge. No method shall choose by them.
        masks.enforce(self._masked)
        replaced = self.after_step(progress)
        if replaced:
            self._masked = masks.pairs(self.network)
        masks.enforce(self._masked)
        return replaced

    def after_step(self, progress: float) -> bool:
        """The method's work after an optimiser step, for methods to override. Only `step_done` calls it; `progress` is
        the finished fraction of the schedule.

        Parameters have their gradients, or None if the harness only asks for the final size. Values that masks
        (`bench.masks`) leave out are zero. Masks may change in place; the harness then zeroes what they leave out.
        Returns whether parameters were replaced by others; then the optimiser starts afresh.
        """
        return False

    def settle(self) -> None:
        """Round or cluster values here. Called once after the last epoch, before the network is measured or saved."""

    def finish(self) -> nn.Module:
        """The network for deployment, in eval mode. It must give the same outputs. It may take the network apart. From
        here on `structure` describes the deployed network, for `bench export`.

        By default this removes what the shared mechanisms add: generated kernels are computed for good, and masks are
        removed.
        """
        masks.detach(self.network)
        return self.network.materialise() if isinstance(self.network, GeneratedNetwork) else self.network

    def pictures(self) -> Mapping[str, CodeSpace]:
        """The pieces from which kernels are combined, for reports to show, by a name for each set of shared pieces.
        Empty if the kernels are not combinations."""
        return {}


# The most factors that one line shows.
_SHOWN = 3


def _factors(name: str, given: Mapping[str, float] | None) -> Mapping[str, float]:
    """The factors by parameter name. Raises ValueError."""
    for parameter, factor in (given or {}).items():
        is_number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not (is_number and math.isfinite(factor) and factor >= 0):
            raise ValueError(f"{name} of {parameter} can't be {factor!r}; a factor is a number, and not negative")
    return given or {}


@dataclass(frozen=True)
class Method:
    """Base of every method plugin: a frozen dataclass whose fields are its options.

    A plugin is one file or folder with one subclass; the name of the file or folder is the method's name. The docstring
    describes the method, its paper and the formula for its stored values; `bench list` shows its first line.
    """

    # Raise it when results change for the same options. An id contains it if it is above 1, so old results stay
    # separate.
    revision: ClassVar[int] = 1

    @property
    def role(self) -> str:
        """The method's part in a comparison, for reports: one of `bench.roles.ROLES`, or "" for an ordinary method."""
        return ""

    @property
    def citation(self) -> str:
        """The paper as a BibTeX entry, for the bibliography of a comparison; empty if there is none."""
        return ""

    @property
    def compress_at(self) -> float:
        """The point on the schedule, from 0 to 1, at which `compress` is called. Before it, training is that of the
        dense run. It is rounded to whole epochs. A subclass overrides this with a value, or with a field to make it an
        option."""
        return 0.0

    @property
    def trains(self) -> bool:
        """Whether the network is trained from `compress_at` to the end of the schedule, like every method in a
        comparison. If not, the harness measures the network as `compress` returned it."""
        return True

    @property
    def at_size(self) -> Literal["at once", "at the end"]:
        """When the network has its final size: when compressed, or only at the end of training, brought there by
        `after_step`.

        After `after_step(1.0)` it must have that size, whatever calls came before: before any training, the harness
        tests this on a network that it throws away. The exact number of values may depend on the training, within the
        tolerance of budgets.
        """
        return "at once"

    @property
    def needs_trained(self) -> bool:
        """Whether `compress` needs a trained network. If it does, a sweep that would compress initial weights is
        refused before any training."""
        return False

    @property
    def sized_by_budget(self) -> bool:
        """Whether the budget decides the size. If not (dense, or an option fixes the size), the method runs once per
        seed, and its records have no budget."""
        return True

    @property
    def sized_by_bytes(self) -> bool:
        """Whether a budget of bytes decides the size.

        By default it does if a budget of values does: the harness then searches for the number of values that gives the
        requested bytes. A method whose number of values can't shrink (clusters, masks over random weights) returns True
        and lists its `sizes`.
        """
        return self.sized_by_budget

    def sizes(self, network: nn.Module) -> Sequence[Mapping[str, Any]]:
        """The sizes that the method can reach in this network, for budgets of bytes. Each is a set of options, by name,
        that replace the method's own; the first gives the fewest bytes, the last the most. The harness takes the one
        nearest to the budget and calls `compress` without `values`. Empty: the number of values decides the bytes."""
        return ()

    def identity(self) -> str:
        """A text for the run's id that tells this method from another with the same options: the content of a file that
        it reads, say. Ids don't contain file locations. Raises InputError if the file can't be used."""
        return ""

    def exceptions(self) -> str:
        """The advantages that only this method has, in a few words, for every report to show: epochs spent on something
        that it reuses, say. Empty: none."""
        return ""

    def check_size(self, network: nn.Module, context: Context) -> None:
        """Raise BudgetError, with the reason and a way out, if the options would make this network larger.

        The harness calls it before `compress` if `sized_by_budget` is False, since it refuses a network larger than the
        dense one in the end. An early check saves the user's time and memory. By default nothing is checked.
        """

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        """The network that is trained from here on. It may reuse or change `network`, which belongs to this run.

        `values` is the number of values that the result must store, as `bench.count.stored_values` counts them: every
        parameter and persistent buffer once, without batch-norm statistics. It is None if `sized_by_budget` is False.
        Put tensors that a seed regenerates into a buffer with `persistent=False`, and the seed into the structure.

        Raises BudgetError, with the reason, if the budget can't be met.
        """
        raise NotImplementedError

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        """A compressed network of the shape that `structure` describes, at any moment of training. The harness then
        fills in the stored values.

        `network` is a fresh one, and the context's random numbers have no meaning here. The shape must follow from the
        network and the structure alone, not from a file or from an option that the structure doesn't hold. (Options may
        decide how training continues.) By default this is a plain Compressed of the network itself. That suits methods
        that return one and leave its layers unchanged, with or without masks. Raises ValueError if the structure
        doesn't fit the network.
        """
        return Compressed(network, structure)


# The default of an option that other options decide if the user doesn't set it (`none` on the command line). The class
# replaces it in its __post_init__, so that the field then has its declared type.
DECIDED_BY_OTHERS: Any = None
