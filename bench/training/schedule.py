"""The training recipe that every method shares, and its learning-rate curve."""

import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from bench.errors import InputError, unknown
from bench.plugins import options
from bench.plugins.toml import read_toml
from bench.training.views import PLAIN, Views

# Limits of the factor that enlarges images; beyond them nothing can be recognised.
_LEAST_SCALE, _MOST_SCALE = 0.1, 10.0
_MOST_CROP = 4096
# The least share of an image's area that still shows something.
_LEAST_AREA = 0.01


@dataclass(frozen=True)
class Schedule:
    """Epochs, optimiser, learning-rate curve, augmentation and precision, the same for all methods of a sweep."""

    epochs: Annotated[int, "passes over the training images"]
    batch_size: Annotated[int, "images per step; the last, smaller batch of an epoch is left out"] = 128
    optimizer: Annotated[Literal["sgd", "adamw"], "sgd or adamw"] = "sgd"
    learning_rate: Annotated[float, "at the curve's highest point"] = 0.1
    head_rate: Annotated[float, "factor on the learning rate of the head: all layers outside the backbone"] = 1.0
    momentum: Annotated[float, "of sgd"] = 0.9
    nesterov: Annotated[bool, "for sgd"] = False
    weight_decay: Annotated[float, "on every trained value"] = 5e-4
    curve: Annotated[Literal["constant", "step", "cosine", "one-cycle", "poly"], "of the learning rate"] = "cosine"
    milestones: Annotated[tuple[float, ...], "step: the fractions of the schedule at which the rate drops"] = (
        0.5,
        0.75,
    )
    drop: Annotated[float, "step: the factor at each milestone"] = 0.1
    power: Annotated[float, "poly: exponent of the remaining fraction of the schedule"] = 0.9
    warmup: Annotated[float, "the fraction of the schedule over which the rate rises linearly"] = 0.0
    label_smoothing: Annotated[float, "of the training loss"] = 0.0
    distillation: Annotated[float, "weight of the finished dense network's outputs in the loss; 0: none"] = 0.0
    temperature: Annotated[float, "of distillation"] = 4.0
    crop_padding: Annotated[int, "pixels of zero padding before the random crop; 0: no crop"] = 0
    flip: Annotated[bool, "mirror half of the images"] = False
    alternate: Annotated[bool, "mirror in each epoch the images that the epoch before did not mirror"] = False
    scale: Annotated[tuple[float, float], "enlarge each image by a random factor between these, then crop"] = (1.0, 1.0)
    area: Annotated[
        tuple[float, float], "cut out a random part, whose share of the image's area is between these; 1x1: use scale"
    ] = (1.0, 1.0)
    crop: Annotated[int, "side of the random crop in pixels; 0: as large as the images"] = 0
    growing: Annotated[
        tuple[int, ...] | None, "sides of the random crop in equal parts of the schedule, like 128x160x192; none: crop"
    ] = None
    rand_augment: Annotated[int, "magnitude of RandAugment's two operations per image; 0: none"] = 0
    blur: Annotated[float, "share of images that are blurred slightly"] = 0.0
    mixup: Annotated[float, "alpha of mixup; 0: none"] = 0.0
    cutmix: Annotated[float, "alpha of cutmix; 0: none. With mixup too, each batch uses one of them"] = 0.0
    ema: Annotated[float, "decay of a moving average of the weights, which is tested at the end; 0: none"] = 0.0
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], "of training; auto: bfloat16 on a device that has it, else float32"
    ] = "auto"
    validation: Annotated[float, "the fraction of the training images held out"] = 0.1
    test_scales: Annotated[tuple[float, ...], "scales of each test image, over which predictions are averaged"] = (
        PLAIN.scales
    )
    test_flip: Annotated[bool, "also test the mirror image, at each scale"] = PLAIN.flip

    def __post_init__(self) -> None:
        for name, low, high in [
            ("epochs", 1, math.inf),
            ("batch_size", 1, math.inf),
            ("learning_rate", 0, math.inf),
            ("head_rate", 0, 1000),
            ("momentum", 0, 0.9999),
            ("weight_decay", 0, math.inf),
            ("drop", 0, 1),
            ("power", 0, 10),
            ("warmup", 0, 0.9),
            ("label_smoothing", 0, 0.99),
            ("distillation", 0, 1),
            ("temperature", 0.01, 1000),
            ("crop_padding", 0, 64),
            ("crop", 0, _MOST_CROP),
            ("rand_augment", 0, 30),
            ("blur", 0, 1),
            ("mixup", 0, 10),
            ("cutmix", 0, 10),
            ("ema", 0, 0.999999),
            ("validation", 0.001, 0.9),
        ]:
            value = getattr(self, name)
            if not low <= value <= high:
                least = f"is at least {low}" if high == math.inf else f"lies between {low} and {high}"
                raise ValueError(f"{name} can't be {value}; it {least}")
        if not all(0 < at < 1 for at in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones can't be {self.milestones}; they are rising fractions between 0 and 1")
        smaller, larger = self.scale
        if not _LEAST_SCALE <= smaller <= larger <= _MOST_SCALE:
            raise ValueError(
                f"scale can't be {smaller:g}x{larger:g}; it is two rising factors, from {_LEAST_SCALE:g} to "
                f"{_MOST_SCALE:g}"
            )
        if self.growing is not None and (not self.growing or min(self.growing) < 1 or max(self.growing) > _MOST_CROP):
            raise ValueError(f"growing can't be {self.growing}; it is sides from 1 to {_MOST_CROP}, like 128x160x192")
        if self.growing is not None and self.crop:
            raise ValueError("growing replaces crop; give only one of them")
        if self.alternate and not self.flip:
            raise ValueError("alternate needs mirrored images: give flip=true, or leave alternate out")
        part, whole = self.area
        if not _LEAST_AREA <= part <= whole <= 1:
            raise ValueError(f"area can't be {part:g}x{whole:g}; it is two rising fractions, from {_LEAST_AREA:g} to 1")
        if self.area != (1.0, 1.0) and (self.scale != (1.0, 1.0) or self.crop_padding):
            raise ValueError("area replaces scale and crop_padding; leave scale out, and give crop_padding=0")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        _ = self.views  # raises ValueError

    @property
    def augments(self) -> bool:
        """Whether images are changed at random."""
        changed = (self.crop_padding, self.flip, self.crop, self.growing, self.rand_augment, self.blur, self.mixes)
        return any(changed) or {self.scale, self.area} != {(1.0, 1.0)}

    @property
    def views(self) -> Views:
        """The forms in which the test sees each image. Validation sees only the image itself."""
        return Views(self.test_scales, self.test_flip)

    @property
    def mixes(self) -> bool:
        """Whether images and labels of a batch are mixed."""
        return bool(self.mixup or self.cutmix)

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at `progress`, from 0 to 1 over the schedule; a step's progress is that of its middle.

        It is a function of progress alone, so that a run that joins half-way is on the same curve as a run from the
        start. (torch's schedulers keep a state that is bound to one optimiser, and compression changes the optimiser.)
        """
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        after = (progress - self.warmup) / (1 - self.warmup)
        match self.curve:
            case "constant":
                factor = 1.0
            case "step":
                factor = self.drop ** sum(progress >= at for at in self.milestones)
            case "cosine":
                factor = (1 + math.cos(math.pi * after)) / 2
            case "poly":
                factor = (1 - after) ** self.power
            case "one-cycle":
                # Smith & Topin, "Super-Convergence" (2018): linearly up from a 25th over the first 30 %, then a cosine
                # to zero. `warmup` is the time before the cycle.
                rise, start = 0.3, 1 / 25
                if after < rise:
                    factor = start + (1 - start) * after / rise
                else:
                    factor = (1 + math.cos(math.pi * (after - rise) / (1 - rise))) / 2
        return self.learning_rate * factor

    def compress_epoch(self, fraction: float) -> int:
        """The number of whole epochs before a method with `compress_at = fraction` compresses.

        For a fraction below 1, at least one epoch is left to train the compressed network.
        """
        whole = math.floor(fraction * self.epochs + 0.5)
        return whole if fraction == 1 else min(whole, self.epochs - 1)


def names() -> dict[str, str]:
    """The schedules in the package: name to description (the first comment of the file)."""
    found = {}
    for file in resources.files("bench.training").joinpath("schedules").iterdir():
        if file.name.endswith(".toml"):
            first = file.read_text(encoding="utf-8").splitlines()[0]
            found[file.name.removesuffix(".toml")] = first.lstrip("# ")
    return dict(sorted(found.items()))


def find(text: str) -> tuple[str, Schedule]:
    """A name and a schedule from a text like `quick`, `quick:epochs=3` or `my.toml`. Raises InputError."""
    written = options.split(text)
    if written.name.endswith(".toml"):
        path = Path(written.name)
        if not path.is_file():
            raise InputError(f"no such schedule file: {path}")
        given, name = read_toml(path, "schedule"), path.stem
    elif written.name in names():
        name = written.name
        text = resources.files("bench.training").joinpath("schedules", f"{name}.toml").read_text(encoding="utf-8")
        given = tomllib.loads(text)
    else:
        raise InputError(f"{unknown('schedule', written.name, names())}; or give the path of a .toml file")
    if written.value is not None:
        raise InputError(f"schedule {name!r} takes no bare value {written.value!r}; write {name}:epochs=3, say")
    changes = ":".join(f"{key}={value}" for key, value in written.options.items())
    schedule = from_table(name, {**given, **written.options})
    return (f"{name}:{changes}" if changes else name), schedule


def from_table(name: str, table: dict[str, Any]) -> Schedule:
    """A schedule from a table of options, as in a TOML file or a saved spec. Raises InputError."""
    return options.build(Schedule, "schedule", name, None, table)
