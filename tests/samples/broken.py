"""A method for tests of the conformance kit: it keeps some values of the kernels, and breaks one rule if told to."""

import random
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy
import torch
from torch import Tensor, nn

from bench import count, masks
from bench.errors import BudgetError
from bench.method import Compressed, Context, Method
from bench.selection import main_convolutions


@dataclass(frozen=True)
class Broken(Method):
    """Random values of the kernels are kept, the rest are zeros."""

    how: Annotated[str, "which rule to break; empty: none"] = ""

    @property
    def sized_by_budget(self) -> bool:
        return self.how != "fixed"

    @property
    def at_size(self) -> Literal["at once", "at the end"]:
        return "at the end" if self.how == "ends dead" else "at once"

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        if self.how == "returns a module":
            return network
        changed = self._change(network, values, context)
        return BrokenNetwork(changed, self.how)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        """As files of a method that can't be rebuilt otherwise: from the option, and with no values."""
        return BrokenNetwork(self._break(network), self.how)

    def _change(self, model: nn.Module, budget: int | None, context: Context) -> nn.Module:
        if self.how == "crash":
            raise RuntimeError("no such layer")
        kernels = {f"{name}.weight": conv.weight for name, conv in main_convolutions(model).items()}
        sizes = [kernel.numel() for kernel in kernels.values()]
        fixed = count.stored_values(model) - sum(sizes)
        keep = sum(sizes) // 2 if budget is None else budget - fixed
        silent = {"refuses without a number": True, "refuses the impossible without a number": keep < 1}
        if silent.get(self.how):
            raise BudgetError("that is too small")
        if self.how == "refuses all":
            raise BudgetError(f"the rest stores {fixed + sum(sizes):,} values; {budget:,} were asked for")
        if keep < 1 and self.how != "never refuses":
            raise BudgetError(f"the rest stores {fixed:,} values; {budget:,} were asked for")
        keep = max(1, keep)
        if self.how == "stores more":
            keep = min(sum(sizes), 2 * keep)
        if self.how in ("idle parameter", "idle buffer", "frozen parameter"):
            keep -= _IDLE
        if self.how == "ends dead":
            keep += _DEAD
        scores = torch.rand(sum(sizes), generator=context.generator)
        if self.how == "numpy":
            scores = torch.from_numpy(numpy.random.default_rng().random(sum(sizes)))
        if self.how == "random":
            scores += random.SystemRandom().random() * torch.linspace(0, 1, sum(sizes))
        if self.how == "empty layer":
            scores[: sizes[0]] = -1
        kept = torch.zeros(sum(sizes), dtype=torch.bool)
        kept[scores.topk(keep).indices] = True
        chosen = {
            name: part.view(kernel.shape)
            for (name, kernel), part in zip(kernels.items(), kept.split(sizes), strict=True)
        }
        if self.how == "unmasked":
            with torch.no_grad():
                for name, mask in chosen.items():
                    kernels[name].mul_(mask)
            return model
        masks.attach(model, chosen)
        return self._break(model)

    def _break(self, model: nn.Module) -> nn.Module:
        """What concerns the network that comes out."""
        match self.how:
            case "idle parameter":
                model.register_parameter("idle", nn.Parameter(torch.zeros(_IDLE)))
            case "frozen parameter":
                model.register_parameter("idle", nn.Parameter(torch.zeros(_IDLE), requires_grad=False))
            case "idle buffer":
                model.register_buffer("idle", torch.zeros(_IDLE))
            case "outside":
                model.classifier = nn.Sequential(model.classifier, Shift(model.classifier.weight.detach().sum(1)))
            case "shape by weights":
                largest = int(model.classifier.weight.argmax())
                model.classifier = nn.Sequential(OrderedDict({f"largest_{largest}": model.classifier}))
            case "wide":
                model.classifier = Wide(model.classifier)
            case "one type":
                model.classifier = OneType(model.classifier)
            case "one seed":
                for index, parameter in enumerate(model.parameters()):
                    nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(index))
                for mask in masks.of(model).values():
                    mask.fill_(True)
            case "faint":
                model = Faint(model)
        return model


class BrokenNetwork(Compressed):
    """Breaks its rule later."""

    def __init__(self, network: nn.Module, how: str) -> None:
        structure = {"more": [0.5] * 4000} if how == "values in the structure" else {}
        strange = {"classifer": 1.0}
        decay, rates = (strange if how == f"strange {what}" else None for what in ("decay", "rates"))
        if how == "vast steps":
            rates = {name: 1000.0 for name, _ in network.named_parameters()}
        half = [name for name, _ in network.named_parameters()] if how == "half in name alone" else ()
        super().__init__(network, structure, decay=decay, rates=rates, half=half)
        self.how = how
        self.steps = 0

    def after_step(self, progress: float) -> bool:
        model = self.network
        self.steps += 1
        first = next(iter(masks.of(model).values()), None)
        match self.how:
            case "forgetful":
                with torch.no_grad():
                    model.classifier.bias[0] += self.steps * 1e-3
            case "loosened":
                first.view(-1)[(~first).flatten().nonzero()[0]] = True
            case "loosened at the end" if progress == 1:
                first.fill_(True)
            case "unseeded training":
                next(model.parameters()).data.add_(0.001 * random.SystemRandom().random())
            case "grows" if progress == 1:
                model.register_parameter("more", nn.Parameter(torch.zeros(7)))
            case "ends dead" if progress == 1:
                masks.attach(model, {"classifier.weight": torch.zeros(10, _DEAD // 10, dtype=torch.bool)})
        return False

    def settle(self) -> None:
        if self.how == "unseeded settling":
            next(self.network.parameters()).data.add_(torch.from_numpy(numpy.random.default_rng().random(1)).float())
        if self.how == "rounds unsaid":
            for parameter in self.network.parameters():
                parameter.data.copy_(parameter.data.half().float())
        if self.how == "unmasks":
            masks.detach(self.network)

    def finish(self) -> nn.Module:
        if self.how == "finishes differently":
            self.network.classifier.bias.data += 1
        return super().finish()


# Values that are stored and used by nothing, and those of the classifier, without which nothing is learned.
_IDLE, _DEAD = 100, 640


class Shift(nn.Module):
    """Adds something that the file doesn't hold."""

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        return logits + self.shift


class Wide(nn.Module):
    """A linear layer in double precision."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear.double()

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features.double()).float()


class OneType(nn.Module):
    """A linear layer with a product of its own, of operands that must have one type."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, features: Tensor) -> Tensor:
        doubled = self.linear.weight @ torch.eye(features.shape[1])
        return self.linear(features).index_add(0, torch.tensor([0]), 0 * doubled[:, :1].float().T)


class Faint(nn.Module):
    """The network with images so faint that it sees nothing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return 1e-6 * self.network(images)
