"""Networks by name and from files: found, called, told apart by their code, and what is wrong named."""

import importlib.util
import re
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
import torch
from conftest import STRIPES, run_sweep, tiny_spec
from torch import nn

import bench
from bench import count
from bench.cli.evaluate_saved import evaluate_saved
from bench.errors import InputError
from bench.files import artifact
from bench.files.artifact import Given
from bench.files.description import Description, Step
from bench.method import Compressed
from bench.models._build import build_network
from bench.plan import plan
from bench.plugins import networks
from bench.runs.verify.verifier import Verifier
from bench.store.record import FINISHED
from bench.store.store import Store

MYNET = '''
from torch import nn

WIDTH = 4


def mynet(channels: int, num_classes: int, depth: int = 1, bias: bool = True, share: float = 0.5) -> nn.Module:
    """A network of mine.

    With convolutions.
    """
    layers = [nn.Conv2d(channels, WIDTH, 3, bias=bias)]
    layers += [nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=bias) for _ in range(depth)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, num_classes))
'''
MODEL = """
from bench.model import Inputs, Model

net = Model(mynet, "A model of mine.", inputs=Inputs(8, 8, [1.0], [2.0]), family="mine")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mynet.py"
    path.write_text(MYNET)
    return path


def depth_of(text: str) -> int:
    """How many convolutions it has behind the first."""
    network = build_network(networks.find(text).model, 3, 10, seed=0)
    return sum(isinstance(module, nn.Conv2d) for module in network) - 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "text", "depth"),
    [
        (":mynet", "mynet.py:mynet", 1),
        ("", "mynet.py:mynet", 1),
        (":mynet:depth=3", "mynet.py:mynet:depth=3", 3),
        (":depth=3", "mynet.py:mynet:depth=3", 3),
        (":mynet:depth=3:bias=false", "mynet.py:mynet:bias=false:depth=3", 3),
        (":mynet:bias=no:depth=3", "mynet.py:mynet:bias=false:depth=3", 3),
        (":mynet:depth=1:share=0.50", "mynet.py:mynet", 1),
    ],
)
def test_a_function_in_a_file_with_its_options(file: Path, written: str, text: str, depth: int) -> None:
    """One text for each network, and one by which it is found again."""
    found = networks.find(f"{file}{written}")
    assert (found.kind, found.text, found.package) == ("file", text, "")
    assert found.asked == f"{file}{text.removeprefix('mynet.py')}"
    assert found.model.first_line == "A network of mine."
    assert networks.find(found.asked).identity() == found.identity() == [text, found.code]
    assert depth_of(found.asked) == depth


def test_a_model_in_a_file(file: Path) -> None:
    file.write_text(MYNET + MODEL)
    found = networks.find(f"{file}:net")
    assert (found.text, found.model.first_line, found.model.family) == ("mynet.py:net", "A model of mine.", "mine")
    assert depth_of(f"{file}:net:depth=2") == 2


def test_its_parameters_may_be_fewer_or_all(tmp_path: Path) -> None:
    """It gets the channels and the classes if it asks for them."""
    file = tmp_path / "nets.py"
    file.write_text(
        "from torch import nn\n"
        "def none(): return nn.Linear(1, 1)\n"
        "def one(num_classes): return nn.Linear(1, num_classes)\n"
        "def all(**given): return nn.Linear(*given.values())\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, channels, num_classes): super().__init__(channels, num_classes)\n"
    )
    shapes = {}
    for name in ("none", "one", "all", "Net"):
        network = build_network(networks.find(f"{file}:{name}").model, 3, 10, seed=0)
        shapes[name] = next(network.parameters()).shape
    assert shapes == {"none": (1, 1), "one": (10, 1), "all": (10, 3), "Net": (10, 3)}


def test_initial_weights_follow_the_seed(file: Path) -> None:
    model = networks.find(f"{file}:mynet").model
    one, same, other = (next(build_network(model, 3, 10, seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# ------------------------------------------------------------------------ what it is


def ids(model: str) -> list[str]:
    return [run.id for run in plan.from_spec(tiny_spec(["csg"], model=model)).runs]


def copy(folder: Path, text: str = MYNET, **others: str) -> str:
    """The network in this folder, with these files beside it."""
    folder.mkdir(parents=True)
    (folder / "mynet.py").write_text(text)
    for name, other in others.items():
        (folder / f"{name}.py").write_text(other)
    return f"{folder / 'mynet.py'}:mynet"


def test_ids_know_the_code_and_not_the_folder(tmp_path: Path) -> None:
    base = ids(copy(tmp_path / "one"))
    assert ids(copy(tmp_path / "two")) == base
    assert ids(copy(tmp_path / "three", f"# A comment.\n{MYNET}")) == base
    assert not set(ids(copy(tmp_path / "four", MYNET.replace("WIDTH = 4", "WIDTH = 5")))) & set(base)
    assert not set(ids(copy(tmp_path / "five") + ":depth=2")) & set(base)
    assert ids(copy(tmp_path / "six") + ":depth=1") == base


def test_neighbours_count_and_can_be_imported_either_way(tmp_path: Path) -> None:
    found = {}
    for number, (how, value) in enumerate([(".", 4), (".", 5), ("", 4), ("", 5)]):
        # Of a name of its own where it is absolute: modules stay imported.
        name = f"wide{number}" if not how else "wide"
        imported = MYNET.replace("WIDTH = 4", f"from {how}{name} import WIDTH")
        text = copy(tmp_path / str(number), imported, **{name: f"WIDTH = {value}\n"})
        network = build_network(networks.find(text).model, 3, 10, seed=0)
        assert next(network.parameters()).shape[0] == value
        found[how, value] = ids(text)
    assert not set(found[".", 4]) & set(found[".", 5])
    assert not set(found["", 4]) & set(found["", 5])


def test_a_folder_that_is_one_network(tmp_path: Path) -> None:
    text = copy(tmp_path / "mynet")
    assert networks.find(text.replace("/mynet.py", "")).asked == networks.find(text).asked == text
    before = networks.find(text).code
    (tmp_path / "mynet" / "part.py").write_text("X = 1\n")
    assert networks.find(text).code != before


def test_names_of_networks_that_have_one_are_their_identity() -> None:
    found = networks.find("resnet8")
    assert (found.kind, found.text, found.asked, found.identity()) == ("built-in", *["resnet8"] * 3)
    assert found.code == networks.find("resnet20").code != networks.find("resnet18").code


@pytest.mark.slow
def test_a_sweep_on_a_network_of_a_file_and_what_its_files_need(file: Path, tmp_path: Path) -> None:
    """The whole way: trained, saved, proved, loaded again by the network's name and code."""
    asked = tiny_spec(["sparse"], budgets=["2x"], model=f"{file}:depth=2")
    records, _ = run_sweep(asked, tmp_path / "store")
    assert [record["status"] for record in records] == [FINISHED] * 2
    assert {record["model"] for record in records} == {"mynet.py:mynet:depth=2"}
    assert {record["model_code"] for record in records} == {networks.find(f"{file}:mynet").code}
    assert not {record["model_package"] for record in records} - {None}
    run = Store(tmp_path / "store").folder_of(records[1]["id"])
    assert run is not None
    model = f"{file}:mynet:depth=2"
    assert count.stored_values(bench.load(run, model=model)) == records[1]["stored_values"]
    made_with = f"was made with mynet.py:mynet:depth=2 \\(code {records[0]['model_code'][:8]}...\\)"
    with pytest.raises(InputError, match=f"{made_with}; give --model mynet.py:mynet:depth=2, with the path of"):
        bench.load(run)
    with pytest.raises(InputError, match=f"{made_with}, not with mynet.py:mynet; give --model mynet.py:mynet:dep"):
        bench.load(run, model=f"{file}:mynet")
    other = copy(tmp_path / "other", MYNET.replace("range(depth)", "range(depth + 0)"))
    with pytest.raises(InputError, match=f"{made_with}, but .* has other code .*; --other-code accepts it"):
        bench.load(run, model=f"{other}:depth=2")
    theirs = Given((STRIPES,), f"{other}:depth=2", other_code=True)
    assert count.stored_values(bench.load(run, model=theirs.model, other_code=True)) > 0
    asked = (run, "stripes", tmp_path, False, torch.device("cpu"))
    assert evaluate_saved(*asked, theirs)["other_code"] == "mynet.py:mynet:depth=2"
    assert "other_code" not in evaluate_saved(*asked, Given((STRIPES,), model))
    verdict = Verifier(Store(tmp_path / "store"), theirs).verify()
    assert (verdict.other_code, verdict.wrong) == ({"mynet.py:mynet:depth=2"}, {})
    assert "measured with other code than it was made with: mynet.py:mynet:depth=2" in verdict.lines()
    unnamed = list(Verifier(Store(tmp_path / "store"), Given((STRIPES,))).verify().lines())
    assert re.fullmatch(r"runs/.* and 1 more: can't be measured again: .*; give --model .*", unnamed[0])
    assert unnamed[1:] == ["0 of 2 as recorded (2 sealed, 0 measured again)"]


