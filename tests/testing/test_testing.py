"""The conformance kit itself: what breaks a rule fails the check that is about it, with a message that names it."""

import json
import re
import unittest
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PLUGINS, Command

from bench import testing
from bench.errors import InputError
from bench.method import Compressed
from bench.testing import kit
from bench.testing.subject import Subject

BROKEN = str(PLUGINS / "broken.py")

# How the method is broken, the check that must notice, and what it must say. resnet8 stores 75,290 values: 4x is
# 18,822, and a 100,000th is one.
FAULTS = [
    ("stores more", "meets_budgets", "at 2x it stores 73,728 values, but 37,645 were asked for; raise a BudgetError"),
    (
        "unmasked",
        "meets_budgets",
        r"at 2x it stores 75,290 values, but 37,645 were asked for: its zeros count, since no mask says that they "
        r"stay zero \(bench\.masks\.attach\)",
    ),
    ("crash", "meets_budgets", "it fails with RuntimeError: no such layer"),
    (
        "returns a module",
        "meets_budgets",
        r"it fails with TypeError: compress\(\) returned CifarResNet, not a Compressed; since version 0\.2 it must "
        r"`return Compressed\(network, structure\)` \(bench\.method\)",
    ),
    ("refuses without a number", "meets_budgets", "at 2x it refuses without a number: that is too small"),
    (
        "refuses the impossible without a number",
        "refuses_the_impossible",
        "at 100000x it refuses without a number: that is too small",
    ),
    (
        "half in name alone",
        "meets_budgets_of_bytes",
        r"at 4x in bytes it has 1\d\d,\d\d\d after training, but 75,290 were asked for: a float has four",
    ),
    (
        "rounds unsaid",
        "meets_budgets_of_bytes",
        r"at 4x in bytes 75,\d\d\d bytes are counted, but its file holds [34]\d,\d\d\d",
    ),
    ("never refuses", "refuses_the_impossible", r"it does not raise BudgetError for a budget of only 1 values"),
    (
        "numpy",
        "is_deterministic",
        r"two compressions with one seed differ in stage1\.0\.conv1\.weight, stage1\.0\.conv2\.weight, stage2\.0\.conv1"
        r"\.weight: draw every random number from context\.generator",
    ),
    ("random", "is_deterministic", r"two compressions with one seed differ in stage.*: draw every random number from"),
    ("one seed", "is_deterministic", "another seed gives the same network: compress the network that"),
    (
        "unseeded training",
        "is_deterministic",
        r"two trainings with one seed differ in conv1\.weight, .*: draw every random number of after_step and settle",
    ),
    ("unseeded settling", "is_deterministic", r"two trainings with one seed differ in conv1\.weight: draw every"),
    (
        "idle parameter",
        "trains_every_value",
        r"a gradient reaches only 0\.0% of the values of idle: the others are stored in vain",
    ),
    ("frozen parameter", "trains_every_value", r"a gradient reaches only 0\.0% of the values of idle"),
    ("idle buffer", "trains_every_value", r"a gradient reaches only 0\.0% of the values of idle"),
    (
        "vast steps",
        "steps_like_dense",
        r"a step moves the outputs [\d.e+]+ times as far as a step of dense; between 0\.033 and 30 is expected",
    ),
    (
        "one type",
        "trains_in_bfloat16",
        r"it can't train in bfloat16: .*; give both operands one type",
    ),
    ("strange decay", "declares_exceptions", r"decay names classifer, which is not a parameter of the compressed"),
    ("strange rates", "declares_exceptions", r"rates names classifer, which is not a parameter of the compressed"),
    (
        "loosened",
        "keeps_masks_and_count",
        r"the mask of stage1\.0\.conv1\.weight was not kept: it keeps 529 values when compressed, but 53\d after",
    ),
    ("loosened at the end", "keeps_masks_and_count", r"it keeps 529 values when compressed, but 2,304 after"),
    ("unmasks", "keeps_masks_and_count", r"the mask of stage1\.0\.conv1\.weight is gone after training"),
    ("grows", "keeps_masks_and_count", "it stores 18,822 values when compressed, but 18,829 after training"),
    (
        "wide",
        "is_counted_right",
        r"classifier\.linear\.(weight|bias) takes 8 bytes per value, but float32 takes 4: it holds more",
    ),
    (
        "values in the structure",
        "is_counted_right",
        r"structure\(\) takes 16,006 bytes beside 18,822 values, not counting names of layers: it is for the shape of "
        "the network",
    ),
    (
        "forgetful",
        "goes_on_from_any_step",
        r"stopped after step 5 of 10 and continued, training ends with other bits in .*: put everything that is not in "
        r"the network's tensors into structure\(\) or state\(\)",
    ),
    (
        "shape by weights",
        "goes_on_from_any_step",
        r"stopped after step 0 of 10, training can't go on in a fresh process: .* holds other tensors than the network",
    ),
    (
        "outside",
        "reloads_in_a_fresh_process",
        r"gives other outputs in a fresh process \(off by .*\): some value that it needs is not stored",
    ),
    (
        "shape by weights",
        "reloads_in_a_fresh_process",
        r"can't be loaded in a fresh process: .* missing or left over: classifier\.largest_",
    ),
    (
        "shape by weights",
        "finishes_with_the_same_outputs",
        "it fails with InputError: its file doesn't fit broken",
    ),
    (
        "finishes differently",
        "finishes_with_the_same_outputs",
        r"finish\(\) changes the outputs, by 0\.\d+ of the largest logit",
    ),
]
OWN_LOSS = str(PLUGINS / "own_loss.py")

