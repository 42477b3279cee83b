"""docs/the-papers-experiments.md: its commands are ones that can be given, and its numbers those that are counted."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from bench import count
from bench.measure import account
from bench.models._build import build_network
from bench.plan import plan, spec
from bench.plan.method_choice import find_methods
from bench.plugins import networks

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))
from streamed_files import imagenet, voc

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "the-papers-experiments.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL) for line in block.splitlines()]
ROWS = re.findall(r"^\| `(\S+)` \| (\d+)x\d+, K=(\d+).* \| ([\d,]+) \| ([\d,]+) \|$", TEXT, flags=re.MULTILINE)
COSTS = re.findall(r"^\| .* \| ([\d,]+) x (\d+) \| ([\d,.]+) \| ([\d.]+) \|$", TEXT, flags=re.MULTILINE)


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize(("name", "side", "code", "dense", "with_csg"), ROWS)
@pytest.mark.slow
def test_stored_values(name: str, side: str, code: str, dense: str, with_csg: str) -> None:
    model, is_small = networks.find(name).model, name.startswith(("resnet20", "resnet56", "densenet-bc"))
    classes = 10 if is_small else 21 if name.startswith("deeplab") else 1000
    network = build_network(model, 3, classes, 0)
    assert count.stored_values(network) == number(dense)
    (choice,) = find_methods([f"csg:slice={side}x{side}:code={code}"])
    made = account.compress(choice.method, network, None, 0, False, model.family)
    assert count.stored_values(made.network) == number(with_csg)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_make_a_plan(line: str, tmp_path: Path) -> None:
    program, verb, *rest = shlex.split(line)
    assert (program, verb) == ("bench", "run")
    given = dict(zip(rest[::2], rest[1::2], strict=False)) if "--download" not in rest else None
    if given is None:
        rest.remove("--download")
        given = dict(zip(rest[::2], rest[1::2], strict=True))
    # What the runs before it would have left is not there.
    assert given.pop("--weights", "backbone=resnet101/runs/RUN") == "backbone=resnet101/runs/RUN"
    dataset = given["--dataset"]
    made = {"imagenet:DIR": imagenet, "voc:DIR": voc}.get(dataset)
    if made is not None:
        dataset = dataset.replace("DIR", str(made(tmp_path / "data")))
    asked = spec.check(
        {
            "methods": given["--methods"].split(","),
            "dataset": dataset,
            "model": given["--model"],
            "schedule": given["--schedule"],
            "seeds": int(given.get("--seeds", 3)),
        }
    )
    runs = plan.from_spec(asked).runs
    assert len(runs) == asked.seeds * (1 + len(asked.methods))
    assert given.keys() <= {"--dataset", "--model", "--methods", "--schedule", "--seeds", "--out", "--data-dir"}


def test_the_backbone_of_deeplab_has_the_form_of_the_run_that_it_is_of() -> None:
    """That they fit is tested where backbones are filled (tests/files/test_compressed_backbone.py)."""
    deeplabs = [line for line in COMMANDS if "backbone=" in line]
    (source,) = (line for line in COMMANDS if line.endswith("--out resnet101"))
    methods = [re.findall("--methods (\\S+)", line) for line in (*deeplabs, source)]
    assert methods == [["csg:slice=16x16:code=128"]] * 3


@pytest.mark.slow
def test_operations_follow_from_multiply_accumulates() -> None:
    """Six for each, image and epoch; hours at 100 TFLOP/s."""
    cases = [
        *(("resnet20", 32, 10), ("resnet56", 32, 10), ("densenet-bc-40-48", 32, 10), ("resnet26", 224, 1000)),
        *(("resnet50", 224, 1000), ("resnet101", 224, 1000), ("deeplabv3plus-resnet101", 513, 21)),
    ]
    assert len(COSTS) == len(cases)
    for (name, pixels, classes), (images, epochs, operations, hours) in zip(cases, COSTS, strict=True):
        macs = count.forward_macs(build_network(networks.find(name).model, 3, classes, 0), (3, pixels, pixels))
        found = 6 * macs * number(images) * int(epochs)
        assert found / 1e15 == pytest.approx(float(operations.replace(",", "")), rel=0.02)
        assert found / 1e14 / 3600 == pytest.approx(float(hours), rel=0.25)
