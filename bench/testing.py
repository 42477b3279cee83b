"""The conformance kit: what every method must keep to, as checks that name what is wrong.

For `bench check NAME`, and for pytest in a plugin of one's own:

    @pytest.mark.parametrize("check", testing.CHECKS)
    def test_it_plays_by_the_rules(check: str) -> None:
        testing.run(check, "mine", plugins=["mine.py"])

A check raises CheckFailed, or unittest's SkipTest (which pytest takes as its own) with a reason.
"""

import atexit
import inspect
import json
import struct
import tempfile
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import artifact, budget, count, masks, options, plan
from bench.artifact import Description
from bench.dataset import Split
from bench.errors import BudgetError, InputError
from bench.images import Normalise
from bench.method import Method
from bench.plan import MethodChoice
from bench.reload import TOLERANCE, FreshProcess, NotReloadable, relative_difference
from bench.schedule import Schedule
from bench.train import Epoch, Trainer

# One network of each family.
FAMILIES = ("resnet8", "densenet-bc-40-12", "mobilenetv2-cifar", "shufflenetv2-x0.5-cifar", "resnet18")

# The budgets that are tried, and which of them the checks that need only one prefer.
RATIOS = (2, 4, 8, 16, 32)
_PREFERRED = (4, 2, 8, 16, 32)
_HOPELESS = 100_000
_CHANNELS, _CLASSES = 3, 10
# The share of stored values that a gradient must reach: a rectifier may well be dead on the few images used here.
_REACHED = 0.99
# The tiny problem that must be overfitted: eight images of noise, each of its own class.
_IMAGES, _PIXELS, _PASSES, _LEARNED = 8, 16, 60, 0.3
# Large enough for the last layers of a network made for ImageNet: in an image of one pixel, all but the middle of a
# kernel sees nothing but the padding, and gets no gradient.
_LARGE = 64


class CheckFailed(AssertionError):
    """The method breaks a rule. The message says which, and what to do."""


@dataclass(frozen=True)
class Result:
    """What became of a check: passed, failed or skipped, and why."""

    check: str
    model: str
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Subject:
    """A method on a network, and what checks need of it, made once."""

    choice: MethodChoice
    model: str
    plugins: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        return self.choice.method

    def network(self, seed: int = 0) -> nn.Module:
        return artifact.build_network(self.model, _CHANNELS, _CLASSES, seed)

    def requested(self, ratio: int) -> int | None:
        """How many values this ratio asks for; None where the method's size is fixed."""
        if not self.method.sized_by_budget:
            return None
        return round(count.stored_values(self.network()) / ratio)

    def compress(self, requested: int | None, seed: int = 0, device: str = "cpu") -> nn.Module:
        """The network compressed, as it is when training begins. Raises BudgetError."""
        others = artifact.family(self.model, _CHANNELS, _CLASSES, seed)
        network = self.network(seed).to(device)
        return artifact.compress(self.method, network, requested, seed, self.is_trained, others).to(device)

    @property
    def is_trained(self) -> bool:
        """What the method is told. The weights are initial ones all the same: nothing here takes long."""
        return self.method.moment > 0 or self.method.needs_trained

    def settled(self, requested: int | None, seed: int = 0) -> nn.Module:
        """At the size that it has in the end."""
        compressed = self.compress(requested, seed)
        if self.method.gradual:
            self.method.after_step(compressed, 1.0)
        return compressed

    @cached_property
    def possible(self) -> int | None:
        """Values that the method can be asked for here. Skips where there are none."""
        for ratio in _PREFERRED:
            try:
                self.compress(self.requested(ratio))
            except BudgetError as error:
                reason = str(error)
            else:
                return self.requested(ratio)
        raise unittest.SkipTest(f"no budget from 2x to 32x can be met: {reason}")

    @cached_property
    def taught(self) -> "Taught":
        """The network after training on the tiny problem."""
        compressed = self.compress(self.possible)
        stored = count.stored_values(self.settled(self.possible))
        kept = {name: mask.clone() for name, mask in masks.of(compressed).items()}
        history = _teach(self.method, compressed)
        self.method.settle(compressed)
        return Taught(compressed.eval(), stored, kept, history)

    def describe(self, compressed: nn.Module) -> Description:
        return Description(
            self.model,
            _CHANNELS,
            _CLASSES,
            self.choice.name,
            options.changed(self.method),
            self.possible,
            self.is_trained,
            seed=0,
            structure=self.method.structure(compressed),
        )


