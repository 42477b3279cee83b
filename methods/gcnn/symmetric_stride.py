"""Strides that treat an image and its mirror image alike, for `bench.methods.gcnn.group_convolution`.

Windows of 3 pixels at a stride of 2 with a padding of 1 leave out the last pixel if the size is even. If the image is
rotated or mirrored, the windows then lie elsewhere on it. Here windows are larger by the pixels left out, so that the
last window ends at the end of the image. The number of windows is the same as before. If no pixel is left out, the
windows are the same too.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


def left_over(size: int, window: int, stride: int, padding: int) -> int:
    """The pixels that remain behind the last window in an image of `size`."""
    return (size + 2 * padding - window) % stride


def convolve(x: Tensor, kernel: Tensor, stride: int, padding: int, dilation: int, groups: int) -> Tensor:
    """A convolution without bias, by a square kernel `(out, in, size, size)`.

    If n pixels remain behind the last window, each output is the mean over n + 1 neighbouring places. At a stride of 2
    on an even size this equals a stride of 1 followed by the mean of 2x2, in one step. Stride and dilation can't both
    be more than 1.
    """
    assert stride == 1 or dilation == 1
    window = dilation * (kernel.shape[-1] - 1) + 1
    rows, columns = (left_over(size, window, stride, padding) for size in x.shape[2:])
    return functional.conv2d(x, blurred(kernel, rows, columns), None, stride, padding, dilation, groups)


def blurred(kernel: Tensor, rows: int, columns: int) -> Tensor:
    """The kernel that gives the mean of a convolution's outputs over `(rows + 1, columns + 1)` places in one step."""
    # Summed into one tensor: in a large network kernels are many times larger than the stored values.
    for spare, before in ((rows, (0, 0)), (columns, ())):
        if spare:
            total = functional.pad(kernel, (*before, 0, spare))
            for i in range(1, spare + 1):
                total += functional.pad(kernel, (*before, i, spare - i))
            kernel = total.div_(spare + 1)
    return kernel


class SymmetricPool(nn.Module):
    """`pool` (torch's max_pool2d or avg_pool2d) over windows that are larger by the pixels behind the last window."""

    def __init__(self, pool: Callable[..., Tensor], size: int, stride: int, padding: int = 0) -> None:
        super().__init__()
        self.pool = pool
        self.size = size
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        windows = [self.size + left_over(size, self.size, self.stride, self.padding) for size in x.shape[2:]]
        return self.pool(x, windows, self.stride, self.padding)
