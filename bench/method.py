"""The contract of a method plugin: it turns a network and a budget into a smaller network. It never sees data.

Two objects: the Method is frozen and has the options; the Compressed is made for each run, has the network, and is free
to change. What a method may import is a test, tests/project/test_layout.py: the public face (the files of bench/),
`kernels`, `measure` and `files`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from bench import count, masks
from bench.errors import BudgetError
from bench.generated import GeneratedNetwork
from bench.surgery import tensors_by_module


@dataclass(frozen=True)
class Resizable:
    """A network at other widths: `build(widths)` makes it with fresh weights and these numbers of channels, one for
    each group of channels that can have a number of its own. `widths` are the network's own."""

    widths: tuple[int, ...]
    build: Callable[[Sequence[int]], nn.Module]
    # Which channels stay as they are, and why, in words; empty where all can change.
    left_alone: str = ""

    def empty(self, widths: Sequence[int]) -> nn.Module:
        """The network at these widths without storage (torch's meta device)."""
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return self.build(widths)

    def stored_values(self, widths: Sequence[int]) -> int:
        """What it stores at these widths."""
        return count.stored_values(self.empty(widths))


@dataclass(frozen=True)
class Context:
    """The facts that a method may use besides the network and the budget.

    `generator` is on the CPU and seeded for this run alone: draw every random number from it. `trained` says whether
    the network has been trained up to here (`compress_at` above 0, or a start from finished weights) or holds its
    initial weights. `family` is the network's registered kind (`bench.model.Model.family`), "" if it has none.
    `account_only` says that the network is counted and thrown away, as by `bench footprint`: a method may leave out
    costly work that changes weights and no shape. `training_images` is how many images it will be trained on, for
    losses that weigh a prior against the data; 0 where nobody knows.
    """

    generator: torch.Generator
    trained: bool
    family: str = ""
    # Looks for the widths, which takes seconds.
    find_resizable: Callable[[], Resizable] | None = None
    account_only: bool = False
    training_images: int = 0
    # Of another network of the same method, whose compressed layers this one is to start from.
    seeds: Sequence[int] = ()

    def draw_seeds(self, number: int, below: int) -> list[int]:
        """So many whole numbers from 0 on, for the structure: what follows from a seed need not be stored. They are
        those of the network whose compressed layers this one is to start from, if there is one."""
        drawn: list[int] = torch.randint(below, (number,), generator=self.generator).tolist()
        return [*self.seeds, *drawn[len(self.seeds) :]][:number]

    @cached_property
    def resizable(self) -> Resizable:
        """The network at other widths, for methods that can't reach a budget otherwise (`bench.allocation.at_budget`).
        Raises BudgetError if none of its channels can have another number, with the reason."""
        if self.find_resizable is None:
            raise BudgetError("it takes the network at another width, and there is no way here to make one")
        return self.find_resizable()


@dataclass(frozen=True)
class CodeSpace:
    """The pieces and codes of generated kernels, to look at. `pieces` `(K, height, width)` are combined into kernels,
    laid out as pictures; `codes` are the coefficients of the combinations, `(n, K)` for each layer by name."""

    pieces: Tensor
    codes: Mapping[str, Tensor]


# What a backward pass gives each parameter: the derivative of the loss, extra loss included; that times factors above
# 0, its own for each value; or, where that derivative is zero or none, another that is passed on in its place.
Gradients = Literal["exact", "scaled", "straight-through"]