@dataclass(frozen=True)
class Taught:
    """A network after training, with what it stored and which masks it had before."""

    network: nn.Module
    stored_before: int
    masks_before: Mapping[str, Tensor]
    history: Sequence[Epoch]


def run(check: str, method: str, model: str = FAMILIES[0], plugins: Sequence[str] = ()) -> None:
    """One of `CHECKS` on a method (with options, as `csg:slice=8x8`) in a network. `plugins` are files.

    Raises CheckFailed, unittest.SkipTest with a reason, or InputError for a method that isn't there.
    """
    subject = _subject(method, model, tuple(plugins))
    try:
        CHECKS[check](subject)
    except (CheckFailed, unittest.SkipTest, InputError):
        raise
    except Exception as error:
        raise CheckFailed(f"it fails with {type(error).__name__}: {error}") from error


def run_all(method: str, models: Sequence[str] = FAMILIES, plugins: Sequence[str] = ()) -> Iterator[Result]:
    """Every check on every network, as it ends. Raises InputError for a method that isn't there."""
    for model in models:
        for check in CHECKS:
            try:
                run(check, method, model, plugins)
                yield Result(check, model, "passed")
            except CheckFailed as error:
                yield Result(check, model, "failed", str(error))
            except unittest.SkipTest as reason:
                yield Result(check, model, "skipped", str(reason))
        _subject.cache_clear()


@lru_cache(maxsize=1)
def _subject(method: str, model: str, files: tuple[str, ...]) -> Subject:
    (choice,) = plan.find_methods([method], [str(Path(file).resolve()) for file in files])
    return Subject(choice, model, files)


def says_what_it_does(subject: Subject) -> None:
    """Its docstring begins with a line that `bench list` can show, and every option has a meaning."""
    cls = type(subject.method)
    first = (inspect.getdoc(cls) or "").partition("\n")[0]
    if not first.endswith("."):
        raise CheckFailed("its class needs a docstring whose first line is one sentence that says what it does")
    for option in options.describe(cls):
        if not option.meaning:
            raise CheckFailed(f'its option {option.name} needs a meaning: {option.name}: Annotated[..., "the meaning"]')


def meets_budgets(subject: Subject) -> None:
    """From 2x to 32x it stores what was asked for, within 1 %, or refuses with the reason."""
    refused = []
    for ratio in RATIOS if subject.method.sized_by_budget else ():
        requested = subject.requested(ratio)
        try:
            compressed = subject.settled(requested)
        except BudgetError as error:
            refused.append(_reason(error, ratio))
            continue
        stored = count.stored_values(compressed)
        assert requested is not None
        if not budget.met(requested, stored):
            nonzero = sum(int(tensor.count_nonzero()) for tensor in count.stored_tensors(compressed).values())
            hint = ""
            if budget.met(requested, nonzero):
                hint = ": its zeros count, since no mask says that they stay zero (bench.masks.attach)"
            raise CheckFailed(
                f"at {ratio}x it stores {stored:,} values where {requested:,} were asked for{hint}; what can't be met "
                "within 1 % is refused with a BudgetError"
            )
    if len(refused) == len(RATIOS):
        raise unittest.SkipTest(refused[0])


