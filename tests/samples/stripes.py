"""A dataset for tests: 8x8 grey stripes of three directions under noise, learned in a few steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from bench.dataset import Data, Dataset, Split


@dataclass(frozen=True)
class Stripes(Dataset):
    """Noisy stripes: 8x8 grey, 3 classes."""

    train: Annotated[int, "training images"] = 110
    noise: Annotated[float, "of the full range"] = 0.2

    def load(self, data_dir: Path, download: bool) -> Data:
        generator = torch.Generator().manual_seed(7)
        return Data(self._draw(self.train, generator), self._draw(70, generator), ("rows", "columns", "diagonal"))

    def _draw(self, count: int, generator: torch.Generator) -> Split:
        labels = torch.randint(0, 3, (count,), generator=generator)
        line = torch.arange(8)
        patterns = torch.stack([line[:, None].expand(8, 8), line.expand(8, 8), line[:, None] + line]) // 2 % 2
        noise = torch.rand(count, 1, 8, 8, generator=generator) - 0.5
        images = (patterns[labels][:, None] * 0.5 + 0.25 + self.noise * noise).clamp(0, 1)
        return Split((images * 255).to(torch.uint8), labels)
