"""Weights of any ordinary file: what is found in it, what fits a network, and a line for what can't be used."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_sweep, tiny_spec
from safetensors.torch import save_file
from torch import Tensor, nn

from bench import testing
from bench.errors import InputError
from bench.files.start_weights import find
from bench.files.weights.fit import content_hash
from bench.files.weights.state_dict import read
from bench.plan import plan
from bench.plugins import networks
from bench.store.record import FINISHED

RESNET8 = networks.find("resnet8")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Of a resnet8 for 3 channels and 10 classes. Do not write to it."""
    return dict(testing.network("resnet8", seed=4).state_dict())


def started(path: Path, channels: int = 3, classes: int = 10, **options: Any) -> dict[str, Tensor]:
    """The state of a resnet8 of another seed that starts from the file."""
    start = find(str(path), RESNET8, **options).open(channels, classes)
    return dict(start(testing.network("resnet8", channels, classes, seed=7), 7).state_dict())


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "best_acc1": torch.tensor(71.0), "arch": "resnet8"},
        lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {"net": prefixed(state, "module."), "acc": 91.0, "epoch": 160},
        lambda state: prefixed(state, "module."),
        lambda state: prefixed(state, "_orig_mod."),
        lambda state: prefixed(state, "module._orig_mod."),
        lambda state: {"state_dict": prefixed(state, "model.")},
        lambda state: prefixed(state, "backbone."),
        lambda state: {"ema": {"module": state}},
        lambda state: {**prefixed(state, "module."), "n_averaged": torch.tensor(5)},
        lambda state: {name: tensor for name, tensor in state.items() if "num_batches_tracked" not in name},
        lambda state: {"conv1._orig_mod.weight" if n == "conv1.weight" else n: tensor for n, tensor in state.items()},
    ],
)
def test_wrappers_and_prefixes_are_found(
    wrapped: Callable[[dict[str, Tensor]], Any], state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(wrapped(state), tmp_path / "any.name")
    assert same(started(tmp_path / "any.name"), state)


@pytest.mark.parametrize("ending", [".pth", ".bin", ".tar", ""])
def test_the_old_format_is_read_whatever_the_file_is_called(
    ending: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / f"old{ending}"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert same(started(path), state)


@pytest.mark.parametrize("is_zip", [True, False])
def test_what_torch_saved_is_read_under_the_name_of_another_format(
    is_zip: bool, state: dict[str, Tensor], tmp_path: Path
) -> None:
    """torch itself goes by the name."""
    path = tmp_path / "weights.safetensors"
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    assert same(started(path), state)


def test_a_copy_in_another_format_has_the_same_identity(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth")
    torch.save({"state_dict": prefixed(state, "module.")}, tmp_path / "wrapped.tar")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    found = [find(str(tmp_path / name), RESNET8) for name in ("w.pth", "wrapped.tar", "w.safetensors")]
    assert {weights.identity for weights in found} == {content_hash(state)}
    assert [weights.columns()["weights"] for weights in found] == ["w.pth", "wrapped.tar", "w.safetensors"]
    assert same(started(tmp_path / "w.safetensors"), state)
    other = {**state, "conv1.weight": state["conv1.weight"] + 1}
    torch.save(other, tmp_path / "other.pth")
    assert find(str(tmp_path / "other.pth"), RESNET8).identity != found[0].identity


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_that_is_said(
    kind: torch.dtype, state: dict[str, Tensor], tmp_path: Path
) -> None:
    small = {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    torch.save(small, tmp_path / "w.pth")
    weights = find(str(tmp_path / "w.pth"), RESNET8)
    (note,) = weights.notes
    assert note.startswith(f"w.pth: values of {str(kind).removeprefix('torch.')} were converted")
    expected = {name: tensor.to(state[name].dtype) for name, tensor in small.items()}
    assert same(started(tmp_path / "w.pth"), expected)


def test_what_torch_can_not_read_safely_is_not_said_to_run_code(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "w.pth", pickle_protocol=4)
    with pytest.raises(InputError, match=r"was saved with pickle's protocol 4, .* save it without pickle_protocol"):
        find(str(tmp_path / "w.pth"), RESNET8)


def test_averaged_weights_go_before_plain_ones(state: dict[str, Tensor], tmp_path: Path) -> None:
    plain = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"state_dict": plain, "state_dict_ema": state}, tmp_path / "w.pth")
    (note,) = find(str(tmp_path / "w.pth"), RESNET8).notes
    assert "averaged weights (EMA, under state_dict_ema) and plain ones (under state_dict); the averaged ones" in note
    assert same(started(tmp_path / "w.pth"), state)


def test_tensors_of_a_gpu_are_read_on_the_cpu(state: dict[str, Tensor], tmp_path: Path) -> None:
    """What torch writes on a GPU differs from what it writes here in the places that the pickle names."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(tmp_path / "cuda.pth", "w", zipfile.ZIP_STORED) as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("data.pkl"):
                # Text in a pickle of protocol 2: X, its length in four bytes, the letters.
                cpu, cuda = b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0"
                assert cpu in content
                content = content.replace(cpu, cuda)
            out.writestr(name, content)
    assert same(started(tmp_path / "cuda.pth"), state)


def test_what_shares_a_tensor_may_be_there_once(tmp_path: Path) -> None:
    (tmp_path / "tied.py").write_text(
        "from torch import nn\n\n\n"
        "class Tied(nn.Module):\n"
        "    def __init__(self, channels, num_classes):\n"
        "        super().__init__()\n"
        "        self.one = nn.Conv2d(channels, channels, 3, padding=1)\n"
        "        self.other = self.one\n"
        "        self.head = nn.Linear(channels, num_classes)\n\n"
        "    def forward(self, x):\n"
        "        return self.head(self.other(self.one(x)).mean((2, 3)))\n\n\n"
        "def net(channels, num_classes):\n"
        "    return Tied(channels, num_classes)\n"
    )
    model = networks.find(f"{tmp_path / 'tied.py'}:net")
    written = {"one.weight": torch.ones(3, 3, 3, 3), "one.bias": torch.zeros(3)}
    torch.save({**written, "head.weight": torch.ones(5, 3), "head.bias": torch.ones(5)}, tmp_path / "w.pth")
    start = find(str(tmp_path / "w.pth"), model).open(3, 5)
    network = start(testing.network(f"{tmp_path / 'tied.py'}:net", 3, 5), 0)
    assert torch.equal(network.state_dict()["other.weight"], written["one.weight"])


def test_a_classifier_of_another_size_is_fresh_only_if_asked(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(state, path)
    with pytest.raises(
        InputError, match=r"the classifier of .*w.pth does not fit the 7 classes .*; --fresh-head starts"
    ):
        started(path, classes=7)
    fresh = started(path, classes=7, fresh_head=True)
    own = testing.network("resnet8", 3, 7, seed=7).state_dict()
    heads = {name for name in state if fresh[name].shape != state[name].shape}
    assert {name.rpartition(".")[2] for name in heads} == {"weight", "bias"}
    assert all(torch.equal(fresh[name], own[name] if name in heads else state[name]) for name in state)
    backbone = {name: tensor for name, tensor in state.items() if not name.startswith("classifier")}
    torch.save(backbone, tmp_path / "backbone.pth")
    assert same(started(tmp_path / "backbone.pth", classes=7, fresh_head=True), fresh)
    with pytest.raises(InputError, match=r"2 of \d+ tensors are missing \(classifier.weight, classifier.bias\)"):
        started(tmp_path / "backbone.pth")
    with pytest.raises(InputError, match=r"--fresh-head is not needed: the classifier of .*w.pth fits the classes"):
        started(path, fresh_head=True)
    # Other channels are another network.
    with pytest.raises(
        InputError, match=r"does not fit resnet8: 1 has another shape \(conv1.weight 16x3x3x3, not 16x1"
    ):
        started(path, channels=1)


class Unsafe:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _saved(content: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content(path) if callable(content) else content, path)


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.zeros(3))


def _zipped(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"{}")

    return write


def _other_network(path: Path) -> None:
    torch.save(testing.network("mobilenetv2-cifar").state_dict(), path)


def _half(path: Path) -> None:
    state = testing.network("resnet8").state_dict()
    torch.save({name: state[name] for name in list(state)[::2]}, path)


def _broken(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = testing.network("resnet8").state_dict()
        state["conv1.weight"][0, 0, 0, 0] = value
        torch.save(state, path)

    return write


def _cut(path: Path) -> None:
    torch.save(testing.network("resnet8").state_dict(), path)
    path.write_bytes(path.read_bytes()[:20_000])


def _whole(path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3)), path)


def _whole_old(path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3)), path, _use_new_zipfile_serialization=False)


def _optimizer(path: Path) -> None:
    torch.save(torch.optim.Adam(testing.network("resnet8").parameters()).state_dict(), path)


def _whole_numbers(path: Path) -> None:
    state = testing.network("resnet8").state_dict()
    torch.save({**state, "conv1.weight": state["conv1.weight"].to(torch.int8)}, path)


def _flipped(path: Path) -> None:
    """One byte of one tensor is another."""
    weight = torch.full((16, 3, 3, 3), 1.234)
    torch.save({**testing.network("resnet8").state_dict(), "conv1.weight": weight}, path)
    content = path.read_bytes()
    place = content.index(weight.numpy().tobytes())
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


STATE = "torch.save\\(network.state_dict\\(\\), FILE\\)"
REFUSED = {
    "another network": (_other_network, "does not fit resnet8: [0-9]+ of 44 tensors are missing .* are left over"),
    "half the keys": (_half, r"does not fit resnet8: \d+ of 44 tensors are missing \(\S+, \S+, \S+ and \d+ more\)$"),
    "malicious": (
        _saved(lambda path: {"state_dict": Unsafe(path.parent / "ran")}),
        rf"would run code if it were loaded \(\w+.mkdir\).* save only the weights: {STATE}",
    ),
    "malicious pickle": (
        lambda path: path.write_bytes(pickle.dumps(Unsafe(path.parent / "ran"), protocol=2)),
        r"would run code if it were loaded \(\w+.mkdir\)",
    ),
    "malicious pickle of today": (
        lambda path: path.write_bytes(pickle.dumps(Unsafe(path.parent / "ran"))),
        r"would run code if it were loaded \(\w+.mkdir\)",
    ),
    "whole": (_whole, rf"holds a whole network, saved by torch.save\(network\), .* save only its weights: {STATE}"),
    "whole, old format": (_whole_old, "holds a whole network, saved by torch.save"),
    "torchscript": (_zipped("net/data.pkl", "net/constants.pkl"), "is a TorchScript archive, .*torch.jit.load"),
    "optimizer": (_optimizer, "holds no weights of a network, but an optimiser's state"),
    "optimizer and epoch": (_saved({"optimizer": {"state": {}}, "epoch": 3}), "but an optimiser's state \\(optimizer,"),
    "nothing in it": (_saved({}), "holds no weights of a network: it is an empty dict"),
    "a list": (_saved([torch.zeros(2)]), "holds a list, not a state_dict"),
    "two networks": (
        _saved({"model": {"a": torch.zeros(1)}, "net": {"a": torch.zeros(1)}}),
        r"holds several networks \(model, net\)",
    ),
    "text": (lambda path: path.write_text("epoch 1: 71 %\n"), "is a text file; give a state_dict that torch.save"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "noise": (lambda path: path.write_bytes(bytes(range(129, 256)) * 4), "is neither a file of torch.save nor"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "index": (
        lambda path: path.write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": {"a": "1.bin"}})),
        "is only an index of weights in several files",
    ),
    "nan": (_broken(float("nan")), r"1 of 432 values of conv1.weight are NaN or infinite"),
    "infinite": (_broken(float("inf")), r"1 of 432 values of conv1.weight are NaN or infinite"),
    "whole numbers": (_whole_numbers, r"does not fit resnet8: 1 holds whole numbers \(conv1.weight\)"),
    "npz": (_npz, r"holds arrays of NumPy \(npz\)"),
    "keras": (_zipped("config.json", "model.weights.h5"), "holds a network of Keras"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)), "is an HDF5 file, like those that Keras"),
    "exported": (_zipped("net/archive_format", "net/models/model.json"), r"is an exported program \(pt2\)"),
    "zip": (_zipped("photo.png"), "is a zip file that torch.save did not write"),
    "a byte": (_flipped, r"is damaged: w/data/\d+ in it doesn't match its checksum; fetch or copy it again$"),
    "meta": (
        _saved({"w": torch.empty(2, device="meta")}),
        "can't be used: w is on torch's meta device, and has no values",
    ),
    "expanded": (
        _saved({"w": torch.zeros(1).expand(10**6, 10**6)}),
        r"can't be used: w is 1000000x1000000, and the file holds 1 of these 1,000,000,000,000 values .* \.contiguous",
    ),
    "cut": (_cut, "is cut short or damaged"),
    "half a header": (lambda path: path.write_bytes(bytes([200, *bytes(7)]) + b"{"), "can't be read as safetensors"),
    "folder": (lambda path: path.mkdir(), "no such file: .*/weights.safetensors"),
    "nowhere": (lambda path: None, "no such file"),
}


def test_a_name_without_the_wrapper_hides_no_wrapper(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**prefixed(state, "module."), "epoch_tensor": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"does not fit resnet8: 1 is left over \(epoch_tensor\)$"):
        find(str(tmp_path / "w.pth"), RESNET8)
    # And no tensor goes for another of its name.
    torch.save({**prefixed(state, "module."), "conv1.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"does not fit resnet8: 1 is left over \(module.conv1.weight\)$"):
        find(str(tmp_path / "w.pth"), RESNET8)


def test_a_file_without_checksums_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    writes = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(writes)
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.testzip() is not None
    assert same(started(tmp_path / "w.pth"), state)


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_not_be_used_is_one_line(what: str, tmp_path: Path) -> None:
    write, message = REFUSED[what]
    path = tmp_path / "w.pth"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        find(str(path), RESNET8)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + 2 * len(str(path))
    assert not (tmp_path / "ran").exists()


def test_a_real_torchscript_archive_is_told(tmp_path: Path) -> None:
    """Its parts are the names above; torch no longer likes to be asked for one."""
    names = [f"archive/{name}" for name in ("data.pkl", "code/__torch__.py", "constants.pkl", "version")]
    _zipped(*names)(tmp_path / "net.pt")
    with pytest.raises(InputError, match="is a TorchScript archive"):
        read(tmp_path / "net.pt")


def test_names_in_a_file_can_not_reach_the_terminal(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**state, "\x1b[2J\u202eevil\n" + 200 * "x": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"1 is left over \(\\x1b\[2J\\u202eevil\\nx+\.\.\.\)$"):
        find(str(tmp_path / "w.pth"), RESNET8)


@pytest.mark.slow
def test_a_sweep_starts_from_a_state_dict(tmp_path: Path) -> None:
    state = testing.network("resnet8", 1, 3, seed=4).state_dict()
    torch.save(state, tmp_path / "w.pth")
    asked = tiny_spec(
        ["csg:init=svd:compress_at=0"], budgets=["2x"], weights=str(tmp_path / "w.pth"), normalise="dataset"
    )
    records, _ = run_sweep(asked, tmp_path / "out")
    assert {record["status"] for record in records} == {FINISHED}
    assert {record["weights"] for record in records} == {"w.pth"}
    assert {record["weights_code"] for record in records} == {content_hash(state)}
    assert {record["weights_epochs"] for record in records} == {None}
    plain = {run.id for run in plan.from_spec(tiny_spec(["csg"], budgets=["2x"])).runs}
    assert plain.isdisjoint(record["id"] for record in records)
