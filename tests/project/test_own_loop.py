"""docs/your-own-loop.md: its code, in its order, does what the text says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from bench.errors import BudgetError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "your-own-loop.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporters
def test_its_code_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "your-own-loop.md", "exec"), names)
    assert "glyphs" not in capsys.readouterr().out  # the sweep prints nothing; the table has no dataset
    network, trained, images, accuracy = (names[name] for name in ("network", "trained", "images", "accuracy"))
    assert accuracy(network) < 60 < 95 < accuracy(trained)  # it stayed as it was
    dense = names["dense_values"]
    for name, ratio in (("small_values", 4), ("pruned_values", 4), ("kept", 8)):
        assert names[name] == pytest.approx(dense / ratio, rel=0.01)
    for name in ("small", "pruned", "sparse"):
        assert accuracy(names[name]) > 95
    assert names["before"] == dense
    assert names["zeros"] == dense - names["kept"]

    with torch.inference_mode():
        expected = names["small"](images[:8])
    state = torch.load("small.pth", weights_only=True)
    assert all(torch.equal(value, names["small"].state_dict()[key]) for key, value in state.items())
    program = torch.export.load("small.pt2").module()
    torch.testing.assert_close(program(images[:8]), expected, rtol=1e-4, atol=1e-4)
    session = onnxruntime.InferenceSession("small.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": images[:8].numpy()})
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    assert list(names["runs"]["method"]) == ["dense", "csg", "lowrank"]

    for method in re.findall(r"`(\w+)`", re.findall(r"(.*) make the network at other widths", TEXT)[0]):
        made = names["bench"].compress(network, method, budget="2x")
        assert names["bench"].count_values(made.network) == pytest.approx(dense / 2, rel=0.01)
    with pytest.raises(BudgetError, match="it must not matter how an image is turned"):
        names["bench"].compress(network, "gcnn", budget="2x")


def test_no_code_is_out_of_the_tests_sight() -> None:
    """Blocks of another kind, or indented ones, would not be run."""
    assert set(re.findall(r"^ *```(\w*)", TEXT, flags=re.MULTILINE)) == {"python", ""}
    assert not re.findall(r"^    ", re.sub(r"```python\n.*?```", "", TEXT, flags=re.DOTALL), flags=re.MULTILINE)