def refuses_the_impossible(subject: Subject) -> None:
    """A budget that nothing can meet is refused with a reason that has numbers in it, and not met somehow."""
    if not subject.method.sized_by_budget:
        raise unittest.SkipTest("its size is fixed")
    requested = subject.requested(_HOPELESS)
    assert requested is not None
    try:
        subject.compress(max(1, requested))
    except BudgetError as error:
        _reason(error, _HOPELESS)
    else:
        raise CheckFailed(f"asked for {requested:,} values it does not raise BudgetError")


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same network, another seed another."""
    one, same, other = (_everything(subject.settled(subject.possible, seed)) for seed in (1, 1, 2))
    differing = [name for name in one if name not in same or not torch.equal(one[name], same[name])]
    if differing or one.keys() != same.keys():
        raise CheckFailed(
            f"two compressions with one seed differ in {', '.join(differing[:3]) or 'what they hold'}: draw every "
            "random number from context.generator"
        )
    if one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items()):
        raise CheckFailed("another seed gives the same network: use the network that is handed over")


def trains_every_value(subject: Subject) -> None:
    """Gradients reach every value that is stored and trained: nothing is stored to no purpose."""
    _check_gradients(subject, "cpu")


def keeps_masks_and_count(subject: Subject) -> None:
    """After training, it stores as many values as before, and what masks left out is zero."""
    taught = subject.taught
    after = masks.of(taught.network)
    for name, before in taught.masks_before.items():
        if name not in after:
            raise CheckFailed(f"the mask of {name} is gone after training")
        if not subject.method.gradual and int(after[name].sum()) > int(before.sum()):
            raise CheckFailed(
                f"the mask of {name} was not kept: it left {int(before.sum()):,} values when compressed and leaves "
                f"{int(after[name].sum()):,} after training"
            )
    for name, mask in after.items():
        if taught.network.get_parameter(name)[~mask].any():
            raise CheckFailed(f"{name} has values after training that its mask leaves out")
    stored = count.stored_values(taught.network)
    if stored != taught.stored_before:
        raise CheckFailed(f"it stores {taught.stored_before:,} values when compressed and {stored:,} after training")


def can_overfit(subject: Subject) -> None:
    """The harness's own loop, with after_step and masks, can teach it a tiny problem by heart."""
    losses = [epoch.train_loss for epoch in subject.taught.history]
    if min(losses) > _LEARNED:
        raise CheckFailed(
            f"it can't learn {_IMAGES} images by heart: in {_PASSES} passes the loss fell from {losses[0]:.2g} to no "
            f"less than {min(losses):.2g} (at most {_LEARNED} is expected); look at the scale of its weights"
        )


def is_counted_right(subject: Subject) -> None:
    """What the file holds, counted from its header alone, is what the harness counts."""
    network = subject.taught.network
    counted = _values_in_file(artifact.pack(network, subject.describe(network)))
    stored = count.stored_values(network)
    if counted != stored:
        raise CheckFailed(f"{stored:,} values are counted, but its file holds {counted:,}")


def reloads_in_a_fresh_process(subject: Subject) -> None:
    """Its file is the whole network: a process that knows nothing else of it gets the same outputs."""
    network, images = subject.taught.network, _images()[0]
    with torch.inference_mode():
        expected = network(images)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(artifact.pack(network, subject.describe(network)))
        try:
            _fresh(tuple(str(Path(file).resolve()) for file in subject.plugins)).check(path, images, expected)
        except NotReloadable as error:
            raise CheckFailed(str(error)) from error


def finishes_with_the_same_outputs(subject: Subject) -> None:
    """What is deployed gives the outputs of what was trained."""
    network, images = subject.taught.network, _images()[0]
    with torch.inference_mode():
        expected = network(images)
        # A copy, by way of the file, since finish() may take the network apart.
        copied = artifact.build(_saved(network, subject), Path("its file"), subject.plugins)
        difference = relative_difference(subject.method.finish(copied).eval()(images), expected)
    if not difference <= TOLERANCE:
        raise CheckFailed(f"finish() changes the outputs, by {difference:.2g} of the largest logit")


def declares_exceptions(subject: Subject) -> None:
    """Whatever it has that others have not is in `exceptions()`, for reports to show."""
    compressed = subject.compress(subject.possible)
    named = dict(compressed.named_parameters())
    factors = subject.method.decay(compressed)
    if strange := sorted(factors.keys() - named.keys()):
        raise CheckFailed(f"decay() names {strange[0]}, which is no parameter of the compressed network")
    if any(factor != 1 for factor in factors.values()) and not subject.method.exceptions():
        raise CheckFailed("it scales the weight decay (decay()), and doesn't say so in exceptions()")


def works_on_a_gpu(subject: Subject) -> None:
    """The same on a CUDA device: it compresses there, trains there, and computes there what it computes here."""
    if not torch.cuda.is_available():
        raise unittest.SkipTest("there is no CUDA device")
    _check_gradients(subject, "cuda")
    here, there = subject.compress(subject.possible).eval(), subject.compress(subject.possible, device="cuda").eval()
    images = _images()[0]
    with torch.inference_mode():
        difference = relative_difference(there(images.cuda()).cpu(), here(images))
    if not difference <= 0.01:  # a GPU may round convolutions to ten bits
        raise CheckFailed(f"on a GPU its outputs are others than on the CPU, by {difference:.2g} of the largest logit")


