"""Fixtures: a tiny dataset and method as plugins, a tiny sweep that many tests look at, and the reference data."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread: the networks here are tiny, and several processes at once would fight over the cores. Before torch is
# imported, and in the environment, so that the processes which tests start do the same.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from pages import CHROMIUM, Watched, page_of
from rich.console import Console
from torch import nn

from bench import count, testing
from bench.data.normalise import Normalise
from bench.data.splits import hold_out
from bench.executors.in_process import InProcess
from bench.files import artifact
from bench.files.description import Description, Step
from bench.logs._log import Log, open_logs
from bench.logs._logging import Logging
from bench.plan import plan, spec
from bench.plan.task_choice import find_task
from bench.plugins import discovery, networks
from bench.plugins.discovery import DATASETS, find
from bench.reports.figures.figure import FIGURES, RANKS
from bench.runs.executor import Executor
from bench.runs.progress import Progress
from bench.runs.sweep.sweep import sweep
from bench.store.record import Record
from bench.store.store import Store
from bench.training.loop import Trainer
from bench.training.schedule import Schedule

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What the fixture `command` gives.
Command = Callable[..., tuple[int, str, str]]

PLUGINS = Path(__file__).parent / "samples"
STRIPES, HALVES = str(PLUGINS / "stripes.py"), str(PLUGINS / "halves.py")
SHARED = Path(__file__).resolve().parents[2] / "shared"
TINY = {
    "name": "tiny",
    "epochs": 4,
    "batch_size": 32,
    "learning_rate": 0.05,
    "crop_padding": 1,
    "flip": True,
    "validation": 0.2,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """What a test draws without a generator of its own is the same in each run, whichever tests ran before it."""
    torch.manual_seed(0)


def tiny_spec(methods: list[str], **changes: Any) -> spec.Spec:
    """A spec on the tiny dataset with a tiny schedule."""
    given = {
        "methods": methods,
        "budgets": ["4x"],
        "seeds": 1,
        "dataset": "stripes",
        "schedule": TINY,
        "device": "cpu",
        "plugins": [STRIPES, HALVES],
    }
    return spec.check({**given, **changes})


def run_sweep(
    asked: spec.Spec,
    folder: Path,
    redo: tuple[str, ...] = (),
    executor: Executor | None = None,
    save_every: float = 60,
    logs: Mapping[str, Log] | Sequence[str] = (),
) -> tuple[list[Record], str]:
    """Its records, in the order of the plan, and what it printed. In this process, unless another executor is given.
    Logs are given, or named."""
    printed = StringIO()
    progress = Progress(Console(file=printed, width=200))
    if logs:
        opened = logs if isinstance(logs, Mapping) else open_logs(logs, Store(folder))
        progress = Logging(progress, opened)
    records = sweep(
        plan.from_spec(asked), Store(folder), progress, executor or InProcess(), redo, save_every=save_every
    )
    return records, printed.getvalue()


def tiny_trainer(seed: int = 0, device: str = "cpu", **changes: object) -> Trainer:
    """The loop on the tiny dataset."""
    schedule = Schedule(epochs=4, batch_size=32, learning_rate=0.05, crop_padding=1, flip=True, momentum=0.0)
    data = hold_out(find(DATASETS, "stripes", [STRIPES]).build(None, {}).load(None, False), 0.2)
    assert data.validation is not None
    schedule = replace(schedule, **changes)  # type: ignore[arg-type]
    normalise, task = Normalise.of(data.train).to(torch.device(device)), find_task("classification").task
    train, validation = data.train.to(torch.device(device)), data.validation.to(torch.device(device))
    return Trainer.of(train, validation, normalise, task, len(data.classes), schedule, seed)


def write_artifact(path: Path, options: dict[str, Any], model: str = "resnet8") -> nn.Module:
    """A csg network with these options in `path`, with batch norm that has seen images."""
    method = discovery.find(discovery.METHODS, "csg").build(None, options)
    budget = round(count.stored_values(testing.network(model)) / 2) if method.sized_by_budget else None
    compressed = testing.compress(method, model, budget, seed=1)
    compressed.network(images())
    compressed.settle()
    described = artifact.describe_model(networks.find(model), 3, 10)
    step = Step("csg", options, compressed.structure())
    path.write_bytes(artifact.pack(compressed, Description(described, (step,))))
    return compressed.network.eval()


def images() -> torch.Tensor:
    """Four of 32x32 pixels, standardised."""
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at a sweep has to wait for one."""
    for item in items:
        if {"swept", "browser"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images of tests are not kept among the person's; in the environment, for processes that tests start."""
    os.environ["BENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def csg_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a csg network for 3 channels and 10 classes. Do not write to it."""
    file = tmp_path_factory.mktemp("artifact") / "weights.safetensors"
    write_artifact(file, {"code": 4})
    return file


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A store with dense, csg and lowrank at 2x and 4x for two seeds, and a missed budget. Do not write to it."""
    folder = tmp_path_factory.mktemp("swept")
    records, _ = run_sweep(tiny_spec(["csg", "lowrank"], budgets=["2x", "4x", "100x"], seeds=2), folder)
    return folder, records


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def shared() -> Path:
    """The folder with the reference data."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference data in ../shared")
    return SHARED


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        from bench.cli.main import main

        monkeypatch.setattr("sys.argv", ["bench", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which take longer than all the rest."""
    monkeypatch.setattr("bench.reports.report._that_can_be_drawn", lambda runs, names: [])


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports with two of their figures, for tests that look at no others."""
    for name in FIGURES.keys() - {"accuracy_vs_bytes", "accuracy_vs_macs", RANKS}:
        monkeypatch.delitem(FIGURES, name)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox: containers seldom allow one, and the page is our own.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def real(swept: tuple[Path, list[Record]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep that was really trained."""
    return page_of(swept[0], tmp_path_factory.mktemp("real"))


@pytest.fixture
def watched(browser: "Browser", real: Path) -> Iterator[Watched]:
    """That page, open; it may have complained of nothing and loaded nothing."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    found = Watched(page, real)
    yield found
    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    page.close()
