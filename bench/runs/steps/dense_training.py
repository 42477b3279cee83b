"""The dense training that runs share: the epochs before compression, and the training of a teacher."""

from collections.abc import Callable, Sequence

from torch import nn

from bench.method import Compressed
from bench.plan.run import Run
from bench.runs import dense_prefix, interrupt
from bench.runs.bench import Bench
from bench.runs.unfinished import Unfinished
from bench.store.seal import Broken
from bench.training.epoch import Epoch
from bench.training.followers import Stretch
from bench.training.loop import Trainer, Training
from bench.training.schedule import Schedule


def trainer_of(bench: Bench, run: Run, schedule: Schedule, unfinished: Unfinished) -> Trainer:
    """The trainer with the run's teacher, which is trained first if need be. It saves into `unfinished`."""
    return bench.trainer(run, schedule, _teacher(bench, run), unfinished.after_step)


def reach(
    bench: Bench,
    run: Run,
    network: nn.Module,
    epochs: int,
    after_epoch: Callable[[Sequence[Epoch]], None] = lambda history: None,
) -> list[Epoch]:
    """Bring the dense `network` to its state after so many epochs of the run's setting. The state is read if the store
    has it, and is trained and kept otherwise. `after_epoch` gets the epochs so far while it is trained."""
    name = bench.prefix_id(run, epochs)
    path = bench.store.prefix(name)
    with bench.store.lock(f"prefix-{name}", wait=True):
        if path.exists() or path.is_symlink():
            try:
                return dense_prefix.restore(path, network)
            except Broken as error:
                bench.say(f"{error}; set aside as {bench.store.set_aside(path)}, and trained again")
        unfinished = bench.unfinished_prefix(run, name)
        trainer = trainer_of(bench, run, run.setting.schedule, unfinished)
        if unfinished.usable_state() is None:
            training = Training(trainer, Compressed(network), 0)
        else:
            training = unfinished.read(trainer, lambda structure: Compressed(network))
        with interrupt.held(), bench.followers.along(Stretch(run.id, False, epochs), training):
            history = trainer.go_on(training, epochs, after_epoch)
            unfinished.leave_if_asked(training)
        bench.require_unchanged(run)
        dense_prefix.keep(bench.store, name, network, history)
        unfinished.forget()
        # Read back also where it was just written, so that both ways give the same bits.
        return dense_prefix.restore(path, network)


def _teacher(bench: Bench, run: Run) -> nn.Module | None:
    """The finished dense network of the run's seed; None if the schedule asks for no teacher."""
    if run.teacher is None:
        return None
    network = bench.network(run.teacher)
    reach(bench, run.teacher, network, run.setting.schedule.epochs)
    return network.eval().requires_grad_(False)
