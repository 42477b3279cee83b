"""A method for tests of the conformance kit: it trains with more than the task's loss, and says so or hides it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.method import Compressed, Context, Method


@dataclass(frozen=True)
class OwnLoss(Method):
    """The network as it is, with a teacher or a prior besides."""

    what: Annotated[str, "teacher, prior or nudge"] = "teacher"
    hidden: Annotated[bool, "by an autograd function, in place of extra_loss"] = False

    @property
    def sized_by_budget(self) -> bool:
        return False

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        return self._made(network, context.training_images)

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        return self._made(network, 0)

    def _made(self, network: nn.Module, images: int) -> Compressed:
        if self.what == "nudge":
            return Nudged(network)
        teacher = copy.deepcopy(network).requires_grad_(False).eval()
        for parameter in teacher.parameters():
            parameter.mul_(1.5)
        loss = {"teacher": Wishes(teacher), "prior": Prior(network, images)}[self.what]
        if self.hidden:
            network.register_forward_hook(lambda module, inputs, output: _Injected.apply(output, loss, inputs[0]))
            return Compressed(network)
        return WithLoss(network, loss)


class WithLoss(Compressed):
    def __init__(self, network: nn.Module, loss: Any) -> None:
        super().__init__(network, rates={"classifier.weight": 0.5})
        self.loss = loss

    def extra_loss(self, batch: tuple[Tensor, Tensor], output: Any) -> Tensor:
        return self.loss(batch[0], output)


class Nudged(Compressed):
    def after_step(self, progress: float) -> bool:
        for parameter in self.network.parameters():
            parameter.data.mul_(0.999)
        return False


class Wishes:
    """Outputs like the teacher's."""

    def __init__(self, teacher: nn.Module) -> None:
        self.teacher = teacher

    def __call__(self, images: Tensor, output: Tensor) -> Tensor:
        wanted = self.teacher.to(images.dtype)(images).softmax(1)
        return functional.cross_entropy(output, wanted)


class Prior:
    """Small weights of the classifier, each image's share of that."""

    def __init__(self, network: nn.Module, images: int) -> None:
        self.weight, self.images = network.classifier.weight, max(1, images)

    def __call__(self, images: Tensor, output: Tensor) -> Tensor:
        return self.weight.square().sum() / self.images


class _Injected(torch.autograd.Function):
    """The outputs as they are; the gradient of another loss is added to theirs."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, loss: Any, images: Tensor) -> Tensor:
        ctx.save_for_backward(output, images)
        ctx.loss = loss
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        output, images = ctx.saved_tensors
        with torch.enable_grad():
            output = output.detach().requires_grad_()
            loss = ctx.loss(images, output)
            if isinstance(ctx.loss, Prior):
                loss.backward()
                return gradient, None, None
            (own,) = torch.autograd.grad(loss, output)
        return gradient + own, None, None
