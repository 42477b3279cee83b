"""The data that a sweep's runs need on another machine, packed by the sweep and unpacked there.

The spec travels, code that the user named by a path, finished weights, and images that are in memory. Installed
packages must be on the node already. So must files that the user's options name, at the same path: streamed images,
corrupted images, `csg:generator=RUN`. Hashes reveal any difference.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from bench.dataset import Data, Split
from bench.errors import InputError
from bench.plan import plan as plans
from bench.plan import spec as specs
from bench.plan.known import Known
from bench.plan.plan import Plan
from bench.plan.spec import Spec
from bench.plugins import by_path, networks
from bench.plugins.code import harness_hash, own_files
from bench.runs import environment
from bench.runs.executor import Job
from bench.store.store import Store

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Luggage:
    """Everything but the images. `code` are files by their place in a folder; `plugins` and `model` are places among
    them. `alike` lists, in words, the facts that must be the same on each node."""

    spec: Spec
    known: Known
    code: Mapping[str, bytes]
    plugins: Sequence[str]
    model: str | None
    device: str
    data_hash: str
    save_every: float
    loaders: int
    bench_code: str
    alike: Mapping[str, str]

    @classmethod
    def of(cls, job: Job, loaders: int) -> Self:
        """Pack the luggage of a job. Raises InputError if its code can't travel."""
        plan, bench = job.plan, job.bench
        code = _Code()
        model = networks.split_file(plan.setting.model.asked)
        return cls(
            spec=plan.spec,
            known=Known.of(plan.setting.dataset.identity, plan.setting.weights),
            plugins=[code.place(text) for text in plan.spec.plugins],
            model=None if model is None else code.place(model[0]) + model[1],
            code=code.files,
            device=bench.device.type,
            data_hash=bench.data_hash,
            save_every=bench.save_every,
            loaders=loaders,
            bench_code=bench.code,
            alike=_alike(plan, bench.device),
        )

    @property
    def digest(self) -> str:
        """A hash of the code that travels."""
        return hashlib.sha256(repr(sorted(self.code.items())).encode()).hexdigest()[:16]

    def unpack(self, folder: Path) -> Plan:
        """The sweep's plan, with the user's code written to `folder`. Raises InputError if a fact in `alike` differs on
        this machine."""
        with Store(folder).writing():
            for place, content in self.code.items():
                path = folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        given = {**self.spec.model_dump(), "plugins": [str(folder / place) for place in self.plugins]}
        if self.model is not None:
            given["model"] = str(folder / self.model)
        plan = plans.from_spec(specs.check(given), self.known)
        here = _alike(plan, environment.find_device(self.device))
        for name, there in self.alike.items():
            if here[name] != there:
                raise InputError(
                    f"{name} is {here[name]} here, but {there} on the sweep's machine; all nodes need the same"
                )
        return plan


def _alike(plan: Plan, device: torch.device) -> dict[str, str]:
    setting = plan.setting
    return {
        "the version of torch": torch.__version__,
        "the code of bench": harness_hash(),
        f"the code of {setting.model.text}": setting.model.code,
        f"the code of {setting.dataset.label}": setting.dataset.code,
        f"the code of {setting.dataset.task.name}": setting.dataset.task.code,
        **{f"the code of {run.choice.label}": run.choice.code for run in plan.runs},
        "the precision": str(environment.find_precision(setting.schedule.precision, device)),
    }


class _Code:
    """Files that the user named, each with the neighbouring files that it imports. Files of one folder stay
    together."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._folders: dict[Path, str] = {}

    def place(self, text: str) -> str:
        """Add a plugin's file, and return its place. Raises InputError."""
        file = by_path.locate(text)
        is_folder = file.parent.name == file.stem  # then the whole folder is the plugin
        base = file.parent.parent if is_folder else file.parent
        top = self._folders.setdefault(base, f"code-{len(self._folders) + 1}")
        for path in own_files(by_path.files_of(file)):
            if not path.is_relative_to(base):
                raise InputError(f"{file.name} imports {path}, which does not lie beside it and can't travel")
            self.files[f"{top}/{path.relative_to(base).as_posix()}"] = path.read_bytes()
        return f"{top}/{file.relative_to(base).as_posix()}"


@dataclass(frozen=True)
class Images:
    """Images in memory and their targets, as arrays that the processes of a node share."""

    splits: Mapping[str, Arrays]
    classes: tuple[str, ...]
    leaked: int | None

    @classmethod
    def of(cls, data: Data) -> "Images | None":
        """The images of a dataset; None if they are streamed."""
        splits = {name: split for name, split in data.splits().items() if isinstance(split, Split)}
        arrays = {name: (split.images.cpu().numpy(), split.targets.cpu().numpy()) for name, split in splits.items()}
        return cls(arrays, data.classes, data.leaked) if arrays else None

    def data(self) -> Data:
        """The dataset again. It has no hash yet: the hash is computed where the images arrived."""
        splits = {name: _split(*arrays) for name, arrays in self.splits.items()}
        train, test, validation = splits["train"], splits["test"], splits.get("validation")
        return Data(train, test, self.classes, validation, leaked=self.leaked)


def _split(images: np.ndarray, targets: np.ndarray) -> Split:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning that the arrays are read-only
        return Split(torch.from_numpy(images), torch.from_numpy(targets))