class Compressed:
    """A compressed network, which the harness trains from here on. One for each run, free to change.

    Most methods return a plain `Compressed(network, structure)`. A subclass overrides what its method needs.

    Whoever trains it, the harness or a loop of a person's own (`bench.compress`), gives `parameter_groups` to the
    optimiser, adds `extra_loss`, and calls `step_done` after each step, `settle` after the last one, and `finish`.

    What it has that others have not (`decay`, `rates`, `extra_loss`) is in records and audits by itself, and so is what
    it says of its gradients, which the kit holds it to.
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
        # What was chosen to meet the budget (a code length, ranks), for the record; numbers or short text.
        self.solved = solved or {}
        # Factors on the schedule's weight decay, and on its learning rate, by parameter name; those that are not named
        # have 1.
        self.decay = decay or {}
        self.rates = rates or {}
        self.gradients = gradients
        # The stored tensors, by name, that `settle` rounds to half precision: bytes count two for each of their values.
        self.half = half
        # What it drew by `Context.draw_seeds`, in that order.
        self.seeds = seeds

    def structure(self) -> Mapping[str, Any]:
        """The network's shape as it is now, as JSON, from which `Method.rebuild` makes a network of this shape. It
        names layers and their sizes, never an argument of a solver: files must not depend on tomorrow's answer."""
        return self._structure

    def state(self) -> Mapping[str, Any]:
        """What else a run needs to go on from here, beside the structure and the network's tensors: tensors and JSON
        values by name. Masks are buffers of the network."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back the result of `state`, after `rebuild` and after the network's tensors were filled in."""

    @final
    def parameter_groups(
        self,
        weight_decay: float,
        learning_rate: float | None = None,
        rate_of_layer: Callable[[str], float] | None = None,
    ) -> list[dict[str, Any]]:
        """For an optimiser of torch: every parameter that trains, all treated alike but for the factors of `decay` and
        `rates`. To be asked for again where the optimiser is made anew.

        `rate_of_layer` gives each layer, by its name in the network as it was, a factor on the learning rate: 10 for
        those of a fresh head, say. It is multiplied with that of the method; what serves several layers has the lowest
        of theirs.

        `rate` of a group is its factor on the learning rate, for loops that set that in each step. With `learning_rate`
        given, `lr` of a group is that times its factor. Raises ValueError if there are factors and it is not given.
        """
        self._masked = None
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

    def extra_loss(self, batch: tuple[Tensor, Tensor], output: Any) -> Tensor | None:
        """A number that is added to the task's loss in training; None: nothing. `batch` are images as the network saw
        them and their targets, or a part of a batch where that doesn't fit into memory; `output` is what the network
        gave. A method that adds any overrides this: gradients that come from elsewhere are found by the kit."""
        return None

    def works_for(self) -> Mapping[str, Sequence[str]]:
        """The layers that each parameter serves, by the names of the network as it was: so that what makes many layers'
        weights has a place where layers are treated in groups. By default its own layer, or those whose kernels depend
        on it."""
        if isinstance(self.network, GeneratedNetwork):
            return self.network.works_for()
        return {name: [name.rpartition(".")[0]] for name, _ in self.network.named_parameters(remove_duplicate=False)}

    def layer_tensors(self) -> Mapping[str, Mapping[str, Tensor]]:
        """The stored tensors of each layer, by the layer's name in the network as it was: parameters and persistent
        buffers, batch norm's statistics and masks too. Each has a name of its own that is the same wherever that layer
        stands.

        They are the tensors themselves or views, so that values copied into them are stored. A tensor that serves
        several layers is there for each of them, as the same object. A layer with other layers in its place is there by
        their names. By default the tensors of each submodule; for generated kernels those that the generator names
        (`bench.generated.Generator.layer_tensors`).
        """
        if isinstance(self.network, GeneratedNetwork):
            return self.network.layer_tensors()
        return tensors_by_module(self.network)

    def dense_state(self) -> Mapping[str, Tensor]:
        """The state_dict of the network as it was, with the kernels that this one amounts to. It may take the network
        apart.

        By default that of what `finish` gives, which names other layers where these were replaced by others.
        """
        return self.finish().state_dict()

    def _rates_by_layer(self, rate_of_layer: Callable[[str], float]) -> dict[str, float]:
        """The lowest factor of the layers that each parameter serves, wherever it stands in the network."""
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
        """To be called after every step of the optimiser, before gradients are zeroed: what the method does in
        training (`after_step`), and then what masks leave out is zeroed.

        `progress` is the fraction of the training that is done: above 0 after the first step, 1 after the last. Returns
        whether parameters were replaced: then the optimiser must be made anew, of `parameter_groups`.
        """
        replaced = self.after_step(progress)
        if replaced or self._masked is None:
            self._masked = masks.pairs(self.network)
        masks.enforce(self._masked)
        return replaced

    def after_step(self, progress: float) -> bool:
        """For methods to override, and called by `step_done` alone; `progress` is the fraction of the schedule done.

        Gradients are there, but None if the harness only asks for the final size. Masks (`bench.masks`) may be
        changed in place; what they leave out is zeroed after the call. Returns whether parameters were replaced by
        others: then the optimiser starts afresh.
        """
        return False

    def settle(self) -> None:
        """Called once after the last epoch, before anything is measured or saved: the place to round or to cluster."""

    def finish(self) -> nn.Module:
        """The network as it is deployed, in eval mode; it must give the same outputs. It may take the network apart.
        From here on `structure` tells of the network as it is deployed, for `bench export`.

        By default without what the shared mechanisms add to it: generated kernels are computed for good, masks come
        off.
        """
        masks.detach(self.network)
        return self.network.materialise() if isinstance(self.network, GeneratedNetwork) else self.network

    def pictures(self) -> Mapping[str, CodeSpace]:
        """What the kernels are combined from, for reports to show, by a name for each set of shared pieces; empty if
        kernels are no combinations."""
        return {}