# -------------------------------------------------------------------- installed packages


@pytest.mark.slow
def test_a_network_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_networks.py").write_text(MYNET + MODEL + "number = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint(name, f"{module}:{attribute}", "bench.models")
        for name, module, attribute in (
            ("theirs", "their_networks", "mynet"),
            ("their-model", "their_networks", "net"),
            ("a-number", "their_networks", "number"),
            ("missing", "their_networks", "nothing"),
            ("broken", "no_such_package", "net"),
        )
    ]
    monkeypatch.setattr(networks, "entry_points", lambda group: points if group == "bench.models" else [])
    found = networks.find("theirs")
    assert (found.kind, found.text, found.identity()) == ("package", "theirs", "theirs")
    assert networks.names()["theirs"] == found.model.first_line == "A network of mine."
    assert networks.names()["their-model"] == "of their_networks:net"
    assert networks.find("their-model").model.family == "mine"
    with pytest.raises(InputError, match="entry point their_networks:number is a int; it must be a function"):
        networks.find("a-number")
    for name in ("missing", "broken"):
        with pytest.raises(InputError, match=r"entry point .* can't be loaded: (AttributeError|ModuleNotFoundError): "):
            networks.find(name)
    points.append(EntryPoint("resnet8", "their_networks:mynet", "bench.models"))
    with pytest.raises(InputError, match="two models are called 'resnet8': ours and entry point their_networks:mynet"):
        networks.names()


