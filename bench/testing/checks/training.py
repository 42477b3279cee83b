"""Checks of a method's training: it reaches all stored values, steps as far as dense, and works on a GPU."""

import math
import unittest
from dataclasses import replace

import torch
from torch import nn

from bench import count, masks
from bench.errors import first_line
from bench.measure.same_outputs import relative_difference
from bench.method import Compressed
from bench.testing import gradients
from bench.testing.checks.failed import CheckFailed
from bench.testing.subject import OTHER_WEIGHTS, SCHEDULE, Subject
from bench.testing.tiny_problem import LEARNED, PASSES
from bench.training import first_step
from bench.training.loop import Training

# The share of stored values that a gradient must reach. A rectifier may be dead on the few images used here.
_REACHED = 0.99

# That share in a sparse network: a mask may keep weights that lead to a channel which no kept weight reads.
_REACHED_SPARSE = 0.5

# The usual reason, if there are masks.
_OF_MASKS = "; if the next layer's mask leaves out a channel, leave out the filter that makes it"

# The passes of the training on a GPU.
_SHORT_SCHEDULE = 4

# The most by which the first step may move the outputs further, or less far, than a step of dense.
_STEP = 30.0

# Image sides in pixels, large enough for the last layers of a network made for ImageNet. In a feature map of one pixel,
# only the middle of a kernel sees more than padding, so the rest gets no gradient.
_LARGE = 64


def trains_every_value(subject: Subject) -> None:
    """Gradients reach every stored value, so that no value is stored in vain."""
    _check_gradients(subject, "cpu")


def steps_like_dense(subject: Subject) -> str:
    """At the start, a step moves the outputs about as far as a step of the dense network. All methods have the same
    learning rate, and the distance depends on how a method divides a kernel's size among its factors."""
    trainer, method = subject.tiny.trainer(SCHEDULE, torch.device("cpu")), subject.method
    first = subject.tiny.first_pass(method, SCHEDULE)
    dense = first_step.measure(Training(trainer, Compressed(subject.network(OTHER_WEIGHTS)), first))
    step = first_step.measure(Training(trainer, subject.compress(subject.possible), first))
    times = step.outputs / dense.outputs
    kernels = "" if step.kernels is None else f", and its kernels {step.kernels:.3g} times as far as a direct step"
    said = f"a step moves the outputs {times:.3g} times as far as a step of dense{kernels}"
    if not 1 / _STEP <= times <= _STEP:
        raise CheckFailed(
            f"{said}; between {1 / _STEP:.2g} and {_STEP:g} is expected: divide the size of kernels among their "
            "factors in another way, or multiply the factors by a constant"
        )
    return said


def trains_in_bfloat16(subject: Subject) -> None:
    """A step under autocast, in which torch makes results of products bfloat16 and leaves parameters float32. Runs take
    it where the processor is made for it, on a GPU and on many CPUs."""
    method = subject.method
    trainer = replace(subject.tiny.trainer(SCHEDULE, torch.device("cpu")), precision=torch.bfloat16)
    training = Training(trainer, subject.compress(subject.possible), subject.tiny.first_pass(method, SCHEDULE))
    try:
        training.take_step()
    except RuntimeError as error:
        raise CheckFailed(
            f"it can't train in bfloat16: {first_line(error)}; give both operands one type, as by .to(other.dtype), or "
            "leave that part out of autocast (docs/writing-a-method.md, Precision)"
        ) from error
    if not math.isfinite(loss := float(training.loss_sum)):
        raise CheckFailed(f"in bfloat16 the loss of its first step is {loss}")


def can_overfit(subject: Subject) -> None:
    """The harness's own loop, with after_step and masks, can make it memorise a tiny problem."""
    loss = subject.taught.loss
    if loss > LEARNED:
        raise CheckFailed(
            f"it can't memorise {len(subject.tiny.split)} images: its lowest loss in {SCHEDULE + PASSES} passes is "
            f"{loss:.2g} (at most {LEARNED} is expected); check the scale of its weights"
        )


def works_on_a_gpu(subject: Subject) -> None:
    """On a CUDA device the method compresses, computes the same as on the CPU, trains, and moves back to the CPU."""
    if not torch.cuda.is_available():
        raise unittest.SkipTest("there is no CUDA device")
    _check_gradients(subject, "cuda")
    here, there = subject.compressed.network.eval(), subject.compress(subject.possible, device="cuda")
    there.network.eval()
    images = subject.tiny.images()[0]
    with torch.inference_mode():
        output = subject.task.task.output
        difference = relative_difference(output(there.network(images.cuda())).cpu(), output(here(images)))
    if not difference <= 0.01:  # a GPU may round convolutions to ten bits
        raise CheckFailed(f"its outputs on a GPU differ from the CPU's by {difference:.2g} of the largest logit")
    subject.tiny.go_through_schedule(subject.method, there, _SHORT_SCHEDULE)
    there.settle()
    there.network.cpu().eval()
    with torch.inference_mode():
        there.finish().eval()(images)


def _check_gradients(subject: Subject, device: str) -> None:
    compressed = subject.compress(subject.possible, device=device).network.train()
    gradients.shift_norms(compressed)
    images, targets = (tensor.to(device) for tensor in subject.tiny.images(_LARGE))
    kept = masks.of(compressed)
    # A mask may also leave a channel empty, so that batch norm has nothing to scale.
    spared = _of_norms(compressed) if kept else set()
    least = _REACHED_SPARSE if kept else _REACHED
    # Test frozen tensors too: they may be useful without training, but must not be stored in vain.
    stored = {
        name: value
        for name, value in count.stored_tensors(compressed).items()
        if value.is_floating_point() and name not in spared
    }
    reached = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in stored.items()}
    optimizer = torch.optim.SGD([value.requires_grad_() for value in stored.values()], lr=0.01)
    # A value that starts at zero may block a gradient for a step. In training, batch norm cancels a shift before it, so
    # the shift's gradient is zero except for rounding; in the deployed network the shift has an effect.
    for training in (True, True, True, False):
        compressed.train(training)
        optimizer.zero_grad()
        subject.tiny.task.loss(compressed(images), targets, subject.tiny.schedule(1)).backward()
        for name, value in stored.items():
            if value.grad is not None:
                reached[name] |= value.grad != 0
        optimizer.step()
        masks.enforce(masks.pairs(compressed))
    for name, seen in reached.items():
        used = seen[kept[name]] if name in kept else seen
        if used.numel() and not used.float().mean() > least:
            raise CheckFailed(
                f"a gradient reaches only {used.float().mean():.1%} of the values of {name}: the others are stored in "
                f"vain{_OF_MASKS if kept else ''}"
            )


def _of_norms(network: nn.Module) -> set[str]:
    """The names of batch norm's parameters."""
    return {
        f"{path}.{name}"
        for path, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name in module._parameters
    }
