"""Structures: what a method says of a network's shape is all that it takes to make a network of this shape."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import images
from torch import Tensor

from bench import count, masks, testing
from bench.measure import account
from bench.method import Compressed, Context
from bench.plugins import discovery
from bench.testing import kit
from bench.testing.subject import Subject

METHODS = [*discovery.available(discovery.METHODS)]
VARIANTS = [
    "basis:channels=16:shared=false",
    "csg:generator=binary:tiling=view",
    "csg:hidden=2:slice=4x4",
    "gcnn:group=p4",
    "hashing:share=network:block=16:sign=false",
    "hyper:block=4x8",
    "kmeans:clusters=5",
    "lego:split=3",
    "lowrank:kind=cp",
    "pruning:importance=taylor",
    "separable:between=norm-relu",
    "sparse:training=gradual",
]
CASES = [
    *((text, "resnet8") for text in METHODS),
    *(pytest.param(text, "resnet8", marks=pytest.mark.slow) for text in VARIANTS),
    *(pytest.param(text, "densenet-bc-40-12", marks=pytest.mark.whole) for text in METHODS),
]
# These leave all layers as they are.
PLAIN = ("dense", "given", "sparse")


def tensors_of(made: Compressed) -> dict[str, Tensor]:
    """What a file of it holds."""
    return {**count.stored_tensors(made.network), **count.statistics(made.network)}


def rebuilt(subject: Subject, structure: dict[str, Any], seed: int) -> Compressed:
    """By the method as it is without options, where random numbers come from this seed."""
    random = torch.Generator().manual_seed(seed)
    before = random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        context = Context(random, trained=False, family=subject.model.model.family)
        made = type(subject.method)().rebuild(subject.network(), structure, context)
    assert torch.equal(random.get_state(), before)
    return made


def numbers_in(structure: object) -> Iterator[float]:
    match structure:
        case dict():
            yield from numbers_in(list(structure.values()))
        case list():
            for value in structure:
                yield from numbers_in(value)
        case int() | float():
            yield structure


def check(subject: Subject, made: Compressed) -> None:
    """With its values filled in, what is rebuilt from its structure gives the same bits."""
    structure = json.loads(json.dumps(made.structure()))
    assert subject.possible not in numbers_in(structure)
    tensors, expected = tensors_of(made), made.network.eval()(images())
    for seed in (1, 2):
        again = rebuilt(subject, structure, seed)
        assert json.loads(json.dumps(again.structure())) == structure
        places = tensors_of(again)
        shapes = [{name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} for found in (places, tensors)]
        assert shapes[0] == shapes[1]
        masks.attach(again.network, masks.of(made.network))
        with torch.no_grad():
            for name, tensor in tensors.items():
                places[name].copy_(tensor)
        assert torch.equal(again.network.eval()(images()), expected)


@pytest.mark.parametrize(("text", "model"), CASES)
def test_a_structure_is_all_that_it_takes(text: str, model: str) -> None:
    """No option, no random number, and not the budget."""
    subject = kit.subject_of(text, model, ())
    made = subject.compress(subject.possible)
    check(subject, made)
    if subject.method.at_size == "at the end":
        check(subject, account.to_size(subject.method, made))


@pytest.mark.slow
@pytest.mark.parametrize("text", [text for text in METHODS if text not in PLAIN])
def test_a_structure_of_another_network_is_refused(text: str) -> None:
    subject = kit.subject_of(text, "resnet8", ())
    structure = account.to_size(subject.method, subject.compress(subject.possible)).structure()
    with pytest.raises(
        ValueError, match=r"the network has no such layer|the network has no convolution or linear layer"
    ):
        account.rebuild(subject.method, testing.network("densenet-bc-40-12"), structure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("basis", "basis:channels=99"),  # no layer has more than 64
        ("csg", "csg:codes=uniform:half=true"),
        ("hashing", "hashing:compress_at=0.5"),
        ("hyper:block=64x64", "hyper:block=99x99"),
        ("lego", "lego:until=0.5"),
        ("lowrank", "lowrank:weight_decay=scaled"),
        ("pruning:until=0.9", "pruning:until=0.8:stages=3"),
    ],
)
def test_an_option_that_leaves_the_shape_alone_is_not_in_it(one: str, other: str) -> None:
    subjects = [kit.subject_of(text, "resnet8", ()) for text in (one, other)]
    made = [account.to_size(subject.method, subject.compress(subject.possible)) for subject in subjects]
    assert made[0].structure() == made[1].structure()
