"""The checks of the conformance kit: what every method must keep to. Each has a message that names what is wrong."""

import atexit
import inspect
import json
import math
import struct
import tempfile
import unittest
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench import budget, count, masks
from bench.dataset import Dataset
from bench.errors import BudgetError
from bench.files import artifact
from bench.files.fresh_process import FreshProcess, Helper, NotReloadable
from bench.measure.same_outputs import LARGEST_DIFFERENCE, relative_difference
from bench.method import Compressed
from bench.plugins import options
from bench.testing import gradients
from bench.testing import tiny_problem as tiny
from bench.testing.fresh_training import FreshTraining
from bench.testing.one_number import several_in_one
from bench.testing.subject import OTHER_WEIGHTS, SCHEDULE, Subject
from bench.training import checkpoint, first_step
from bench.training.loop import Training

# The budgets that are tried.
RATIOS = (2, 4, 8, 16, 32)
_HOPELESS = 100_000
# The share of stored values that a gradient must reach: a rectifier may well be dead on the few images used here.
_REACHED = 0.99
# Of a tensor in a sparse network: weights may be kept that lead to a channel which no kept weight reads.
_REACHED_SPARSE = 0.5
# Where only the same has to come out twice.
_SHORT_SCHEDULE = 4
# Of the schedule, at which gradients are looked at.
_PLACES = 5
# So many times further, or less far, than a step of dense a step may move the outputs at the start.
_STEP = 30.0
# Training is stopped at so many steps at most.
_STOPS = 4
# Float32, which every method trains in.
_BYTES_OF_A_VALUE = 4
# What `structure` may take next to the values, which it is not counted with: a few numbers for each layer are less.
_STRUCTURE = 0.1
# Large enough for the last layers of a network made for ImageNet: in an image of one pixel, all but the middle of a
# kernel sees nothing but the padding, and gets no gradient.
_LARGE = 64


class CheckFailed(AssertionError):
    """The method breaks a rule. The message says which, and what to do."""


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
        stored = count.stored_values(compressed.network)
        assert requested is not None
        if not budget.met(requested, stored):
            nonzero = sum(int(tensor.count_nonzero()) for tensor in count.stored_tensors(compressed.network).values())
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
    try:
        subject.compress(requested)
    except BudgetError as error:
        _reason(error, _HOPELESS)
    else:
        raise CheckFailed(f"asked for so few values ({requested}) it does not raise BudgetError")


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same network, also once it is trained; another seed gives another."""
    one, same, other = (subject.compress(subject.possible, seed) for seed in (1, 1, 2))
    if differing := _differing(_everything(one), _everything(same)):
        raise CheckFailed(
            f"two compressions with one seed differ in {differing}: draw every random number from context.generator"
        )
    if not _differing(_everything(one), _everything(other)):
        raise CheckFailed("another seed gives the same network: use the network that is handed over")
    for made in (one, same):
        tiny.go_through_schedule(subject.method, made, _SHORT_SCHEDULE)
        made.settle()
    if differing := _differing(_everything(one), _everything(same)):
        raise CheckFailed(
            f"two trainings with one seed differ in {differing}: draw every random number of after_step and settle "
            "from a torch.Generator of its own, seeded in compress"
        )


def trains_every_value(subject: Subject) -> None:
    """Gradients reach every value that is stored: nothing is stored to no purpose."""
    _check_gradients(subject, "cpu")


def keeps_masks_and_count(subject: Subject) -> None:
    """After training, it stores as many values as before (or a gradual method as many as were asked for), and what
    masks left out is zero."""
    taught = subject.taught
    network = taught.compressed.network
    after = masks.of(network)
    at_end = subject.method.at_size == "at the end"
    for name, before in taught.masks_before.items():
        if name not in after:
            raise CheckFailed(f"the mask of {name} is gone after training")
        if not at_end and int(after[name].sum()) > int(before.sum()):
            raise CheckFailed(
                f"the mask of {name} was not kept: it left {int(before.sum()):,} values when compressed and leaves "
                f"{int(after[name].sum()):,} after training"
            )
    for name, mask in after.items():
        if network.get_parameter(name)[~mask].any():
            raise CheckFailed(f"{name} has values after training that its mask leaves out")
    stored = count.stored_values(network)
    if at_end and subject.possible is not None:
        # How many exactly may depend on what was trained.
        if not budget.met(subject.possible, stored):
            raise CheckFailed(f"after training it stores {stored:,} values where {subject.possible:,} were asked for")
    elif stored != taught.stored_before:
        raise CheckFailed(f"it stores {taught.stored_before:,} values when compressed and {stored:,} after training")


def can_overfit(subject: Subject) -> None:
    """The harness's own loop, with after_step and masks, can teach it a tiny problem by heart."""
    loss = subject.taught.loss
    if loss > tiny.LEARNED:
        raise CheckFailed(
            f"it can't learn {tiny.IMAGES} images by heart: in {SCHEDULE + tiny.PASSES} passes the loss fell "
            f"to no less than {loss:.2g} (at most {tiny.LEARNED} is expected); look at the scale of its weights"
        )