# Factors that a line has room for.
_SHOWN = 3


@dataclass(frozen=True)
class Method:
    """Base of every method plugin: a frozen dataclass whose fields are its options.

    A plugin is one file or folder with one subclass; its name is the method's name. The docstring says what the method
    does, the paper it comes from and the formula for its stored values; its first line is shown by `bench list`.
    """

    # Raise it when results change for the same options. It is in ids when above 1, so that old results stay apart.
    revision: ClassVar[int] = 1

    @property
    def role(self) -> str:
        """Its part in a comparison, for reports: one of `bench.roles.ROLES`, or "" for a method like others."""
        return ""

    @property
    def citation(self) -> str:
        """The paper as a BibTeX entry, for the bibliography of a comparison; empty if there is none."""
        return ""

    @property
    def compress_at(self) -> float:
        """Where on the schedule, from 0 to 1, `compress` is called. Before that, training is that of the dense run.
        Rounded to whole epochs. A subclass overrides this with a value, or with a field to make it an option."""
        return 0.0

    @property
    def trains(self) -> bool:
        """Whether it is trained from `compress_at` to the end of the schedule, as all methods are that are compared.
        One that is not is measured as it was compressed."""
        return True

    @property
    def at_size(self) -> Literal["at once", "at the end"]:
        """Whether the network has its final size when compressed, or larger at first and brought there by `after_step`.

        After `after_step(1.0)` it must be there, whatever calls came before: before anything is trained, the harness
        asks a network that it throws away. How many values it is exactly may depend on what was trained, within the
        tolerance of budgets.
        """
        return "at once"

    @property
    def needs_trained(self) -> bool:
        """Whether `compress` makes sense on a trained network alone. A sweep that would have it compress initial
        weights is refused before anything is trained."""
        return False

    @property
    def sized_by_budget(self) -> bool:
        """Whether the budget decides the size. A method that is not (dense, or an option that fixes the size) is run
        once per seed, and its records ask for no budget."""
        return True

    @property
    def sized_by_bytes(self) -> bool:
        """Whether a budget of bytes decides the size; by default where one of values does, for the harness then looks
        for how many values have so many bytes. A method whose values don't shrink (clusters, masks over random weights)
        says so here, and lists its `sizes`."""
        return self.sized_by_budget

    def sizes(self, network: nn.Module) -> Sequence[Mapping[str, Any]]:
        """For budgets of bytes: the options (by name, in place of those that it has) by which it can be of other sizes
        in this network, from the fewest bytes to the most. The harness takes those that come nearest to the budget, and
        calls `compress` without `values`. Empty: values decide how many bytes it has."""
        return ()

    def identity(self) -> str:
        """What tells this method from one with the same options, for the run's id: the content of a file that it reads,
        say, since where files lie is no part of ids. Raises InputError if the file can't be used."""
        return ""

    def exceptions(self) -> str:
        """What this method has that the others have not, in a few words, for every report to show: epochs spent on
        something that it reuses, say. Empty: nothing."""
        return ""

    def check_size(self, network: nn.Module, context: Context) -> None:
        """Asked before `compress` where `sized_by_budget` is False: raise BudgetError, with the reason and a way out,
        for options that would make this network larger. So nobody waits, or runs out of memory, for what the harness
        refuses in the end: whatever stores more than the dense network. By default nothing is checked."""

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        """The network that is trained from here on. It may reuse or change `network`, which belongs to this run.

        `values` is the number of values the result shall store, as `bench.count.stored_values` counts them: every
        parameter and persistent buffer once, but no batch-norm statistics. It is None if `sized_by_budget` is False.
        What a seed regenerates belongs in a buffer with `persistent=False`, made from a seed in the structure.

        Raises BudgetError, with the reason, where the budget can't be met.
        """
        raise NotImplementedError

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        """A compressed network of the shape that `structure` tells of, at any moment of training, for stored values to
        be filled in. `network` is a fresh one, and the context's random numbers mean nothing. The shape must follow
        from these alone: no file, and no option that is not in the structure. (Options may say how training goes on.)
        By default a plain Compressed of the network itself, which suits methods that return one and leave its layers
        as they are, masks or not. Raises ValueError if the network is not one that the structure can be of.
        """
        return Compressed(network, structure)


# The default of an option whose value other options decide where nothing is said (`none` on the command line): the
# class replaces it in its __post_init__. So the field holds what its type says.
DECIDED_BY_OTHERS: Any = None
