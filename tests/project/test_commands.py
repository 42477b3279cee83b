"""Every command on the pages: run, in the order of its page, in a folder with a small store and small data. What trains
is asked with --dry-run. What can't be run here is at least taken apart by the parser that it is for."""

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import torch
import typer
from conftest import Command, run_sweep
from PIL import Image

from bench.cli.main import app
from bench.dataset import Split
from bench.plan import spec
from bench.plugins.discovery import DATASETS, find

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md", *(ROOT / "docs").rglob("*.md"))
    if path.is_file()
)
# Pages whose commands a test of their own walks through, on data and networks that suit them.
ELSEWHERE = {
    "docs/compress-your-network.md": "test_compress_docs.py",
    "docs/the-papers-experiments.md": "test_papers_docs.py",
    "docs/writing-a-method.md": "test_docs.py",
}
# Commands that are only taken apart, and why they can't be run here.
NOT_OURS = "another program's; of ours what it names is there"
INSTALLS = "it installs"
PARSED = {
    "bench compress --model net.py:build --weights net.pth --dataset folder:photos --to 4x --export small.onnx": "it "
    "trains; test_compress_docs.py runs one like it",
    "bench evaluate theirs.onnx --dataset parquet:DIR --normalise imagenet": "a file of other people",
    "bench footprint --methods all --model deeplabv3_resnet101 --image 3x513x513 --classes 21": "it takes minutes",
    "bench footprint --methods csg:slice=16x16:code=128 --model deeplabv3plus-resnet101 --image 3x513x513 --classes "
    "21": "test_segmentation_docs.py runs it",
    "bench footprint --methods all --model resnet56": "it takes a minute",
    "bench report docs/results --out report": "it reads hundreds of runs; test_results.py computes its tables",
    "bench report results --figure accuracy_vs_bytes --methods csg,lowrank --style mine.mplstyle": "your style",
    "bench report results --open": "it opens a browser",
    "bench report results --watch": "it never ends",
    "bench run --methods csg,lowrank --corruptions CIFAR-10-C": "images that can't be had here",
    "bench run --methods csg,lowrank --dataset segfolder:DIR --model deeplabv3_resnet50 --weights pretrained "
    "--fresh-head": "weights that can't be had here",
    "bench run --methods csg:slice=16x16:code=128 --model deeplabv3_resnet50 --dataset voc:DIR --weights "
    "backbone=classified/runs/RUN": "test_segmentation_docs.py runs it, smaller",
    "bench run --methods csg:slice=16x16:code=128 --model resnet50 --dataset imagenet:DIR --out classified": (
        "test_segmentation_docs.py runs it, smaller"
    ),
    "bench run --methods csg,lowrank --dataset voc:DIR --schedule csg-voc:test_scales=0.5x0.75x1x1.25x1.5x1.75:"
    "test_flip=true": "test_segmentation_docs.py runs it, smaller",
    "bench run --spec sweep.toml --executor ray": "Ray is not installed for tests",
    "bench run --spec sweep.toml --executor ray --ray-address HOST:6379": "a cluster",
    "bench run --spec sweep.toml --executor ray --ray-address auto": "a cluster",
    "torchrun --nproc-per-node 8 -m bench.cli run --spec sweep.toml": "eight GPUs",
    "torchrun --nnodes 2 --node-rank 0 --nproc-per-node 8 --master-addr HOST --master-port 29500 -m bench.cli run "
    "--spec sweep.toml": "two machines",
    "torchrun --nnodes 2 --node-rank 1 --nproc-per-node 8 --master-addr HOST --master-port 29500 -m bench.cli run "
    "--spec sweep.toml": "two machines",
    "hf upload ME/my-results site --repo-type dataset": NOT_OURS,
    "[ $? -eq 75 ]": NOT_OURS,
    "scontrol requeue $SLURM_JOB_ID": NOT_OURS,
    "bench run --spec docs/results/tables/longer.toml --out again": "test_results.py plans each table",
    "bench run --spec docs/results/runs/RUN/spec.toml --out again": "test_results.py plans a run",
    "bench compare docs/results again": "it needs the run made again; test_compare.py compares stores",
    "python docs/results/rebuild.py --check": "test_results.py compares what it makes",
    "python docs/results/rebuild.py": "it would write the pages",
    "python docs/methods/refresh.py": "it would write the pages; test_method_pages.py compares what it makes",
    "python docs/results/collect.py published runs": "it would add runs to the results",
    "bench run --spec docs/results/tables/NAME.toml --out made": "test_results.py plans each table",
    "bench verify made": "it needs the runs of a table",
    "bench publish made --out published": "it needs the runs of a table",
    "python3 -m venv .venv": NOT_OURS,
    ".venv/bin/bench run --methods csg,lowrank": "it is installed there",
    ".venv/bin/pip install .": INSTALLS,
    ".venv/bin/pip install -e .[test]": INSTALLS,
    ".venv/bin/pip install tox": INSTALLS,
    "pip install csg-bench[ray]": INSTALLS,
    ".venv/bin/python -m pytest": "it would run itself",
    ".venv/bin/python -m pytest -m ''": "it would run itself",
}
# Those of tox, which would run this.
TOX = re.compile(r"(\.venv/bin/)?tox( -e (?P<environment>\S+))?")
# What a command must have beside, so that it ends, and trains nothing.
BESIDE = {"run": "--dry-run", "watch": "--once"}
# The first word of a line that is one. Trees of folders and formulas stand in indented blocks too.
PROGRAMS = re.compile(
    r"(\.venv/bin/\S+|bench|csg-bench|python3?|pip|tox|torchrun|srun|hf|scontrol|docker|podman|twine|git|\[) "
)