def is_counted_right(subject: Subject) -> None:
    """What the file holds, counted from its header alone, is what the harness counts, and it hides no others."""
    compressed = subject.taught.compressed
    found = _values_in_file(artifact.pack(compressed, subject.describe(compressed)))
    counted, stored = sum(values for values, _ in found.values()), count.stored_values(compressed.network)
    if counted != stored:
        raise CheckFailed(f"{stored:,} values are counted, but its file holds {counted:,}")
    for name, (values, size) in found.items():
        if size > _BYTES_OF_A_VALUE * values:
            raise CheckFailed(
                f"{name} takes {size / values:.2g} bytes a value, where float32 takes {_BYTES_OF_A_VALUE}: what it "
                "holds is more than is counted"
            )
    described = _without_names(compressed.structure(), {name for name, _ in subject.network().named_modules()})
    if described > _STRUCTURE * _BYTES_OF_A_VALUE * stored:
        raise CheckFailed(
            f"structure() takes {described:,} bytes beside {stored:,} values, not counting names of layers: it is for "
            "the shape of the network; what is more belongs in parameters or buffers, which are counted"
        )


def stores_one_value_a_number(subject: Subject) -> None:
    """Different bits of a stored number change the same weights: it stands for one value, as it is counted."""
    compressed = subject.settled(subject.possible)
    image, random = tiny.images()[0][:1], torch.Generator().manual_seed(6)
    if found := several_in_one(compressed.network, image, random):
        raise CheckFailed(f"{found}: it holds several values, and counts as one; give each a number of its own")


def goes_on_from_any_step(subject: Subject) -> None:
    """Stopped at any step and continued in a fresh process from its structure, tensors and state, training gives the
    same bits. The steps around each change of size are among those tried."""
    trainer = tiny.halves()
    epoch = tiny.first_pass(subject.method, trainer.schedule.epochs)
    first, last = epoch * trainer.steps_per_epoch, trainer.total_steps
    training = Training(trainer, subject.compress(subject.possible), epoch)
    sizes = {first: _size_of(training.compressed)}
    while training.step < last:
        training.take_step()
        sizes[training.step] = _size_of(training.compressed)
    stops = _stops(sizes, first, last)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ended, expected, *starts = (Path(folder) / f"{name}.safetensors" for name in ("ended", "expected", *stops))
        training = Training(trainer, subject.compress(subject.possible), epoch)
        while training.step < last:
            if training.step in stops:
                starts[stops.index(training.step)].write_bytes(checkpoint.encode(training))
            training.take_step()
        expected.write_bytes(checkpoint.encode(training))
        for step, start in zip(stops, starts, strict=True):
            try:
                _fresh_training().go_on(subject, start, ended)
            except NotReloadable as error:
                raise CheckFailed(f"stopped after step {step} of {last}, {error}") from error
            if differing := _differing_files(expected, ended):
                raise CheckFailed(
                    f"stopped after step {step} of {last} and continued, training ends with other bits in {differing}: "
                    "what is not in the network's tensors belongs in structure() or state()"
                )