CHECKS: dict[str, Callable[[Subject], None]] = {
    check.__name__: check
    for check in (
        says_what_it_does,
        meets_budgets,
        refuses_the_impossible,
        is_deterministic,
        trains_every_value,
        declares_exceptions,
        keeps_masks_and_count,
        can_overfit,
        is_counted_right,
        reloads_in_a_fresh_process,
        finishes_with_the_same_outputs,
        works_on_a_gpu,
    )
}


def _check_gradients(subject: Subject, device: str) -> None:
    compressed = subject.compress(subject.possible, device=device).train()
    images, labels = (tensor.to(device) for tensor in _images(_LARGE))
    trained = {name: value for name, value in compressed.named_parameters() if value.requires_grad}
    reached = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in trained.items()}
    optimizer = torch.optim.SGD(trained.values(), lr=0.01)
    for _ in range(3):  # what starts at zero may block a gradient for a step
        optimizer.zero_grad()
        functional.cross_entropy(compressed(images), labels).backward()
        for name, parameter in trained.items():
            if parameter.grad is not None:
                reached[name] |= parameter.grad != 0
        optimizer.step()
        masks.enforce(compressed)
    kept = masks.of(compressed)
    for name, seen in reached.items():
        share = float((seen[kept[name]] if name in kept else seen).float().mean()) if seen.numel() else 1.0
        if not share > _REACHED:
            raise CheckFailed(
                f"a gradient reaches only {share:.1%} of the values of {name}: they are stored and never learn"
            )


def _images(pixels: int = _PIXELS) -> tuple[Tensor, Tensor]:
    """Standardised images of noise and their labels."""
    random = torch.Generator().manual_seed(3)
    return torch.randn(_IMAGES, _CHANNELS, pixels, pixels, generator=random), torch.arange(_IMAGES) % _CLASSES


def _teach(method: Method, network: nn.Module) -> list[Epoch]:
    """Train on the tiny problem until it is learned: at most for so many passes, all the same to the end of the
    schedule for a gradual method, which must get where it is going."""
    random = torch.Generator().manual_seed(4)
    images = torch.randint(256, (_IMAGES, _CHANNELS, _PIXELS, _PIXELS), generator=random, dtype=torch.uint8)
    split = Split(images, torch.arange(_IMAGES) % _CLASSES)
    schedule = Schedule(epochs=_PASSES, batch_size=_IMAGES, learning_rate=0.05, weight_decay=0.0, curve="constant")
    trainer = Trainer(split, split, Normalise.of(split), schedule, seed=0, precision=torch.float32)
    history: list[Epoch] = []

    def after_epoch(epochs: Sequence[Epoch]) -> None:
        history[:] = epochs
        if epochs[-1].train_loss < _LEARNED and not method.gradual:
            raise _Learned

    first = min(schedule.compress_epoch(method.moment), _PASSES // 2)
    with suppress(_Learned):
        trainer.run(network, first, _PASSES, method.after_step, after_epoch, method.decay)
    return history


class _Learned(Exception):
    """Ends the training before its time."""


def _everything(network: nn.Module) -> dict[str, Tensor]:
    buffers = {name: buffer for name, buffer in network.named_buffers() if buffer is not None}
    return {**dict(network.named_parameters()), **buffers}


def _saved(network: nn.Module, subject: Subject) -> artifact.Saved:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(artifact.pack(network, subject.describe(network)))
        return artifact.read(path)


def _values_in_file(content: bytes) -> int:
    """Values in an artifact, by its header alone: independent of bench.count, and of the network."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    layout = json.loads(header.pop("__metadata__")["bench"]).get("layout", {})
    values = 0
    for name, entry in header.items():
        if name.endswith(":mask") or name.endswith((".running_mean", ".running_var")):
            continue
        packed = layout.get(name, {})
        shape = packed["shape"] if "dtype" in packed else entry["shape"]
        size = 1
        for side in shape:
            size *= side
        values += size
    return values


def _reason(error: BudgetError, ratio: int) -> str:
    if not any(character.isdigit() for character in str(error)):
        raise CheckFailed(f"at {ratio}x it refuses without a number: {error}")
    return str(error)


@lru_cache(maxsize=1)
def _fresh(files: tuple[str, ...]) -> FreshProcess:
    """One helper process for all checks; it ends with this one."""
    process = FreshProcess(files).__enter__()
    atexit.register(process.__exit__, None, None, None)
    return process
