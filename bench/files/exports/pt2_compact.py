"""pt2 files of a generated network's codes and generator: small on disk, with the kernels computed once after loading.

The graph computes the kernels and runs the network on them, so torch alone can run the file. After loading, the parts
that don't depend on the images can be computed once; then the network costs as much as the dense one.
docs/exported-files.md has the few lines for that.
"""

import copy

import torch
from torch import Tensor, nn

from bench.errors import InputError
from bench.files.exports import pt2_file
from bench.generated import GeneratedNetwork
from bench.measure.main_output import main_output


def write(network: nn.Module, images: Tensor, any_size: bool) -> bytes:
    """The file's content, without its description. Raises InputError for a network whose kernels are not generated."""
    if not isinstance(network, GeneratedNetwork):
        raise InputError(
            "--to pt2-compact is for networks whose kernels are computed from something smaller (csg, hashing, basis, "
            "hyper...); this network stores its kernels as they run, so give --to pt2"
        )
    return pt2_file.write(_Compact(network).eval(), images, any_size)


class _Compact(nn.Module):
    """The network with its index tables computed from the steps between neighbouring indices.

    A table has, for every value of a kernel, the index of its source, and is as large as the kernels. bench doesn't
    store it, since code computes it, but a file that stands alone must hold it. The steps between indices repeat, so
    they compress a thousandfold.
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
            del module._buffers[name]  # a buffer that stays would be one more output of the graph
        return outputs

    def _own_memory(self) -> None:
        """Copy views and channels-last tensors: a file would store the whole memory in which a tensor lies."""
        with torch.no_grad():
            for tensor in (*self.parameters(), *self.buffers()):
                tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)


def _smallest(numbers: Tensor) -> Tensor:
    """The whole numbers in the smallest type that holds them."""
    least, most = int(numbers.min()), int(numbers.max())
    for dtype in (torch.int8, torch.int16, torch.int32):
        if torch.iinfo(dtype).min <= least and most <= torch.iinfo(dtype).max:
            return numbers.to(dtype)
    return numbers
