"""LegoNet: fragments are chosen filters times coefficients, the choice learns and ends, no filter is idle."""

import json

import pytest
import torch
from inside import generator_of, kernels_of
from torch import nn

from bench import budget, count, testing
from bench.errors import BudgetError
from bench.method import Compressed, Context
from bench.methods.lego import Fragments, Lego, LegoKernels, choose, straight_through


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 10, 3, bias=False), nn.Conv2d(10, 7, 3))


FIRST = 3 * 6 * 9 + 7


def stored(split: int) -> int:
    """With 6 and 4 lego filters, which are in proportion to 10 and 7 outputs: m p kh kw + 2 split out, twice."""
    return FIRST + 6 * -(-6 // split) * 9 + 4 * -(-10 // split) * 9 + 2 * split * (10 + 7)


def compressed(method: Lego, model: nn.Module, asked: int) -> Compressed:
    return method.compress(model, asked, Context(torch.Generator().manual_seed(0), trained=False))


def layers(made: Compressed) -> list[Fragments]:
    return generator_of(made, LegoKernels).layers


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("split", [1, 2, 3])
def test_filters_are_put_together_from_chosen_fragments(split: int, decided: bool) -> None:
    made = compressed(Lego(split=split), network(), stored(split))
    if decided:
        assert made.after_step(1.0)
    for (name, outputs, inputs), part in zip([("1", 10, 6), ("2", 7, 10)], layers(made), strict=True):
        kernel = kernels_of(made)[f"{name}.weight"]
        assert (part.scores is None) == decided
        choice = part.choice if part.scores is None else part.scores.argmax(1)
        assert choice is not None
        channels = -(-inputs // split)
        for o in range(outputs):
            fragments = []
            for s in range(split):
                place = o * split + s
                lego = part.filters[int(choice[place])]
                fragments.append(part.coefficients[place] * lego.view(channels, 3, 3))
            assert torch.allclose(kernel[o], torch.cat(fragments)[:inputs], atol=1e-6)


@pytest.mark.parametrize("split", [1, 2, 3])
def test_what_is_stored_in_the_end_follows_the_formula(split: int) -> None:
    """While the choice is open there are scores in place of it."""
    made = compressed(Lego(split=split), network(), stored(split))
    assert made.solved == {"lego_filters": "6+4"}
    choices, scores = split * (10 + 7), split * (6 * 10 + 4 * 7)
    assert count.stored_values(made.network) == stored(split) - choices + scores
    assert made.after_step(1.0)
    assert count.stored_values(made.network) == stored(split)
    assert not made.after_step(1.0)  # nothing is left to decide


def test_the_choice_is_final_at_the_time_that_is_asked_for() -> None:
    made = compressed(Lego(until=0.4), network(), stored(2))
    assert not made.after_step(0.39)
    assert layers(made)[0].choice is None
    assert made.after_step(0.4)
    assert layers(made)[0].scores is None


def test_gradients_go_straight_through_to_the_scores() -> None:
    """Each score's gradient is what its filter would have brought: that of the fragment along the filter."""
    made = compressed(Lego(), network(), stored(2))
    part = layers(made)[0]
    fragments = part()
    assert part.scores is not None
    upstream = torch.randn(fragments.shape, generator=torch.Generator().manual_seed(1))
    fragments.backward(upstream)
    expected = part.coefficients.detach()[:, None] * (upstream @ part.filters.detach().T)
    assert part.scores.grad is not None
    assert torch.allclose(part.scores.grad, expected, atol=1e-6)
    assert straight_through(part.scores).detach().sum(1).allclose(torch.ones(len(part.scores)))


def test_the_filters_are_dealt_out_evenly() -> None:
    made = compressed(Lego(), testing.network("resnet20"), 67_000)
    for part in layers(made):
        assert part.scores is not None
        uses = torch.bincount(part.scores.argmax(1), minlength=len(part.filters))
        assert uses.max() - uses.min() <= 1


def test_no_filter_is_stored_for_nothing() -> None:
    scores = torch.tensor([[5.0, 4.0, 0.0], [5.0, 1.0, 4.5], [9.0, 0.0, 0.0], [5.0, 0.0, 1.0]])
    # All want the first. The second goes to row 0, which loses 1 by it, and the third to row 1, which loses a half.
    assert choose(scores).tolist() == [1, 2, 0, 0]
    assert choose(torch.eye(3)).tolist() == [0, 1, 2]


def test_kernels_start_at_the_scale_of_the_networks_own() -> None:
    model = testing.network("resnet20")
    sizes = {name: value.square().mean().sqrt().item() for name, value in model.named_parameters()}
    made = compressed(Lego(), model, 67_000)
    for name, kernel in kernels_of(made).items():
        assert kernel.square().mean().sqrt().item() == pytest.approx(sizes[name], rel=1e-3)


def test_what_is_saved_says_how_many_filters_there_are() -> None:
    made = compressed(Lego(), network(), stored(2))
    made.after_step(1.0)
    structure = json.loads(json.dumps(made.structure()))
    assert structure == {"layers": ["1", "2"], "filters": [6, 4], "split": 2, "decided": True}
    # The structure is all that counts: other options change nothing.
    again = Lego(split=5).rebuild(network(), structure, Context(torch.Generator(), False))
    shapes = {name: tensor.shape for name, tensor in count.stored_tensors(again.network).items()}
    assert shapes == {name: tensor.shape for name, tensor in count.stored_tensors(made.network).items()}


@pytest.mark.parametrize("ratio", [2, 8, 32])
def test_budgets_are_met(ratio: int) -> None:
    model = testing.network("resnet20")
    asked = round(count.stored_values(model) / ratio)
    made = compressed(Lego(), model, asked)
    made.after_step(1.0)
    assert budget.met(asked, count.stored_values(made.network))


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    # Two layers with a lego filter each: 3 x 9 + 2 x 2 x 10 and 5 x 9 + 2 x 2 x 7.
    with pytest.raises(
        BudgetError, match=r"stores 169 values, and 2 layers with a lego filter each 140; 300 were asked"
    ):
        compressed(Lego(), network(), 300)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": 0}, "split can't be 0; it is at least 1"), ({"until": 1.5}, r"until can't be 1\.5; it is a fraction")],
)
def test_options_that_make_no_sense(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lego(**options)  # type: ignore[arg-type]