@dataclass(frozen=True)
class Block:
    """What stands on a page between two lines of ```, or indented."""

    kind: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    fenced = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    yield from (Block(kind, inside) for kind, inside in fenced.findall(text))
    for inside in re.findall(r"(?:^    .*\n)+", fenced.sub("", text), flags=re.MULTILINE):
        yield Block("indented", re.sub("^    ", "", inside, flags=re.MULTILINE))


def commands(page: str) -> list[str]:
    """Each as the shell takes it, without comments; what stands in one line behind && is another."""
    found = []
    for block in blocks(page):
        lines = re.sub(r"\\\n", " ", block.text).splitlines()
        if block.kind == "indented":
            lines = [line for line in lines if PROGRAMS.match(f"{line} ")]
        elif block.kind != "sh":
            continue
        for line in lines:
            words = shlex.split(line.removeprefix("srun "), comments=True)
            while "&&" in words:
                place = words.index("&&")
                found.append(plain(words[:place]))
                words = words[place + 1 :]
            found += [plain(words)] if words else []
    return found


def plain(words: list[str]) -> str:
    """So that `shlex.split` gives them again; quotes only where that needs them."""
    return " ".join(shlex.quote(word) if not word or re.search(r"[\s'\"#]", word) else word for word in words)


ALL = {page: commands(page) for page in PAGES}


def test_each_command_is_run_or_has_a_reason() -> None:
    everything = {line for page, lines in ALL.items() if page not in ELSEWHERE for line in lines}
    assert PARSED.keys() - everything == set(), "these are on no page any more"
    others = {line for line in everything if line.split()[0] not in ("bench", "csg-bench")}
    assert {line for line in others - PARSED.keys() if not TOX.fullmatch(line)} == set()
    assert all((Path(__file__).parent / name).is_file() and ALL[page] for page, name in ELSEWHERE.items())
    assert len(everything) > 80


def test_no_command_stands_in_a_block_that_is_not_looked_at() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.kind not in ("sh", "indented"):
                assert not re.search(r"^(bench|csg-bench|pip) ", block.text, flags=re.MULTILINE), page


def parse(words: list[str]) -> None:
    """Have our parser take it apart."""
    group = typer.main.get_command(app)
    name, *arguments = words
    own = group.commands[name]  # type: ignore[attr-defined]
    own.make_context(name, arguments).close()


@pytest.mark.parametrize("line", PARSED)
def test_what_is_not_run_can_be_parsed(line: str) -> None:
    program, *words = shlex.split(line)
    program = program.removeprefix(".venv/bin/")
    if program == "bench":
        parse(words)
    elif program == "torchrun":
        from torch.distributed.run import get_args_parser

        given = get_args_parser().parse_args(words)
        assert (given.training_script, given.module) == ("bench.cli", True)
        parse(given.training_script_args)
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"\[(.*)\]", words[-1]):
            assert words[-1].partition("[")[0] in (".", project["name"])
            assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    else:
        assert program in {"hf", "[", "scontrol", "python", "python3"}


