"""The work of torchrun's other processes: they train along with process 0 (`torchrun.py`) and do nothing else."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load
from torch import nn

from bench.errors import InputError, contained, typed_line
from bench.executors.torchrun.launched import Place
from bench.executors.torchrun.meeting import BEGIN, END, NEXT, READY, Meeting
from bench.executors.torchrun.torchrun import own_device
from bench.method import Compressed
from bench.plan.plan import Plan
from bench.plan.run import Run
from bench.runs import interrupt
from bench.runs.bench import Bench
from bench.runs.material import Asked, bench_elsewhere
from bench.runs.steps.begin import rebuilding
from bench.runs.unfinished import KeptByAnother
from bench.training import checkpoint
from bench.training.distributed import Distributed
from bench.training.followers import Followers, Stretch

# How long process 0 may take to end after an interrupt. This process ends later, so that process 0 doesn't miss it.
_ENDING_SECONDS = 20.0


def follow(place: Place) -> None:
    """Train along until process 0 ends. Raises InputError if the processes don't meet."""
    meeting = Meeting(place)
    try:
        _follow(meeting)
    except KeyboardInterrupt:
        if not meeting.wait([END], _ENDING_SECONDS):
            raise


def _follow(meeting: Meeting) -> None:
    told = meeting.hear(BEGIN)
    if told is None:
        return
    asked = Asked(**told)
    torch.set_num_threads(asked.threads)
    found = _begin(meeting, asked)
    if found is None:
        meeting.hear(END)
        return
    device, plan, bench = found
    group = meeting.group(device)
    bench = replace(bench, followers=Followers(group))
    runs = {run.id: run for run in (*plan.runs, *(run.teacher for run in plan.runs if run.teacher is not None))}
    number = 0
    try:
        while (told := meeting.hear(f"{NEXT}/{number}")) is not None:
            stretch = Stretch(**told)
            try:
                with contained(), interrupt.held():
                    _train(bench, group, runs[stretch.run_id], stretch)
            except Exception as error:
                if meeting.failed(number, error) is not None:
                    break
            number += 1
    finally:
        group.leave()
    meeting.hear(END)


def _begin(meeting: Meeting, asked: Asked) -> tuple[torch.device, Plan, Bench] | None:
    """The device, plan and material of this process, or None after an error, which process 0 is told. On each machine,
    the first process reads or downloads the images before the others do."""
    place = meeting.place
    ready, first = f"{READY}/{place.rank}", f"{READY}/node{place.node}"
    if place.local_rank > 0:
        meeting.hear(first)
    try:
        with contained():
            device = own_device(asked.device, place)
            plan, bench = bench_elsewhere(replace(asked, device=str(device)))
    except Exception as error:
        meeting.tell(ready, str(error) if isinstance(error, InputError) else typed_line(error))
        return None
    finally:
        if place.local_rank == 0:
            meeting.tell(first)
    meeting.tell(ready)
    return device, plan, bench


def _train(bench: Bench, group: Distributed, run: Run, stretch: Stretch) -> None:
    """Continue the training from the state of process 0. Only process 0 saves, reports and evaluates."""
    handed, weights = (group.spread(b"") for _ in range(2))
    kept = KeptByAnother()
    schedule = run.schedule if stretch.is_own else run.setting.schedule
    trainer = bench.trainer(run, schedule, _teacher(bench, run, weights), kept.after_step)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "handed.safetensors"
        path.write_bytes(handed)
        rebuild = rebuilding(bench, run) if stretch.is_own else lambda structure: Compressed(bench.network(run))
        training = checkpoint.read(path, trainer, rebuild)
    training.forget_sums()
    trainer.go_on(training, stretch.end_epoch)
    kept.leave_if_asked(training)


def _teacher(bench: Bench, run: Run, weights: bytes) -> nn.Module | None:
    if not weights:
        return None
    assert run.teacher is not None
    network = bench.network(run.teacher)
    network.load_state_dict({name: own.to(bench.device) for name, own in load(weights).items()})
    return network.eval().requires_grad_(False)
