"""Counting, against layers worked out by hand."""

import torch
from torch import Tensor, nn

from bench import count
from bench.generated import GeneratedNetwork, Generator


def test_a_grouped_convolution_without_bias() -> None:
    conv = nn.Conv2d(8, 12, (3, 5), groups=4, bias=False)
    assert count.stored_values(conv) == 12 * (8 // 4) * 3 * 5
    # 6x8 in, 4x4 out: every output value takes a multiply-accumulate for each of its group's taps
    assert count.forward_macs(conv, (8, 6, 8)) == 4 * 4 * 12 * (8 // 4) * 3 * 5


def test_a_convolution_with_bias_and_stride() -> None:
    conv = nn.Conv2d(3, 5, 3, stride=2, padding=1)
    assert count.stored_values(conv) == 5 * 3 * 9 + 5
    assert count.forward_macs(conv, (3, 9, 9)) == 5 * 5 * 5 * 3 * 9


def test_batch_norm_statistics_stand_apart() -> None:
    norm = nn.BatchNorm2d(7)
    assert count.stored_values(norm) == 14
    assert sum(tensor.numel() for tensor in count.statistics(norm).values()) == 14
    assert count.stored_values(nn.BatchNorm2d(7, affine=False)) == 0


def test_what_modules_share_counts_once() -> None:
    shared = nn.Linear(4, 4)
    network = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 4, bias=False))
    network[3].weight = shared.weight
    assert count.stored_values(network) == 4 * 4 + 4
    assert count.trained_values(network) == 4 * 4 + 4
    assert count.forward_macs(nn.Sequential(nn.Flatten(), network), (1, 2, 2)) == 3 * 16


def test_buffers_count_if_they_are_kept_and_frozen_values_are_not_trained() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(5), requires_grad=False)
            self.register_buffer("table", torch.zeros(3))
            self.register_buffer("from_seed", torch.zeros(100), persistent=False)

    assert count.stored_values(Holder()) == 8
    assert count.trained_values(Holder()) == 0


def test_a_view_and_its_whole_are_not_one_tensor() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            base = torch.zeros(10)
            self.register_buffer("front", base[:5])
            self.register_buffer("again", base[:5])
            self.register_buffer("back", base[5:])

    assert count.stored_values(Views()) == 10


def test_a_name_hides_nothing_and_a_complex_number_is_two() -> None:
    class Hider(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.running_mean = nn.Parameter(torch.zeros(5))
            self.register_buffer("running_var", torch.zeros(3))
            self.register_buffer("num_batches_tracked", torch.zeros(2))
            self.waves = nn.Parameter(torch.zeros(4, dtype=torch.complex64))

    assert count.stored_values(Hider()) == 5 + 3 + 2 + 8
    assert count.trained_values(Hider()) == 13
    assert count.statistics(Hider()) == {}


class Doubled(Generator):
    """A 4x3x1x1 kernel as twice a vector of 12."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.ones(12))

    def forward(self) -> dict[str, Tensor]:
        return {"0.weight": (2 * self.vector).view(4, 3, 1, 1)}


def test_generated_kernels_count_as_what_generates_them() -> None:
    network = GeneratedNetwork(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1, bias=False)), Doubled())
    assert count.stored_values(network) == 12 + 4 + 8
    assert count.stored_values(network.materialise()) == 12 + 4 + 8
    assert count.trained_values(network) == 24
    assert count.forward_macs(network, (3, 2, 2)) == 4 * (12 + 8)


def test_counting_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count.forward_macs(network, (3, 4, 4))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
