"""The code that the process of `bench.testing.fresh_training` runs."""

from pathlib import Path
from typing import Any

import torch

from bench.testing import kit
from bench.training import checkpoint


def answer(request: dict[str, Any]) -> None:
    """Do the training that a request asks for."""
    torch.set_num_threads(request["threads"])
    subject = kit.subject_of(request["method"], request["model"], tuple(request["plugins"]))
    trainer = subject.tiny.halves()
    training = checkpoint.read(Path(request["start"]), trainer, subject.rebuild)
    while training.step < trainer.total_steps:
        training.take_step()
    Path(request["end"]).write_bytes(checkpoint.encode(training))