def reloads_in_a_fresh_process(subject: Subject) -> None:
    """Its file is the whole network: a process that knows nothing else of it gets the same outputs."""
    network, images = subject.taught.compressed.network, tiny.images()[0]
    with torch.inference_mode():
        expected = network(images)
    with _file_of(subject) as path:
        try:
            _fresh(subject).check(path, images, expected, Dataset.task)
        except NotReloadable as error:
            raise CheckFailed(str(error)) from error


def finishes_with_the_same_outputs(subject: Subject) -> None:
    """What is deployed gives the outputs of what was trained."""
    network, images = subject.taught.compressed.network, tiny.images()[0]
    with torch.inference_mode(), _file_of(subject) as path:
        expected = network(images)
        # A copy, by way of the file, since finish() may take the network apart.
        copied = artifact.build(artifact.read(path), Path("its file"), subject.given)
        difference = relative_difference(copied.finish().eval()(images), expected)
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckFailed(f"finish() changes the outputs, by {difference:.2g} of the largest logit")


def declares_exceptions(subject: Subject) -> None:
    """Whatever it has that others have not is there for reports to show: factors on weight decay and learning rate name
    parameters, and between steps no value moves but to zero, unless `exceptions()` says so."""
    compressed = subject.compress(subject.possible)
    names = {name for name, _ in compressed.network.named_parameters()}
    for what, factors in (("decay", compressed.decay), ("rates", compressed.rates)):
        if strange := sorted(factors.keys() - names):
            raise CheckFailed(f"{what} names {strange[0]}, which is no parameter of the compressed network")
    for training in _on_schedule(subject, compressed):
        training.take_step()
        named = dict(compressed.network.named_parameters())
        before = {name: parameter.detach().clone() for name, parameter in named.items()}
        # Once more, as if the step had been done twice: what a method does on the way is done once.
        if compressed.step_done(training.step / training.trainer.total_steps) or subject.method.exceptions():
            return
        for name, parameter in named.items():
            moved = (parameter.detach() != before[name]) & (parameter.detach() != 0)
            if moved.any():
                raise CheckFailed(
                    f"after_step() moves {int(moved.sum()):,} values of {name}: what trains them besides the gradient "
                    "is a loss (extra_loss), or an exception that exceptions() declares"
                )


def gives_the_gradients_it_declares(subject: Subject) -> None:
    """At five places of the schedule the gradients of the harness's loop are the derivative of its loss, or what
    `Compressed.gradients` says in place of that."""
    compressed = subject.compress(subject.possible)
    declared = compressed.gradients
    exact = True
    for place, training in enumerate(_on_schedule(subject, compressed)):
        batch = next(training.trainer.train.batches(training.epoch))
        # Each kind of parameters at the ends, which costs most; in between all together.
        for found in gradients.differences(training, batch, place, together=0 < place < _PLACES - 1):
            exact &= found.is_exact
            wrong = not found.is_exact and (declared == "exact" or (declared == "scaled" and found.opposed))
            if wrong:
                raise CheckFailed(
                    f"the gradient of its parameters ({found.kind}) is not the derivative of its loss: along "
                    f"random directions it says {found.by_gradient:.3g}, and the loss changes by {found.by_loss:.3g}; "
                    "a loss of its own belongs in Compressed.extra_loss, and gradients that are scaled or passed "
                    f"straight through are declared by Compressed(..., gradients=...), which is {declared!r}"
                )
    if exact and declared != "exact":
        raise CheckFailed(f"its gradients are exact, and it declares that they are {declared}: leave that out")


def _on_schedule(subject: Subject, compressed: Compressed) -> Iterator[Training]:
    """A training at five places of the schedule, to look at, and to take a step of."""
    trainer = tiny.trainer(SCHEDULE, torch.device("cpu"))
    training = Training(trainer, compressed, tiny.first_pass(subject.method, SCHEDULE))
    first, last = training.step, trainer.total_steps - 1
    for place in range(_PLACES):
        while training.step < first + (last - first) * place // (_PLACES - 1):
            training.take_step()
        yield training


