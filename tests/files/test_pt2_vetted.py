"""pt2 files of strangers run no code: in the layout that torch writes from 2.8 on, and in the one of before."""

import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion

from bench.errors import InputError
from bench.files.exported import open_exported
from bench.files.exports import pt2_file, pt2_vetted

# Traced once, where pytest has several processes.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pt2 files")]

# The contents of a zip file by their names, without the folder around them.
Entries = dict[str, bytes]
LAYOUTS = ["new", "old"]
# The layout that this torch writes and opens. The other one is made by hand, to be refused.
OWN = "old" if TorchVersion(torch.__version__) < (2, 8) else "new"
GRAPH = {"new": "models/model.json", "old": "serialized_exported_program.json"}
EXAMPLES = {"new": "data/sample_inputs/model.pt", "old": "serialized_example_inputs.pt"}
WEIGHTS, WEIGHT = "data/weights/model_weights_config.json", "data/weights/weight_0"
BYTES = 4 * 6  # of the weight that is made by hand


@pytest.fixture(scope="module")
def written() -> bytes:
    """The pt2 file of a small network; its image size is free, so its graph has sizes in symbols."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return pt2_file.write(network.eval(), torch.randn(2, 1, 8, 8), any_size=True)


def entries_of(written: bytes, layout: str) -> Entries:
    with zipfile.ZipFile(io.BytesIO(written)) as file:
        own = {name.partition("/")[2] if OWN == "new" else name: file.read(name) for name in file.namelist()}
    graph = own[GRAPH[OWN]]
    if layout == OWN:
        return own
    if layout == "old":
        tensors = io.BytesIO()
        torch.save({"a": torch.ones(2, 3)}, tensors)
        stored = {f"serialized_{name}.pt": tensors.getvalue() for name in ("state_dict", "constants")}
        return {"version": b"8.2", GRAPH["old"]: graph, EXAMPLES["old"]: b"", **stored}
    (rows, columns), (far, near) = ([{"as_int": size} for size in sizes] for sizes in ((2, 3), (3, 1)))
    meta = {"dtype": 7, "sizes": [rows, columns], "strides": [far, near], "storage_offset": {"as_int": 0}}
    config = {"config": {"a": {"path_name": "weight_0", "use_pickle": False, "tensor_meta": meta}}}
    return {
        "archive_format": b"pt2",
        GRAPH["new"]: graph,
        EXAMPLES["new"]: b"",
        WEIGHTS: json.dumps(config).encode(),
        WEIGHT: bytes(BYTES),
    }


def file_of(entries: Entries, layout: str, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(f"network/{name}" if layout == "new" else name, content)
    return path


class Runs:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def saved(value: Any) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_computes_only_passes(written: bytes, tmp_path: Path, layout: str) -> None:
    """So the files below are refused for what was put into them."""
    entries = entries_of(written, layout)
    content = pt2_vetted.vetted(file_of(entries, layout, tmp_path / "good.pt2"))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert {name.removeprefix("network/") for name in file.namelist()} == entries.keys()


def _a_pickled_weight(entries: Entries, mark: Path) -> None:
    config = json.loads(entries[WEIGHTS])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    entries[WEIGHTS] = json.dumps(config).encode()
    entries[f"data/weights/{first['path_name']}"] = saved(Runs(mark))


def _a_custom_object(entries: Entries, mark: Path) -> None:
    entries["data/constants/opaque_obj_0"] = pickle.dumps(Runs(mark))


def _a_legacy_pickle(entries: Entries, mark: Path) -> None:
    entries["data/weights/model.pt"] = saved({"a": Runs(mark)})


def _a_compiled_library(entries: Entries, mark: Path) -> None:
    entries["data/aotinductor/model/a.so"] = b"\x7fELF"


def _pickled_weights(entries: Entries, mark: Path) -> None:
    entries["serialized_state_dict.pt"] = saved({"a": Runs(mark)})


def _pickled_constants(entries: Entries, mark: Path) -> None:
    entries["serialized_constants.pt"] = pickle.dumps({"a": Runs(mark)})


def graph_of(entries: Entries) -> str:
    (name,) = GRAPH.values() & entries.keys()
    return name


def _a_system_call(entries: Entries, mark: Path) -> None:
    graph = json.loads(entries[graph_of(entries)])
    node = graph["graph_module"]["graph"]["nodes"][-1]
    node["target"] = "torch.os.system"
    node["inputs"] = [{"name": "command", "arg": {"as_string": f"touch {mark}"}, "kind": 1}]
    entries[graph_of(entries)] = json.dumps(graph).encode()


def _an_operator_that_writes_files(entries: Entries, mark: Path) -> None:
    graph = json.loads(entries[graph_of(entries)])
    graph["graph_module"]["graph"]["nodes"][-1]["target"] = "torch.ops.aten.from_file.default"
    entries[graph_of(entries)] = json.dumps(graph).encode()


def _a_size_that_calls(entries: Entries, mark: Path) -> None:
    text = entries[graph_of(entries)].decode()
    start = text.index('"expr_str":') + len('"expr_str":')
    value, end = json.JSONDecoder().raw_decode(text[start:].lstrip())
    assert end
    call = json.dumps(f"__import__('pathlib').Path('{mark}').touch()")
    entries[graph_of(entries)] = text.replace(json.dumps(value), call).encode()


ATTACKS = [
    ("new", _a_pickled_weight, "is a pickle"),
    ("new", _a_custom_object, "it holds 'data/constants/opaque_obj_0', which torch would unpickle or run"),
    ("new", _a_legacy_pickle, "it holds 'data/weights/model.pt', which torch would unpickle or run"),
    ("old", _pickled_weights, "its serialized_state_dict.pt holds more than tensors"),
    ("old", _pickled_constants, "its serialized_constants.pt holds more than tensors"),
    *((layout, _a_compiled_library, "it holds 'data/aotinductor/model/a.so'") for layout in LAYOUTS),
    *((layout, _a_system_call, "its graph has the operator 'torch.os.system'") for layout in LAYOUTS),
    *((layout, _an_operator_that_writes_files, "which does more than compute") for layout in LAYOUTS),
    *((layout, _a_size_that_calls, "is more than arithmetic") for layout in LAYOUTS),
]


@pytest.mark.parametrize(("layout", "attack", "message"), ATTACKS)
def test_nothing_in_a_pt2_file_is_run(
    written: bytes, tmp_path: Path, layout: str, attack: Callable[[Entries, Path], None], message: str
) -> None:
    mark, entries = tmp_path / "mark", entries_of(written, layout)
    attack(entries, mark)
    path = file_of(entries, layout, tmp_path / "bad.pt2")
    with pytest.raises(InputError, match=r"bad\.pt2 is not opened: ") as refused:
        open_exported(path)
    assert message in str(refused.value)
    assert not mark.exists()


def test_pickles_and_code_that_nothing_needs_are_left_out(written: bytes, tmp_path: Path) -> None:
    """Example inputs and guards: torch would unpickle the one and run the other."""
    mark, entries = tmp_path / "mark", entries_of(written, OWN)
    graph = json.loads(entries[GRAPH[OWN]])
    if "guards_code" in graph:
        graph["guards_code"] = [f"__import__('pathlib').Path('{mark}').touch() is None"]
    entries |= {EXAMPLES[OWN]: saved((Runs(mark),)), GRAPH[OWN]: json.dumps(graph).encode()}
    path = file_of(entries, OWN, tmp_path / "odd.pt2")
    (tmp_path / "plain.pt2").write_bytes(written)
    images = torch.randn(2, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(open_exported(path).network(images), open_exported(tmp_path / "plain.pt2").network(images))
    assert not mark.exists()
    # It is no idle care: torch alone runs them.
    with path.open("rb") as file, suppress(Exception):
        torch.export.load(file)
    assert mark.exists()


@pytest.mark.parametrize("kept", [0, 4])
def test_weights_that_were_cut_short_are_named(written: bytes, tmp_path: Path, kept: int) -> None:
    entries = entries_of(written, "new")
    entries[WEIGHT] = entries[WEIGHT][:kept]
    path = file_of(entries, "new", tmp_path / "x.pt2")
    with pytest.raises(InputError) as refused:
        open_exported(path)
    assert re.search(
        rf"x.pt2 is not opened: its \S+ is cut short: [\d,]+ bytes are declared, and it holds {kept}$",
        str(refused.value),
    )


def test_what_torch_logs_before_an_error_is_the_error(
    written: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = entries_of(written, OWN)
    graph = json.loads(entries[GRAPH[OWN]])
    del graph["graph_module"]["signature"]
    entries[GRAPH[OWN]] = json.dumps(graph).encode()
    path = file_of(entries, OWN, tmp_path / "x.pt2")
    with pytest.raises(InputError, match=r"x.pt2 can't be opened by torch \S+: (?!.*see the warnings)") as refused:
        open_exported(path)
    assert "warnings above" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