def test_a_file_of_an_installed_network_is_held_to_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_code.py").write_text(MYNET)
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("theirs", "their_code:mynet", "bench.models")]
    monkeypatch.setattr(networks, "entry_points", lambda group: points if group == "bench.models" else [])
    found = networks.find("theirs")
    dense = Compressed(build_network(found.model, 3, 10, seed=0))
    description = Description(artifact.describe_model(found, 3, 10), (Step("dense", {}, {}),))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(artifact.pack(dense, description))
    assert count.stored_values(bench.load(path)) == count.stored_values(dense.network)
    (tmp_path / "their_code.py").write_text(MYNET.replace("range(depth)", "range(depth + 0)"))
    with pytest.raises(
        InputError, match=r"was made with theirs \(code .*\), but .* has other code .*; --other-code accepts"
    ):
        bench.load(path)
    assert bench.load(path, other_code=True)
    points.clear()
    with pytest.raises(InputError, match="unknown model 'theirs'"):
        bench.load(path)


needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs timm")


@pytest.mark.slow
@needs_timm
def test_a_network_of_timm() -> None:
    found = networks.find("timm:resnet10t")
    assert (found.kind, found.text, found.identity()) == ("timm", "timm:resnet10t", "timm:resnet10t")
    assert found.package == found.code == f"timm {version('timm')}"
    network = build_network(found.model, 1, 7, seed=0).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert found.model.inputs is not None
    assert len(found.model.inputs.mean) == 3


@needs_timm
def test_an_unknown_network_of_timm() -> None:
    with pytest.raises(
        InputError, match=r"unknown model of timm 'resnet10x'; did you mean 'resnet10t'\? have \d+, lik"
    ):
        networks.find("timm:resnet10x")
    for text in ("timm", "timm:"):
        with pytest.raises(InputError, match=r"which network of timm\? write timm:NAME, as timm:resnet10t"):
            networks.find(text)


def test_without_timm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm:NAME needs the package timm: pip install 'csg-bench\[timm\]'"):
        networks.find("timm:resnet10t")