def steps_like_dense(subject: Subject) -> str:
    """At the start a step moves the outputs about as far as the same step of the dense network: the learning rate is
    the same for all, and how a method shares a kernel's size among its factors decides what that means."""
    trainer, method = tiny.trainer(SCHEDULE, torch.device("cpu")), subject.method
    first = tiny.first_pass(method, SCHEDULE)
    dense = first_step.measure(Training(trainer, Compressed(subject.network(OTHER_WEIGHTS)), first))
    step = first_step.measure(Training(trainer, subject.compress(subject.possible), first))
    times = step.outputs / dense.outputs
    kernels = "" if step.kernels is None else f", and its kernels {step.kernels:.3g} times as far as one on the kernels"
    said = f"a step moves the outputs {times:.3g} times as far as a step of dense{kernels}"
    if not 1 / _STEP <= times <= _STEP:
        raise CheckFailed(
            f"{said}; between {1 / _STEP:.2g} and {_STEP:g} is expected: share the size of kernels among factors "
            "otherwise, or scale what they are multiplied by"
        )
    return said


def works_on_a_gpu(subject: Subject) -> None:
    """The same on a CUDA device: it compresses there, computes there what it computes here, trains there, and comes
    back."""
    if not torch.cuda.is_available():
        raise unittest.SkipTest("there is no CUDA device")
    _check_gradients(subject, "cuda")
    here, there = subject.compressed.network.eval(), subject.compress(subject.possible, device="cuda")
    there.network.eval()
    images = tiny.images()[0]
    with torch.inference_mode():
        difference = relative_difference(there.network(images.cuda()).cpu(), here(images))
    if not difference <= 0.01:  # a GPU may round convolutions to ten bits
        raise CheckFailed(f"on a GPU its outputs are others than on the CPU, by {difference:.2g} of the largest logit")
    tiny.go_through_schedule(subject.method, there, _SHORT_SCHEDULE)
    there.settle()
    there.network.cpu().eval()
    with torch.inference_mode():
        there.finish().eval()(images)


CHECKS: dict[str, Callable[[Subject], str | None]] = {
    check.__name__: check
    for check in (
        says_what_it_does,
        meets_budgets,
        refuses_the_impossible,
        is_deterministic,
        trains_every_value,
        declares_exceptions,
        gives_the_gradients_it_declares,
        steps_like_dense,
        keeps_masks_and_count,
        can_overfit,
        is_counted_right,
        stores_one_value_a_number,
        goes_on_from_any_step,
        reloads_in_a_fresh_process,
        finishes_with_the_same_outputs,
        works_on_a_gpu,
    )
}


def _check_gradients(subject: Subject, device: str) -> None:
    compressed = subject.compress(subject.possible, device=device).network.train()
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        # A channel without weights gives zero, and fresh batch norm and a rectifier let no gradient through it. After
        # some training batch norm has shifts.
        for module in compressed.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.bias is not None:
                module.bias.add_(0.1 * torch.rand(module.bias.shape, generator=random).to(device))
    images, targets = (tensor.to(device) for tensor in tiny.images(_LARGE))
    kept = masks.of(compressed)
    # A mask may leave a channel empty, too, and batch norm nothing to scale.
    spared = _of_norms(compressed) if kept else set()
    least = _REACHED_SPARSE if kept else _REACHED
    # What is frozen too: it may be there for the sake of what it does, but not for nothing.
    stored = {
        name: value
        for name, value in count.stored_tensors(compressed).items()
        if value.is_floating_point() and name not in spared
    }
    reached = {name: torch.zeros_like(value, dtype=torch.bool) for name, value in stored.items()}
    optimizer = torch.optim.SGD([value.requires_grad_() for value in stored.values()], lr=0.01)
    # What starts at zero may block a gradient for a step. In training, batch norm takes out a shift that comes before
    # it, and the shift's gradient is zero but for rounding; what is deployed has the shift in it.
    for training in (True, True, True, False):
        compressed.train(training)
        optimizer.zero_grad()
        tiny.TASK.loss(compressed(images), targets, tiny.schedule(1)).backward()
        for name, value in stored.items():
            if value.grad is not None:
                reached[name] |= value.grad != 0
        optimizer.step()
        masks.enforce(masks.pairs(compressed))
    for name, seen in reached.items():
        used = seen[kept[name]] if name in kept else seen
        if used.numel() and not used.float().mean() > least:
            raise CheckFailed(
                f"a gradient reaches only {used.float().mean():.1%} of the values of {name}: the others are stored to "
                "no purpose"
            )