# Until it is certain, they train for as long as anything does here.
SLOW_FAULTS = [
    (
        "faint",
        "can_overfit",
        r"it can't memorise 8 images: its lowest loss in \d+ passes is 2\.3 .*; check the scale",
    ),
    ("ends dead", "can_overfit", "it can't memorise 8 images"),
]


@pytest.mark.slow
@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize("method", ["broken", "broken:how=fixed"])
def test_what_breaks_no_rule_passes(method: str, check: str) -> None:
    testing.run(check, method, plugins=[BROKEN])


@pytest.mark.parametrize(("how", "check", "message"), FAULTS)
@pytest.mark.slow
def test_what_breaks_a_rule_fails_the_check_of_it(how: str, check: str, message: str) -> None:
    with pytest.raises(testing.CheckFailed, match=message):
        testing.run(check, f"broken:how={how}", plugins=[BROKEN])


@pytest.mark.slow
@pytest.mark.parametrize(("how", "check", "message"), SLOW_FAULTS)
def test_what_learns_nothing_fails_the_check_of_it(how: str, check: str, message: str) -> None:
    test_what_breaks_a_rule_fails_the_check_of_it(how, check, message)


@pytest.mark.slow
def test_masks_that_change_go_on_too() -> None:
    """They come back in the order in which a method makes them, in which `view` can be used."""
    testing.run("goes_on_from_any_step", "broken:how=loosened", plugins=[BROKEN])


def test_every_check_fails_something() -> None:
    """But for the one on a GPU, and those that have tests of their own: here, and in test_one_number."""
    assert testing.CHECKS.keys() - {check for _, check, _ in FAULTS + SLOW_FAULTS} == {
        "gives_the_gradients_it_declares",
        "says_what_it_does",
        "stores_one_value_a_number",
        "works_on_a_gpu",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    strength: float = 0.5", "its class needs a docstring whose first line is one sentence that says what it"),
        (
            '    """Half a sentence\n\n    and the rest."""',
            "its class needs a docstring whose first line is one sentence",
        ),
        (
            '    """It does something."""\n    strength: float = 0.5',
            r'its option strength needs a meaning: strength: Annotated\[\.\.\., "the meaning"\]',
        ),
    ],
)
def test_a_method_says_what_it_does_and_what_its_options_mean(tmp_path: Path, body: str, message: str) -> None:
    file = tmp_path / "silent.py"
    head = "from dataclasses import dataclass\nfrom bench.method import Method\n\n@dataclass(frozen=True)\n"
    file.write_text(f"{head}class Silent(Method):\n{body}\n")
    with pytest.raises(testing.CheckFailed, match=message):
        testing.run("says_what_it_does", "silent", plugins=[str(file)])


def test_a_method_that_meets_no_budget_is_skipped_with_its_reason() -> None:
    for check in ("meets_budgets", "can_overfit"):
        with pytest.raises(unittest.SkipTest, match="the rest stores 75,290 values"):
            testing.run(check, "broken:how=refuses all", plugins=[BROKEN])