# ------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (":mynett", "unknown network in mynet.py: 'mynett'; did you mean 'mynet'? have: mynet"),
        (":a/b", "unknown network in mynet.py: 'a/b'; have: mynet"),
        (":WIDTH", "mynet.py:WIDTH is a int; it must be a function that returns the network, or a Model"),
        (":nn", "mynet.py:nn is a module; it must be a function that returns the network, or a Model"),
        (":mynet:dept=3", "unknown option of mynet.py:mynet: 'dept'; did you mean 'depth'? have: bias, depth, share"),
        (":mynet:channels=3", "unknown option of mynet.py:mynet: 'channels'; have: bias, depth, share"),
        (":mynet:depth=two", "mynet.py:mynet: depth can't be 'two': input should be a valid integer"),
        (":", "can't read 'mynet.py:'; write name, name:option=value"),
        ("x:mynet", "no such plugin: "),
    ],
)
def test_what_is_wrong_is_named(file: Path, written: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        networks.find(f"{file}{written}")
    assert str(caught.value).startswith(message.format(file=file))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def one(): pass\ndef two(): pass\n", "which network in mynet.py? write mynet.py:FUNCTION; it has one, two"),
        (
            f"{MYNET}{MODEL}def _hidden(): pass\n",
            "which network in mynet.py? write mynet.py:FUNCTION; it has mynet, net",
        ),
        ("def _one(): pass\n", "which network in mynet.py? write mynet.py:FUNCTION; it has none"),
        ("1 +", "plugin {file} can't be imported: SyntaxError: "),
        ("raise RuntimeError('boom')", "plugin {file} can't be imported: RuntimeError: boom (mynet.py, line 1)"),
    ],
)
def test_a_file_without_one_network_is_named(file: Path, source: str, message: str) -> None:
    file.write_text(source)
    with pytest.raises(InputError) as caught:
        networks.find(str(file))
    assert str(caught.value).startswith(message.format(file=file))


def test_no_such_file_and_no_such_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such plugin: .*none\.py is not a Python file"):
        networks.find(f"{tmp_path}/none.py:net")
    with pytest.raises(InputError, match="unknown model 'resnet8:depth=3'; did you mean 'resnet8'"):
        networks.find("resnet8:depth=3")


def test_a_neighbour_that_another_module_hides_is_named(tmp_path: Path) -> None:
    """`import json` finds Python's, whatever lies beside the file."""
    text = copy(tmp_path / "one", f"import json\n{MYNET}", json="WIDTH = 4\n")
    with pytest.raises(InputError) as caught:
        networks.find(text)
    assert str(caught.value).startswith("mynet.py imports json, which is ")
    assert str(caught.value).endswith("and not the file beside it; rename that, or write `from .json import ...`")
    networks.find(copy(tmp_path / "two", f"from . import json\n{MYNET}", json="WIDTH = 4\n"))
    networks.find(copy(tmp_path / "three", f"import json\n{MYNET}", jason="WIDTH = 4\n"))


def test_a_hidden_neighbour_is_named_every_time(tmp_path: Path) -> None:
    text = copy(tmp_path / "one", f"import json\n{MYNET}", json="WIDTH = 4\n")
    for _ in range(2):
        with pytest.raises(InputError, match=r"mynet\.py imports json"):
            networks.find(text)


@pytest.mark.parametrize("how", ["what isn't there", "a package", "by way of another"])
def test_a_hidden_neighbour_is_named_in_other_ways_too(tmp_path: Path, how: str) -> None:
    match how:
        case "what isn't there":
            text = copy(tmp_path / "one", f"from json import WIDE\n{MYNET}", json="WIDE = 4\n")
        case "a package":
            text = copy(tmp_path / "one", f"import json\n{MYNET}")
            (tmp_path / "one" / "json").mkdir()
            (tmp_path / "one" / "json" / "__init__.py").write_text("")
        case _:
            text = copy(tmp_path / "one", f"from . import near\n{MYNET}", near="import json\n", json="")
    with pytest.raises(InputError, match=r"imports json, which is .*; rename that, or write"):
        networks.find(text)


def test_neighbours_may_import_each_other(tmp_path: Path) -> None:
    others = {"one_of_two": "import two_of_two\nWIDTH = 4\n", "two_of_two": "import one_of_two\n"}
    text = copy(tmp_path / "mine", MYNET.replace("WIDTH = 4", "from one_of_two import WIDTH"), **others)
    assert networks.find(text).text == "mynet.py:mynet"