def _of_norms(network: nn.Module) -> set[str]:
    """The names of what batch norm learns."""
    return {
        f"{path}.{name}"
        for path, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name in module._parameters
    }


def _everything(compressed: Compressed) -> dict[str, Tensor]:
    network = compressed.network
    buffers = {name: buffer for name, buffer in network.named_buffers() if buffer is not None}
    return {**dict(network.named_parameters()), **buffers}


def _differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """The first few names that are in one alone or stand for other values."""
    differing = one.keys() ^ other.keys() | {
        name for name in one.keys() & other.keys() if not torch.equal(one[name], other[name])
    }
    return ", ".join([name for name in {**one, **other} if name in differing][:3])


@contextmanager
def _file_of(subject: Subject) -> Iterator[Path]:
    """The artifact of the taught network, for as long as it takes."""
    compressed = subject.taught.compressed
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(artifact.pack(compressed, subject.describe(compressed)))
        yield path


def _values_in_file(content: bytes) -> dict[str, tuple[int, int]]:
    """Values and their bytes by name, by an artifact's header alone: independent of bench.count, and of the network."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    layout = json.loads(header.pop("__metadata__")["bench"]).get("layout", {})
    found = {}
    for name, entry in header.items():
        if name.endswith(":mask") or name.endswith((".running_mean", ".running_var")):
            continue
        packed = layout.get(name, {})
        shape = packed["shape"] if "dtype" in packed else entry["shape"]
        start, end = entry["data_offsets"]
        found[name] = math.prod(shape) * (2 if entry["dtype"].startswith("C") else 1), end - start
    return found


def _reason(error: BudgetError, ratio: int) -> str:
    if not any(character.isdigit() for character in str(error)):
        raise CheckFailed(f"at {ratio}x it refuses without a number: {error}")
    return str(error)


def _without_names(structure: object, names: Collection[str]) -> int:
    """Bytes of a structure as JSON without the names of layers, of which there are as many as the network has."""
    match structure:
        case dict():
            return sum(_without_names(key, names) + _without_names(value, names) for key, value in structure.items())
        case list() | tuple():
            return sum(1 + _without_names(value, names) for value in structure)
        case str() if structure in names or structure.replace("/", ".") in names:
            return 0
    return len(json.dumps(structure))


def _size_of(compressed: Compressed) -> str:
    """What changes with its size: the structure, and how much its masks keep."""
    kept = {name: int(mask.sum()) for name, mask in masks.of(compressed.network).items()}
    return json.dumps([compressed.structure(), kept])


def _stops(sizes: Mapping[int, str], first: int, last: int) -> list[int]:
    """After which steps to stop: those around the first and the last change of size, and some more."""
    changes = [step for step in range(first + 1, last) if sizes[step] != sizes[step - 1]]
    around = [step for change in (*changes[:1], *changes[-1:]) for step in (change - 1, change)]
    wanted = dict.fromkeys([*around, first, last - 1, (first + last) // 2])
    return sorted([step for step in wanted if first <= step < last][:_STOPS])


def _differing_files(one: Path, other: Path) -> str:
    """The first few tensors that two checkpoints don't have in common, or what else differs."""
    found = [checkpoint.content(path) for path in (one, other)]
    tensors = [{name: value for name, value in has.items() if isinstance(value, Tensor)} for has in found]
    rest = [name for name, value in found[0].items() if name not in tensors[0] and found[1].get(name) != value]
    return ", ".join(filter(None, [_differing(*tensors), *rest[:3]]))


def _fresh(subject: Subject) -> FreshProcess:
    """One helper process for all checks; it ends with this one."""
    process = _loader()
    process.given = subject.given
    return process


@lru_cache(maxsize=1)
def _loader() -> FreshProcess:
    return _kept(FreshProcess())


@lru_cache(maxsize=1)
def _fresh_training() -> FreshTraining:
    return _kept(FreshTraining())


AnyHelper = TypeVar("AnyHelper", bound=Helper)


def _kept(helper: AnyHelper) -> AnyHelper:
    helper.__enter__()
    atexit.register(helper.__exit__, None, None, None)
    return helper
