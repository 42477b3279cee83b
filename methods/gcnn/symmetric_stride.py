"""Strides under which an image and its mirror image are seen alike, for `bench.methods.gcnn.group_convolution`.

Windows of 3 pixels at a stride of 2, with 1 of padding, leave the last pixel over where the size is even: turn or
mirror the image, and they lie elsewhere on it. Here a window is larger by what is left over, so that the last one ends
where the image does. There are as many windows as before, and where nothing is left over they are the same.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


def left_over(size: int, window: int, stride: int, padding: int) -> int:
    """Pixels behind the last window that fits into an image of `size`."""
    return (size + 2 * padding - window) % stride


def convolve(x: Tensor, kernel: Tensor, stride: int, padding: int, dilation: int, groups: int) -> Tensor:
    """A convolution without bias, by a square kernel `(out, in, size, size)`. With n pixels left over, its outputs are
    means over n + 1 places next to each other: at a stride of 2 on an even size, what a stride of 1 and then the mean
    of 2x2 give, in one step. Stride and dilation can't both be more than 1.
    """
    assert stride == 1 or dilation == 1
    window = dilation * (kernel.shape[-1] - 1) + 1
    rows, columns = (left_over(size, window, stride, padding) for size in x.shape[2:])
    return functional.conv2d(x, blurred(kernel, rows, columns), None, stride, padding, dilation, groups)


def blurred(kernel: Tensor, rows: int, columns: int) -> Tensor:
    """The kernel that gives the mean of a convolution's outputs over `(rows + 1, columns + 1)` places in one step."""
    # Summed into one tensor: in a large network kernels are many times larger than what is stored.
    for spare, before in ((rows, (0, 0)), (columns, ())):
        if spare:
            total = functional.pad(kernel, (*before, 0, spare))
            for i in range(1, spare + 1):
                total += functional.pad(kernel, (*before, i, spare - i))
            kernel = total.div_(spare + 1)
    return kernel


class SymmetricPool(nn.Module):
    """`pool`, which is torch's max_pool2d or avg_pool2d, over windows that are larger by what is left over."""

    def __init__(self, pool: Callable[..., Tensor], size: int, stride: int, padding: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.size = size
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        windows = [self.size + left_over(size, self.size, self.stride, self.padding) for size in x.shape[2:]]
        return self.pool(x, windows, self.stride, self.padding)
