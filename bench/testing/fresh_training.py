"""A fresh process that continues a training from a checkpoint, for the conformance kit."""

import os
from pathlib import Path

import torch

from bench.files.fresh_process import Helper
from bench.testing.subject import Subject


class FreshTraining(Helper):
    """Continues trainings from their checkpoints."""

    module = "bench.testing.fresh_training_process"

    def go_on(self, subject: Subject, start: Path, end: Path) -> None:
        """Read a checkpoint of the tiny problem, train to the end, and write a checkpoint to `end`. Raises
        NotReloadable."""
        request = {
            "method": subject.choice.text,
            "model": subject.model.asked,
            "plugins": subject.plugins,
            "start": os.fspath(start),
            "end": os.fspath(end),
            "threads": torch.get_num_threads(),
        }
        self.ask(request, "training can't go on in a fresh process")
