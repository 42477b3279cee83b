"""pt2 of what a generated network stores, codes and generator say: small on disk, kernels computed once when loaded.

The graph computes the kernels and runs the network on them, so torch alone runs the file as it is. Whoever loads it
computes what doesn't depend on the images once, and has a network that costs what the dense one costs; the few lines
for that are in docs/exported-files.md.
"""

import copy

import torch
from torch import Tensor, nn

from bench.errors import InputError
from bench.files.exports import pt2_file
from bench.generated import GeneratedNetwork
from bench.measure.main_output import main_output


def write(network: nn.Module, images: Tensor, any_size: bool) -> bytes:
    """The file, without its description. Raises InputError for a network whose kernels are not generated."""
    if not isinstance(network, GeneratedNetwork):
        raise InputError(
            "--to pt2-compact is for networks whose kernels are computed from something smaller (csg, hashing, basis, "
            "hyper...), and this one's are stored as they run; give --to pt2"
        )
    return pt2_file.write(_Compact(network).eval(), images, any_size)


class _Compact(nn.Module):
    """The network, with its tables of places computed from the steps between them.

    A table says for every value of a kernel where it comes from, and takes the memory of the kernels. It is not stored
    (the code makes it), but a file that stands alone must have it. From one place to the next it goes by the same few
    steps over and over, which compress a thousandfold.
    """

    def __init__(self, network: GeneratedNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self._tables: list[tuple[nn.Module, str, torch.dtype]] = []
        for module in list(self.network.modules()):
            for name, table in list(module._buffers.items()):
                if name not in module._non_persistent_buffers_set or table is None or table.dim() != 1:
                    continue
                if table.dtype.is_floating_point or not table.numel():
                    continue
                steps = table.long().diff(prepend=table.new_zeros(1).long())
                self.register_buffer(f"steps_{len(self._tables)}", _smallest(steps))
                self._tables.append((module, name, table.dtype))
                del module._buffers[name]
        self._own_memory()

    def forward(self, images: Tensor) -> Tensor:
        for number, (module, name, dtype) in enumerate(self._tables):
            steps: Tensor = getattr(self, f"steps_{number}")
            module._buffers[name] = steps.long().cumsum(0).to(dtype)
        outputs = main_output(self.network(images))
        for module, name, _ in self._tables:
            del module._buffers[name]  # what is left would be one more output of the graph
        return outputs

    def _own_memory(self) -> None:
        """Views and channels-last tensors as what they hold: a file has the memory that a tensor lies in."""
        with torch.no_grad():
            for tensor in (*self.parameters(), *self.buffers()):
                tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def _smallest(numbers: Tensor) -> Tensor:
    """In the fewest bytes that hold these whole numbers."""
    least, most = int(numbers.min()), int(numbers.max())
    for dtype in (torch.int8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= least and most <= torch.iinfo(dtype).max:
            return numbers.to(dtype)
    return numbers