def test_environments_of_tox_are_there() -> None:
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    there = {section.removeprefix("testenv:") for section in settings.sections()}
    named = {found["environment"] for lines in ALL.values() for line in lines if (found := TOX.fullmatch(line))}
    assert {"whole", "docs"} <= named
    assert {name for name in named if name} <= there | {"py"}


def write_images(folder: Path) -> None:
    """Some glyphs as a folder of PNG and as Parquet."""
    data = find(DATASETS, "glyphs").build(None, {"train": 60, "test": 40}).load(None, False)
    for name, split in data.splits().items():
        rows = []
        for number in range(len(split)):
            assert isinstance(split, Split)
            target = folder / "folder" / name / data.classes[number % 3] / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(split.images[number].permute(1, 2, 0).numpy()).save(target)
            rows.append({"bytes": target.read_bytes(), "path": target.name})
        features = {"label": {"_type": "ClassLabel", "names": list(data.classes)}, "image": {"_type": "Image"}}
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pyarrow.table({"image": rows, "label": split.targets.tolist()}).replace_schema_metadata(about)
        (folder / "parquet").mkdir(exist_ok=True)
        pyarrow.parquet.write_table(table, folder / "parquet" / f"{name}-00000-of-00001.parquet")
        for part, kind in (("images", "jpg"), ("masks", "png")):
            (folder / "segfolder" / name / part).mkdir(parents=True)
            for number in range(6):
                pixels = torch.zeros(16, 16, dtype=torch.uint8)
                pixels[:, :8] = 1
                Image.fromarray(pixels.numpy()).convert("RGB" if kind == "jpg" else "L").save(
                    folder / "segfolder" / name / part / f"{number}.{kind}"
                )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for there. Do not write to it."""
    folder = tmp_path_factory.mktemp("prepared")
    write_images(folder / "data")
    (network,) = (block.text for block in blocks("docs/your-network.md") if block.kind == "mynet.py")
    (folder / "mynet.py").write_text(network)
    asked = {"budgets": ["4x"], "seeds": 1, "dataset": "glyphs:train=300:test=100", "schedule": "quick:epochs=1"}
    asked["device"] = "cpu"
    run_sweep(spec.check({**asked, "methods": ["csg", "lowrank"]}), folder / "results")
    run_sweep(spec.check({**asked, "methods": ["csg"], "model": f"{folder / 'mynet.py'}:mynet"}), folder / "mine")
    for name in ("more", "other-results", "before", "after", *(f"part-{number}" for number in range(1, 9))):
        shutil.copytree(folder / "results", folder / name)
    shutil.copy(folder / "results" / "spec.toml", folder / "sweep.toml")
    (folder / "docs").symlink_to(ROOT / "docs")
    return folder


RUNNABLE = {
    page: [line for line in lines if line not in PARSED and line.split()[0] in ("bench", "csg-bench")]
    for page, lines in ALL.items()
    if page not in ELSEWHERE
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporters
@pytest.mark.parametrize("page", [page for page, lines in RUNNABLE.items() if lines])
def test_commands_work_in_their_order(
    page: str, command: Command, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    shutil.copytree(prepared, here, symlinks=True)
    monkeypatch.chdir(here)
    runs = {store: next((here / store / "runs").glob("csg-*")).name for store in ("results", "mine")}
    for line in RUNNABLE[page]:
        filled = re.sub(r"\b(folder|parquet|segfolder):DIR", rf"\1:{here}/data/\1", line)
        filled = filled.replace("mine/runs/RUN", f"mine/runs/{runs['mine']}").replace("$SLURM_ARRAY_TASK_ID", "1")
        words = shlex.split(re.sub(r"\bRUN\b", runs["results"], filled))[1:]
        if words[0] == "merge":
            shutil.rmtree(here / words[-1], ignore_errors=True)
        if words[0] == "run" and "--out" not in words:
            words += ["--out", "asked"]
        beside = BESIDE.get(words[0])
        code, out, err = command(*words, *([beside] if beside and beside not in words else []))
        assert code == 0, f"{line}\n{out}{err}"
        assert out or err, line