@pytest.mark.parametrize("check", ["trains_every_value", "gives_the_gradients_it_declares"])
def test_a_mask_may_leave_nothing_of_a_layer(check: str) -> None:
    """Its rectifiers would stand at their edge if batch norm had no shift."""
    testing.run(check, "broken:how=empty layer", plugins=[BROKEN])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("meets_budget", "csg"), "unknown check 'meets_budget'; did you mean 'meets_budgets'?"),
        (("meets_budgets", "csq"), "unknown method 'csq'; did you mean 'csg'?"),
        (("meets_budgets", "csg", "resnet9"), "unknown model 'resnet9'; did you mean 'resnet"),
        (("meets_budgets", "all"), "can't check 'all'; name one method"),
    ],
)
def test_names_that_are_not_there(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        testing.run(*arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.slow
def test_all_checks_on_all_networks_each_with_its_outcome() -> None:
    results = list(testing.run_all("broken:how=grows", ["resnet8"], [BROKEN]))
    assert [(result.model, result.check) for result in results] == [("resnet8", check) for check in testing.CHECKS]
    outcomes = {result.check: result.outcome for result in results}
    if not torch.cuda.is_available():
        assert outcomes.pop("works_on_a_gpu") == "skipped"
    failed = {check for check, outcome in outcomes.items() if outcome == "failed"}
    # What grew at the end isn't known to the network that is built for the file either.
    assert failed == {"keeps_masks_and_count", "reloads_in_a_fresh_process", "finishes_with_the_same_outputs"}
    assert set(outcomes.values()) == {"passed", "failed"}


@pytest.mark.slow
def test_check_prints_a_line_for_each_and_its_exit_code_says_whether_any_failed(command: Command) -> None:
    arguments = ["--models", "resnet8", "--plugin", BROKEN]
    code, out, err = command("check", "broken", *arguments)
    assert (code, err) == (0, "")
    assert [line.split()[2].rstrip(":") for line in out.splitlines()] == list(testing.CHECKS)
    code, out, err = command("check", "broken:how=finishes differently", *arguments)
    assert (code, err) == (1, f"broken:how=finishes differently fails 1 of {len(testing.CHECKS)} checks\n")
    assert "failed   resnet8                  finishes_with_the_same_outputs: finish() changes the outputs, by" in out
    code, out, err = command("check", "broken:how=finishes differently", *arguments, "--json")
    assert (code, err) == (1, f"broken:how=finishes differently fails 1 of {len(testing.CHECKS)} checks\n")
    (failed,) = [row for row in json.loads(out) if row["outcome"] == "failed"]
    assert (failed["check"], failed["model"]) == ("finishes_with_the_same_outputs", "resnet8")
    assert failed["message"].startswith("finish() changes the outputs")


@pytest.mark.slow
def test_check_of_a_method_that_refuses_everything_proves_nothing(command: Command) -> None:
    code, out, err = command("check", "broken:how=refuses all", "--models", "resnet8", "--plugin", BROKEN)
    assert (code, err) == (1, "broken:how=refuses all refuses every budget here, so that little could be checked\n")
    # Told once.
    assert out.count("the rest stores 75,290 values") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("csq", "unknown method 'csq'; did you mean 'csg'?"),
        ("csg --models resnet8,resnet9", "unknown model 'resnet9'; did you mean 'resnet"),
        ("all", "can't check 'all'; name one method"),
    ],
)
def test_check_of_what_is_not_there_is_one_line(command: Command, arguments: str, message: str) -> None:
    code, out, err = command("check", *arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("what", ["teacher", "prior"])
@pytest.mark.slow
def test_a_loss_that_is_hidden_fails_and_one_that_is_declared_passes(what: str) -> None:
    check = "gives_the_gradients_it_declares"
    with pytest.raises(testing.CheckFailed, match=r"\(\w+\.weight\) is not the derivative of its loss"):
        testing.run(check, f"own-loss:what={what}:hidden=true", plugins=[OWN_LOSS])
    testing.run(check, f"own-loss:what={what}", plugins=[OWN_LOSS])


@pytest.mark.slow
def test_what_trains_between_steps_is_found() -> None:
    with pytest.raises(
        testing.CheckFailed, match=r"after_step\(\) moves [\d,]+ values of conv1\.weight: train them by a loss"
    ):
        testing.run("declares_exceptions", "own-loss:what=nudge", plugins=[OWN_LOSS])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "said"), [("hyper", "scaled"), ("lego", "straight-through"), ("csg", "exact")])
def test_what_a_method_declares_of_its_gradients_is_so(method: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another declaration is not."""
    check = "gives_the_gradients_it_declares"
    testing.run(check, method)
    other = "exact" if said != "exact" else "scaled"
    subject = kit.subject_of(method, testing.FAMILIES[0], ())
    compress = type(subject).compress

    def declaring(self: Subject, *given: Any) -> Compressed:
        compressed = compress(self, *given)
        assert compressed.gradients == said
        compressed.gradients = other
        return compressed

    monkeypatch.setattr(Subject, "compress", declaring)
    with pytest.raises(
        testing.CheckFailed, match=r"is not the derivative|its gradients are exact, but it declares that"
    ):
        testing.run(check, method)


def test_a_step_of_csg_goes_as_far_as_its_check_says() -> None:
    said = testing.run("steps_like_dense", "csg")
    assert re.fullmatch(
        r"a step moves the outputs [\d.]+ times as far as a step of dense, and its kernels [\d.]+ times .*", said
    )
    assert testing.run("steps_like_dense", "dense") == "a step moves the outputs 1 times as far as a step of dense"
