"""Checks of a method's declarations: its options, its exceptions, its gradients."""

import inspect
from collections.abc import Iterator

import torch

from bench.method import Compressed
from bench.plugins import options
from bench.testing import gradients
from bench.testing.checks.failed import CheckFailed
from bench.testing.subject import SCHEDULE, Subject
from bench.training.loop import Training

# The number of places in the schedule at which gradients are tested.
_PLACES = 5


def says_what_it_does(subject: Subject) -> None:
    """The docstring begins with a line that `bench list` can show, and every option has a meaning."""
    cls = type(subject.method)
    first = (inspect.getdoc(cls) or "").partition("\n")[0]
    if not first.endswith("."):
        raise CheckFailed("its class needs a docstring whose first line is one sentence that says what it does")
    for option in options.describe(cls):
        if not option.meaning:
            raise CheckFailed(f'its option {option.name} needs a meaning: {option.name}: Annotated[..., "the meaning"]')


def declares_exceptions(subject: Subject) -> None:
    """Reports can show every advantage that only this method has. Its factors on weight decay and learning rate must
    name parameters. Between steps, values may only move to zero, unless `exceptions()` declares more."""
    compressed = subject.compress(subject.possible)
    for training in _on_schedule(subject, compressed):
        training.take_step()
        named = dict(compressed.network.named_parameters())
        before = {name: parameter.detach().clone() for name, parameter in named.items()}
        # Call it once more, as if the step had been done twice: a method does each piece of its work only once.
        if compressed.step_done(training.step / training.trainer.total_steps) or subject.method.exceptions():
            return
        for name, parameter in named.items():
            moved = (parameter.detach() != before[name]) & (parameter.detach() != 0)
            if moved.any():
                raise CheckFailed(
                    f"after_step() moves {int(moved.sum()):,} values of {name}: train them by a loss of their own "
                    "(extra_loss), or declare this in exceptions()"
                )


def gives_the_gradients_it_declares(subject: Subject) -> None:
    """At five places of the schedule, the gradients are the derivative of the loss, or what `Compressed.gradients`
    declares instead."""
    compressed = subject.compress(subject.possible)
    gradients.shift_norms(compressed.network)
    declared = compressed.gradients
    exact = True
    for place, training in enumerate(_on_schedule(subject, compressed)):
        batch = next(training.trainer.train.batches(training.epoch))
        # At the first and last place, test each group of parameters alone, which costs most; in between test all
        # together.
        for found in gradients.differences(training, batch, place, together=0 < place < _PLACES - 1):
            exact &= found.is_exact
            wrong = not found.is_exact and (declared == "exact" or (declared == "scaled" and found.opposed))
            if wrong:
                raise CheckFailed(
                    f"the gradient of its parameters ({found.kind}) is not the derivative of its loss: along "
                    f"random directions it says {found.by_gradient:.3g}, but the loss changes by {found.by_loss:.3g}; "
                    "put a loss of its own into Compressed.extra_loss, and declare scaled or straight-through "
                    f"gradients by Compressed(..., gradients=...), which is {declared!r} here"
                )
    if exact and declared != "exact":
        raise CheckFailed(f"its gradients are exact, but it declares that they are {declared}: remove the declaration")


def _on_schedule(subject: Subject, compressed: Compressed) -> Iterator[Training]:
    """The training at five places of the schedule, to examine and to take a step."""
    trainer = subject.tiny.trainer(SCHEDULE, torch.device("cpu"))
    training = Training(trainer, compressed, subject.tiny.first_pass(subject.method, SCHEDULE))
    first, last = training.step, trainer.total_steps - 1
    for place in range(_PLACES):
        while training.step < first + (last - first) * place // (_PLACES - 1):
            training.take_step()
        yield training
