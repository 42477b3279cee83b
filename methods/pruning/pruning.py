"""Structured pruning: removes whole channels by torch-pruning."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch_pruning import importance as library

from bench import budget as budgets
from bench import count
from bench.errors import BudgetError, InputError
from bench.files.found_structure import FOUND_IN, FoundStructure, MayBeFound, given_path, require_alone
from bench.measure import channel_groups
from bench.measure.channel_groups import Graph, in_words
from bench.measure.fresh_weights import at_channels
from bench.method import DECIDED_BY_OTHERS, Compressed, Context
from bench.methods.pruning.channels_to_cut import choose, removal_order
from bench.methods.pruning.progress import Progress, nothing_to_do
from bench.roles import GLOBAL_PRUNING, LAYERWISE_PRUNING, RANDOM_PRUNING
from bench.surgery import Channels, changed_channels, channels_of, give_channels


@dataclass(frozen=True)
class Pruning(MayBeFound):
    """Removes the least important channels: layers have fewer filters, and nothing is skipped or looked up.

    Channels that depend on each other (such as those of all layers that a shortcut adds up) are cut together.
    torch-pruning finds them (Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023). A convolution with a
    kept input channels and b kept output channels stores

        a b kh kw    values

    and neither masks nor indices. Channels are cut in the order of their `importance`, a score of torch-pruning, until
    the budget is met. With `scope=global` all channels of the network compete; with `layerwise` each group loses the
    same share. `until` prunes in stages. With `structure` the network gets the channels of another run and is trained
    from initial weights (Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019).

    Differences from the papers: scores are not divided by their mean over the group; `bn-scale` trains without the L1
    penalty. docs/methods/pruning.md has every importance with its paper, and the channels that are never cut.
    """

    importance: Annotated[
        Literal["lamp", "group-norm", "magnitude", "bn-scale", "taylor", "random"], "what a channel is worth"
    ] = "lamp"
    scope: Annotated[Literal["global", "layerwise"], "which channels compete; layerwise: the same share of each"] = (
        "global"
    )
    floor: Annotated[float, "the share of its channels that a group keeps if the budget allows"] = 0.1
    until: Annotated[float | None, "prune gradually, up to there on the schedule; none: at once"] = None
    stages: Annotated[int, "with until: how often"] = 10
    structure: Annotated[Path | None, "another run, whose numbers of channels are trained from scratch"] = None
    compress_at: Annotated[
        float, "where on the schedule pruning begins; 0: with the initial weights; none: 0.5, and 0 with structure"
    ] = DECIDED_BY_OTHERS

    def __post_init__(self) -> None:
        if self.structure is not None:
            object.__setattr__(self, "structure", given_path(self.structure))
            require_alone(self, "compress_at")
        if self.compress_at is None:
            object.__setattr__(self, "compress_at", 0.5 if self.structure is None else 0.0)
        if self.structure is not None and self.compress_at > 0:
            raise ValueError(f"structure is trained from scratch; leave compress_at={self.compress_at} out")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor can't be {self.floor}; it is a fraction from 0 to 1, and less than 1")
        if self.stages < 1:
            raise ValueError(f"stages can't be {self.stages}; it is at least 1")
        if self.until is None and self.stages != Pruning.stages:
            raise ValueError(f"stages={self.stages} goes with pruning gradually; give until too, as until=0.75")
        if self.until is not None and not self.compress_at < self.until <= 1:
            raise ValueError(
                f"until can't be {self.until}; it lies above compress_at, {self.compress_at}, and at most at 1"
            )
        if self.importance == "taylor" and self.compress_at == 1:
            raise ValueError("importance=taylor needs the gradients of training; compress_at can't be 1")

    @property
    def citation(self) -> str:
        papers = (_PAPERS.get(self.importance),) if self.structure is None else (_RETHINKING,)
        return "\n\n".join(filter(None, (_DEPGRAPH, *papers)))

    @property
    def role(self) -> str:
        if self.structure is not None:
            return ""
        if self.importance == "random":
            return RANDOM_PRUNING
        if self.importance in ("magnitude", "group-norm", "lamp"):
            return GLOBAL_PRUNING if self.scope == "global" else LAYERWISE_PRUNING
        return ""

    @property
    def at_size(self) -> Literal["at once", "at the end"]:
        return "at the end" if self.until is not None or self.importance == "taylor" else "at once"

    @property
    def num_stages(self) -> int:
        return 1 if self.until is None else self.stages

    def found(self, path: Path) -> FoundStructure:
        found = FoundStructure.read(path, "pruning")
        if not isinstance(found.structure.get("channels"), Mapping):
            raise InputError(f"{path} says nothing of channels; give another run of pruning")
        return found

    def _again(self, network: nn.Module, found: FoundStructure, context: Context) -> Compressed:
        """The network with the channels that the other run found, and fresh weights."""
        found.require_initial(context)
        plain = channels_of(network)
        try:
            at_channels(network, found.structure["channels"], context.generator)
        except ValueError as error:
            raise BudgetError(
                f"{found.path.name} has the structure of another network ({found.model}): {error}"
            ) from error
        found.require_same_network(network)
        return PrunedNetwork(network, self, plain, nothing_to_do(), {FOUND_IN: found.epochs})

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        if self.structure is not None:
            return self._again(network, self.found(self.structure), context)
        assert values is not None
        left_alone: dict[str, str] = {}
        groups = channel_groups.find(network, left_alone)
        seed = int(torch.randint(2**31, (), generator=context.generator))
        state = Progress(
            groups, [group.size for group in groups], count.stored_values(network), values, seed, in_words(left_alone)
        )
        made = PrunedNetwork(network, self, channels_of(network), state)
        cut = made.choose(values)
        check_budget(network, state, cut, self.importance)
        if self.at_size == "at once":
            made.cut(cut)
        return made

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        plain = channels_of(network)
        give_channels(network, structure["channels"])
        given = {name: structure[name] for name in (FOUND_IN,) if name in structure}
        return PrunedNetwork(network, self, plain, nothing_to_do(), given)


class PrunedNetwork(Compressed):
    """A network whose channels are cut, at once or in stages. `plain` has the channels of its layers before pruning.
    `given` has further entries of its structure."""

    def __init__(
        self,
        network: nn.Module,
        method: Pruning,
        plain: Channels,
        progress: Progress,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(network)
        self.given = given or {}
        self.method = method
        self.plain = plain
        self.progress = progress
        self._say_what_is_kept()

    def structure(self) -> Mapping[str, Any]:
        return {"channels": changed_channels(self.network, self.plain), **self.given}

    def state(self) -> Mapping[str, Any]:
        return self.progress.plain()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.progress = Progress.of(state, next(self.network.parameters()).device)
        self._say_what_is_kept()

    def after_step(self, progress: float) -> bool:
        method, state = self.method, self.progress
        if method.at_size == "at once":
            return False
        due = self._due(progress)
        if due == state.stage:
            return False
        if method.importance == "taylor":
            state.remember_gradients(self.network)
            if state.steps < _GRADIENTS and progress < 1:
                return False
        left = (1 - due / method.num_stages) ** 3
        self.cut(self.choose(round(state.budget + left * (state.dense - state.budget))))
        state.stage = due
        return True

    def settle(self) -> None:
        if self.method.at_size == "at the end" and self.progress.stage < self.method.num_stages:
            raise RuntimeError(
                f"nothing was cut: no step of training came after compress_at={self.method.compress_at}; give a "
                "smaller one"
            )

    def choose(self, target: int) -> list[list[int]]:
        """The channels to cut in each group so that the network stores about `target` values."""
        method, state = self.method, self.progress
        order = removal_order(self._scores(), state.groups, state.full, method.floor, method.scope == "layerwise")
        return choose(order, len(state.groups), channel_groups.stored_values(self.network, state.groups), target)

    def cut(self, numbers_of_groups: Sequence[Sequence[int]]) -> None:
        """Cut these channels of each group, and forget the gradients collected so far."""
        state = self.progress
        pairs = list(zip(state.groups, numbers_of_groups, strict=True))
        channel_groups.prune(self.network, {group.root: group.channels(numbers) for group, numbers in pairs if numbers})
        state.groups = [replace(group, size=group.size - len(numbers)) for group, numbers in pairs]
        state.steps, state.squares = 0, {}
        self._say_what_is_kept()

    def _due(self, progress: float) -> int:
        """The number of stages that should be done by now."""
        method = self.method
        if method.until is None:
            return 1
        done = (progress - method.compress_at) / (method.until - method.compress_at)
        return max(self.progress.stage, min(method.stages, math.floor(done * method.stages)))

    def _scores(self) -> list[Tensor | None]:
        """The score of each channel of each group; None if a group has no score."""
        network, state = self.network, self.progress
        name: str = self.method.importance
        if name == "random":
            random = torch.Generator().manual_seed(state.seed + state.stage)
            return [torch.rand(group.size, generator=random) for group in state.groups]
        if name == "taylor":
            if state.steps:
                state.put_gradients(network)
            else:
                name = "magnitude"  # before the first step, used only to see how small the network can become
        with Graph(network) as graph:
            found = [SCORES[name](graph.group(group.root)) for group in state.groups]
        return [
            None if score is None else score.view(group.together, -1).mean(0).cpu()
            for group, score in zip(state.groups, found, strict=True)
        ]

    def _say_what_is_kept(self) -> None:
        groups, full = self.progress.groups, self.progress.full
        shares = [group.size / whole for group, whole in zip(groups, full, strict=True)]
        kept = sum(group.size for group in groups)
        if shares:
            self.solved = {
                "groups": len(shares),
                "channels": kept,
                "of_channels": sum(full),
                "least_kept": min(shares),
            }
        if self.progress.left_alone:
            self.solved = {**self.solved, "left_alone": self.progress.left_alone}


def check_budget(network: nn.Module, state: Progress, cut: Sequence[Sequence[int]], importance: str) -> None:
    """Raise BudgetError unless the network without these channels meets the budget."""
    stored = channel_groups.stored_values(network, state.groups)([len(numbers) for numbers in cut])
    if budgets.met(state.budget, stored):
        return
    asked = f"{state.budget:,} were asked for"
    if state.left_alone:
        asked += f"; left alone are {state.left_alone}"
    if stored < state.budget and not any(cut):
        raise BudgetError(f"pruning can't make a network of {stored:,} values larger; {asked}")
    if not any(cut):
        raise BudgetError(
            f"there is nothing to cut by {importance} in a network that stores {stored:,} values; {asked}"
        )
    left = [group.size - len(numbers) for group, numbers in zip(state.groups, cut, strict=True) if numbers]
    if max(left) == 1 and stored > state.budget:
        raise BudgetError(
            f"with one channel left in each of the {len(left)} groups that can be cut it stores {stored:,} values; "
            f"{asked}"
        )
    raise BudgetError(f"with whole channels the nearest is {stored:,} values; {asked}")


SCORES: dict[str, Callable[..., Tensor | None]] = {
    "lamp": library.LAMPImportance(),
    "group-norm": library.GroupMagnitudeImportance(normalizer=None),
    "magnitude": library.GroupMagnitudeImportance(group_reduction="first", normalizer=None),
    "bn-scale": library.BNScaleImportance(normalizer=None),
    "taylor": library.GroupTaylorImportance(normalizer=None),
}
# The number of training steps whose gradients are combined. Chosen, not measured.
_GRADIENTS = 10


# The paper behind every importance, and the papers behind some of them, as BibTeX.
_DEPGRAPH = """@inproceedings{fang2023depgraph,
  author = {Fang, Gongfan and Ma, Xinyin and Song, Mingli and Mi, Michael Bi and Wang, Xinchao},
  title = {{DepGraph}: Towards Any Structural Pruning},
  booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2023},
}"""
_RETHINKING = """@inproceedings{liu2019rethinking,
  author = {Liu, Zhuang and Sun, Mingjie and Zhou, Tinghui and Huang, Gao and Darrell, Trevor},
  title = {Rethinking the Value of Network Pruning},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2019},
}"""
_PAPERS = {
    "lamp": """@inproceedings{lee2021layer,
      author = {Lee, Jaeho and Park, Sejun and Mo, Sangwoo and Ahn, Sungsoo and Shin, Jinwoo},
      title = {Layer-adaptive Sparsity for the Magnitude-based Pruning},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2021},
    }""",
    "magnitude": """@inproceedings{li2017pruning,
      author = {Li, Hao and Kadav, Asim and Durdanovic, Igor and Samet, Hanan and Graf, Hans Peter},
      title = {Pruning Filters for Efficient {ConvNets}},
      booktitle = {International Conference on Learning Representations (ICLR)},
      year = {2017},
    }""",
    "bn-scale": """@inproceedings{liu2017learning,
      author = {Liu, Zhuang and Li, Jianguo and Shen, Zhiqiang and Huang, Gao and Yan, Shoumeng and Zhang, Changshui},
      title = {Learning Efficient Convolutional Networks through Network Slimming},
      booktitle = {International Conference on Computer Vision (ICCV)},
      year = {2017},
    }""",
    "taylor": """@inproceedings{molchanov2019importance,
      author = {Molchanov, Pavlo and Mallya, Arun and Tyree, Stephen and Frosio, Iuri and Kautz, Jan},
      title = {Importance Estimation for Neural Network Pruning},
      booktitle = {Conference on Computer Vision and Pattern Recognition (CVPR)},
      year = {2019},
    }""",
}
