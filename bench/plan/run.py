"""One run of a plan: a method at a budget in a setting, with a seed and a learning rate."""

import re
from dataclasses import dataclass, replace
from functools import cached_property

from bench.budget import Budget
from bench.files.compressed_backbone import CompressedBackbone
from bench.plan.ids import hash_of
from bench.plan.method_choice import REFERENCE, MethodChoice
from bench.plan.setting import Setting
from bench.plan.spec import Spec
from bench.plugins import options
from bench.store.rates import factor_text
from bench.training.schedule import Schedule


@dataclass(frozen=True)
class Run:
    """One training with one outcome. `rate` is a factor of the schedule's learning rate. It belongs to the run and not
    to the schedule, so that runs at several rates have the same setting."""

    choice: MethodChoice
    budget: Budget | None
    setting: Setting
    seed: int
    rate: float = 1.0

    @cached_property
    def id(self) -> str:
        """A hash of what the run does. It leaves out options at their default, so that a new option changes no old id.
        It leaves out labels, the device and where files lie, too."""
        return hash_of(
            {
                "method": self.choice.in_ids,
                "budget": None if self.budget is None else str(self.budget),
                "seed": self.seed,
                **self.setting.in_ids,
                **({} if self.compressed_backbone is None else {"backbone": self.compressed_backbone.identity}),
                **({} if self.rate == 1 else {"learning_rate_factor": factor_text(self.rate)}),
            }
        )

    @property
    def name(self) -> str:
        """Readable and unique: the name of the run's folder."""
        text = options.write(self.choice.name, self.choice.method, short=True)
        words = [text, *([str(self.budget)] if self.budget else []), *self.rate_words, f"seed{self.seed}"]
        # A file's name has at most 255 bytes. The store puts some of its own around this name.
        return re.sub(r"[^\w.=+-]+", "-", "-".join(words))[:120] + f"-{self.id}"

    @property
    def rate_words(self) -> list[str]:
        """The text for its learning rate, if that is not the schedule's."""
        return [] if self.rate == 1 else [f"rate={factor_text(self.rate)}"]

    @property
    def schedule(self) -> Schedule:
        """The schedule of the run's own epochs. The dense epochs before them follow the setting's schedule, since runs
        share them."""
        schedule = self.setting.schedule
        return replace(schedule, learning_rate=schedule.learning_rate * self.rate)

    @property
    def compress_epoch(self) -> int:
        return self.setting.schedule.compress_epoch(self.choice.method.compress_at)

    @property
    def end_epoch(self) -> int:
        """The number of epochs after which its training ends."""
        return self.setting.schedule.epochs if self.choice.method.trains else self.compress_epoch

    @property
    def needs(self) -> list[tuple["Run", int]]:
        """The states of the dense network that the run takes: the run in whose setting each is trained, and after how
        many epochs. The first is the run's start, the second its teacher."""
        start = [(self, self.compress_epoch)] if self.compress_epoch else []
        return start + ([] if self.teacher is None else [(self.teacher, self.setting.schedule.epochs)])

    @property
    def teacher(self) -> "Run | None":
        """The run that stands for the training of its teacher: the same one without a teacher."""
        if self.setting.schedule.distillation == 0 or not self.choice.method.trains:
            return None
        return replace(self, setting=self.setting.untaught)

    @property
    def trains_itself(self) -> bool:
        """Whether it has epochs besides the dense ones that it shares."""
        return self.end_epoch > self.compress_epoch

    @property
    def compresses_trained(self) -> bool:
        """Whether the network to compress holds more than initial weights."""
        return self.compress_epoch > 0 or self.setting.weights is not None

    @property
    def compressed_backbone(self) -> CompressedBackbone | None:
        """The backbone that the run takes in compressed form. Only a run of the method that compressed the backbone has
        one. Whether it fits is known once the run has compressed its own network."""
        weights = self.setting.weights
        return None if weights is None or self.why_kernels else weights.compressed

    @property
    def why_kernels(self) -> str:
        """Why the run takes the kernels of a compressed backbone in full, whatever its budget. Empty if it can take the
        compressed form, or if there is no compressed backbone."""
        found = None if self.setting.weights is None else self.setting.weights.compressed
        if found is None:
            return ""
        if found.method != self.choice.name:
            return f"{found.name} is a run of {found.method}"
        if self.compress_epoch:
            return f"it is dense up to epoch {self.compress_epoch}"
        return "it comes to its size in training" if self.choice.method.at_size == "at the end" else ""

    @property
    def is_reference(self) -> bool:
        return self.choice.text == REFERENCE

    @property
    def leaves_states(self) -> bool:
        """Whether other runs may start from its states. They start from those at the schedule's own rate."""
        return self.is_reference and self.rate == 1

    def own_spec(self, spec: Spec) -> Spec:
        """The spec that asks for this run alone (and its dense reference), out of the resolved spec of the sweep."""
        budgets = spec.budgets if self.budget is None else [str(self.budget)]
        own = {"methods": [self.choice.written], "budgets": budgets, "seeds": [self.seed], "corruptions": None}
        return spec.model_copy(update={**own, "learning_rates": [factor_text(self.rate)]})