@pytest.mark.xfail(strict=True, reason="only what the plugin's own file and files beside it import is looked for there")
def test_a_package_beside_it_may_import_what_lies_beside_both(tmp_path: Path) -> None:
    text = copy(tmp_path / "mine", MYNET.replace("WIDTH = 4", "from some_blocks import WIDTH"), beside_both="WIDTH = 4")
    (tmp_path / "mine" / "some_blocks").mkdir()
    (tmp_path / "mine" / "some_blocks" / "__init__.py").write_text("from some_blocks.inner import WIDTH\n")
    (tmp_path / "mine" / "some_blocks" / "inner.py").write_text("from beside_both import WIDTH\n")
    assert networks.find(text).text == "mynet.py:mynet"


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("return 3", r"the network's function gave a int; it must return a torch\.nn\.Module"),
        ("raise RuntimeError('boom')", r"the network can't be built: RuntimeError: boom \(mynet\.py, line 2\)"),
    ],
)
def test_a_function_that_builds_no_network_is_named(file: Path, does: str, message: str) -> None:
    file.write_text(f"def mynet(channels: int, num_classes: int):\n    {does}\n")
    with pytest.raises(InputError, match=message):
        build_network(networks.find(str(file)).model, 3, 10, seed=0)


def test_a_folder_may_be_called_like_a_python_file(tmp_path: Path) -> None:
    assert networks.find(copy(tmp_path / "a.python")).text == "mynet.py:mynet"


@pytest.mark.parametrize(
    "text",
    [
        "def net(channels, num_classes, depth=1):\n    return [channels] * depth\n",
        "class net(list):\n    def __init__(self, channels: int, num_classes: int, depth: int = 1):\n"
        "        super().__init__([channels] * depth)\n",
    ],
)
def test_options_without_annotations_and_of_classes_are_numbers(file: Path, text: str) -> None:
    file.write_text(text)
    model = networks.find(f"{file}:net:depth=3").model
    assert len(model.build(channels=1, num_classes=2)) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("width=None", (None, (1, 2), 3)),
        ("width=false", (False, (1, 2), 3)),
        ("width=(3, 4)", ((3, 4), (1, 2), 3)),
        ("width='3'", ("3", (1, 2), 3)),
        ("width=wide", ("wide", (1, 2), 3)),
        ("pair=3x4", (2, (3, 4), 3)),
        ("number=none", (2, (1, 2), None)),
    ],
)
def test_an_option_has_one_value_also_when_it_is_asked_for_again(file: Path, given: str, values: object) -> None:
    """The fresh process, and a saved spec, have the text alone."""
    file.write_text(
        "def net(channels, num_classes, width=2, pair: tuple[int, int] = (1, 2), number: int | None = 3):\n"
        "    return width, pair, number\n"
    )
    found = networks.find(f"{file}:net:{given}")
    again = networks.find(found.asked)
    assert again.text == found.text
    assert again.model.build(1, 2) == found.model.build(1, 2) == values


def test_annotations_for_type_checkers_alone(file: Path) -> None:
    head = "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
    body = "def mynet(channels: int, num_classes: int) -> nn.Module: ...\n"
    file.write_text(f"{head}    from torch import nn\n{body}")
    assert networks.find(f"{file}:mynet").text == "mynet.py:mynet"


def test_a_model_with_options_has_no_other_widths(file: Path) -> None:
    file.write_text(f"{MYNET}\n{MODEL.replace('inputs=', 'widths=(4,), resize=lambda *_: mynet(3, 10), inputs=')}")
    assert networks.find(f"{file}:net:depth=2").model.resize is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_b_16", "a transformer has its values in linear layers"),
        ("swin_t", "a transformer"),
        ("maxvit_t", "a transformer"),
        ("swin3d_t", "it takes videos"),
        ("fasterrcnn_resnet50_fpn", "it finds objects, and bench compares"),
        ("quantized_resnet18", "its values are quantised already"),
    ],
)
def test_what_is_left_out_is_no_unknown_name(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^model '{name}' is left out: {reason}"):
        networks.find(name)


@pytest.mark.slow
def test_all_of_torchvision_s_networks_are_there_or_left_out_for_a_reason() -> None:
    torchvision = pytest.importorskip("torchvision")
    for name in torchvision.models.list_models():
        if name not in networks.names():
            with pytest.raises(InputError, match="is left out"):
                networks.find(name)
