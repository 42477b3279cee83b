"""Code spaces as a run keeps them: a small file with a sample in few bits. So a report needs neither torch nor the
method."""

import json
from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor

from bench.method import CodeSpace

# The most pieces and codes that are kept: as many as fit on a page.
_PIECES, _CODES = 36, 2000


def encode(spaces: Mapping[str, CodeSpace]) -> bytes:
    """The content of a file (safetensors) for these code spaces, by name. For each code space:

    * `NAME/pieces` uint8 `(k, height, width)`: the pieces that matter most to the kernels, the most important first.
      The importance is the norm of a piece times the norm of its coefficients. 128 is zero, and each piece is scaled to
      its largest value;
    * `NAME/codes` float32 `(n, 2)`: all codes, or an even sample, along their first two principal components;
    * `NAME/layers` int16 `(n,)`: the number of each code's layer.

    The header's `code_space` is JSON. For each name it has `layers`, `variance` (the share of the variance along each
    component), and `pieces` and `codes` (their numbers before sampling).
    """
    tensors: dict[str, Tensor] = {}
    described = {}
    for name, space in spaces.items():
        pieces = space.pieces.detach().float().cpu()
        codes = torch.cat([codes.detach().float().cpu() for codes in space.codes.values()])
        owners = torch.tensor([index for index, codes in enumerate(space.codes.values()) for _ in codes])
        importance = pieces.flatten(1).norm(dim=1) * codes.norm(dim=0)
        shown = pieces[importance.argsort(descending=True, stable=True)[:_PIECES]]
        scale = shown.abs().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo().tiny)
        places, variance = principal_components(codes)
        chosen = torch.linspace(0, len(codes) - 1, min(len(codes), _CODES)).long()
        tensors |= {
            f"{name}/pieces": (shown / scale * 127 + 128).round().to(torch.uint8),
            f"{name}/codes": places[chosen].contiguous(),
            f"{name}/layers": owners[chosen].to(torch.int16),
        }
        described[name] = {
            "layers": list(space.codes),
            "variance": variance,
            "pieces": len(pieces),
            "codes": len(codes),
        }
    return save(tensors, metadata={"code_space": json.dumps(described)})


def principal_components(codes: Tensor) -> tuple[Tensor, list[float]]:
    """Rows `(n, K)` along their first two principal components, `(n, 2)`, and each component's share of the
    variance."""
    centred = (codes - codes.mean(dim=0)).double()
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    places = centred @ directions[:2].T
    # A direction and its opposite are equally good. Put the larger side up, so that equal codes give equal pictures.
    signs = torch.where(places.sum(dim=0) < 0, -1.0, 1.0) if len(places) else 1.0
    squares = values.square()
    shares = (squares[:2] / squares.sum().clamp(min=torch.finfo(torch.float64).tiny)).tolist()
    places = torch.nn.functional.pad(places * signs, (0, 2 - places.shape[1])).float()
    return places, [*shares, 0.0][:2]
