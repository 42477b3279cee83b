"""Generators that CSG reuses from other runs: frozen, counted, told apart by their content, declared."""

import math
from pathlib import Path

import pytest
import torch
from conftest import tiny_spec
from csg_networks import compressed, group, saved
from inside import kernels_of

from bench import count
from bench.errors import BudgetError, InputError
from bench.files import artifact
from bench.methods.csg.csg import CSG
from bench.plan import plan


def test_a_reused_generator_is_frozen_stored_and_counted(tmp_path: Path) -> None:
    source = compressed(CSG(slice=(12, 12), code=9), "resnet8")
    file = saved(tmp_path / "source.safetensors", source)
    method = CSG(generator=file)
    assert not method.sized_by_budget
    made = compressed(method, "resnet20")
    part = group(made)
    assert torch.equal(part.slices, group(source).slices)
    assert not part.slices.requires_grad
    plain = compressed(CSG(slice=(12, 12), code=9), "resnet20")
    assert count.stored_values(made.network) == count.stored_values(plain.network)
    assert count.trained_values(made.network) == count.trained_values(plain.network) - 9 * 1296
    kernel = kernels_of(made)["stage1.0.conv1.weight"]
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / 144), rel=0.5)
    # The saved network stands on its own: the file that the generator came from is not needed to load it.
    written = saved(tmp_path / "reusing.safetensors", made, "resnet20")
    file.unlink()
    images = torch.zeros(1, 3, 8, 8) + 0.5
    loaded = artifact.load(written)
    assert torch.equal(loaded.network(images), made.network.eval()(images))
    assert not group(loaded).slices.requires_grad


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    method = CSG(code=2)
    one, same, other = (tmp_path / name for name in ("one.safetensors", "same.safetensors", "other.safetensors"))
    saved(one, compressed(method, "resnet8"))
    same.write_bytes(one.read_bytes())
    saved(other, compressed(method, "resnet8", seed=1))
    ids = [plan.from_spec(tiny_spec([f"csg:generator={file}"])).runs[1].id for file in (one, same, other)]
    assert ids[0] == ids[1] != ids[2]
    run = plan.from_spec(tiny_spec([f"csg:generator={one}"])).runs[1]
    assert (run.choice.label, run.budget) == ("csg:generator=one.safetensors", None)


def test_files_that_hold_no_generator_to_reuse_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    good, random, other = (tmp_path / f"{name}.safetensors" for name in ("good", "random", "other"))
    saved(good, compressed(CSG(code=2, slice=(12, 12)), "resnet8"))
    saved(random, compressed(CSG(code=2, generator="binary"), "resnet8"))
    other.write_text("not a network")
    for options, message in [
        (f"generator={good}:slice=8x8", r"slice can't be 8x8; that of .* is 12x12"),
        (f"generator={good}:code=3", r"code can't be 3; the generator of .* has 2 slices"),
        (f"generator={random}", "holds no linear generator to reuse"),
        (f"generator={other}", "is neither an artifact of bench"),
    ]:
        with pytest.raises(InputError, match=message):
            plan.from_spec(tiny_spec([f"csg:{options}"]))


def test_a_generator_for_other_kernel_sizes_is_a_missed_run(tmp_path: Path) -> None:
    made = compressed(CSG(code=2, layers="*", kernel="1x1", slice=(4, 4)), "densenet-bc-40-12")
    file = saved(tmp_path / "pointwise.safetensors", made, "densenet-bc-40-12")
    with pytest.raises(BudgetError, match="has generators for 1x1, and this network needs 3x3"):
        compressed(CSG(generator=file), "resnet8")


def test_reused_generators_go_by_the_name_of_their_run_and_are_declared(tmp_path: Path) -> None:
    names = ("one", "other")
    for seed, name in enumerate(names):
        (tmp_path / name).mkdir()
        saved(tmp_path / name / "weights.safetensors", compressed(CSG(code=2), "resnet8", seed=seed))
    asked = tiny_spec([f"csg:generator={tmp_path / name}" for name in (names[0], "other/weights.safetensors")])
    choices = [run.choice for run in plan.from_spec(asked).runs[1:]]
    assert [choice.label for choice in choices] == ["csg:generator=one", "csg:generator=other"]
    declared = "its generator was trained before, for an unknown number of epochs in resnet8"
    assert choices[0].method.exceptions().startswith(declared)
    assert CSG().exceptions() == ""
    (tmp_path / "other" / "weights.safetensors").write_bytes((tmp_path / "one" / "weights.safetensors").read_bytes())
    with pytest.raises(InputError, match="'csg:generator=one' and 'csg:generator=other' are one and the same"):
        plan.from_spec(asked)
