"""The validation split, held out of the training images, and the hash that tells one set of images from another."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bench.dataset import AnySplit, Data, Streamed
from bench.errors import InputError

# The validation split is the same for every run and every seed, so that seeds differ in training alone.
_SPLIT_SEED = 0


def hold_out(data: Data, fraction: float) -> Data:
    """The same data with a validation split: the dataset's own, or `fraction` of the training images.

    Which images are held out depends on nothing but their number.
    """
    if data.validation is not None:
        return data
    held, stay = held_out(len(data.train), fraction)
    return replace(data, train=data.train.take(stay), validation=data.train.take(held), fingerprint=None)


def held_out(count: int, fraction: float) -> tuple[Tensor, Tensor]:
    """The numbers of the images that are held out, and of those that stay, each in order. Raises InputError."""
    held = round(count * fraction)
    if not 0 < held < count:
        raise InputError(f"can't hold {fraction:g} of {count} training images out for validation")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_SPLIT_SEED))
    return order[:held].sort().values, order[held:].sort().values


def count_leaked(data: Data) -> int:
    """How many test images are among the training or validation images too, pixel for pixel, whatever their labels; of
    streamed ones, whose files are the same."""
    splits = (data.train, *([] if data.validation is None else [data.validation]))
    seen = {digest for split in splits for digest in _digests(split)}
    return sum(digest in seen for digest in _digests(data.test))


def _digests(split: AnySplit) -> Iterator[bytes]:
    if isinstance(split, Streamed):
        assert split.digests is not None
        return (row.tobytes() for row in split.digests[:, :_OF_IMAGE].numpy())
    return (hashlib.blake2b(image, digest_size=16).digest() for image in split.images.contiguous().numpy())


def fingerprint(data: Data) -> str:
    """A hash of every image and label of every split, so that a record says on what it was trained and tested; of
    streamed ones, of their files."""
    if data.fingerprint is not None:
        return data.fingerprint
    digest = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        if split is not None:
            _add(digest, split)
    return digest.hexdigest()[:16]


def images_hash(split: AnySplit) -> str:
    """The same of one split."""
    digest = hashlib.sha256()
    _add(digest, split)
    return digest.hexdigest()[:16]


def _add(digest: "hashlib._Hash", split: AnySplit) -> None:
    digest.update(str((len(split), *split.image_shape)).encode())
    targets = split.targets if isinstance(split.targets, Tensor) else None
    if isinstance(split, Streamed):
        assert split.digests is not None
        images = split.digests
    else:
        images = split.images
    # The arrays themselves, not their bytes: these would be a copy.
    for part in (images, targets):
        if part is not None:
            digest.update(part.contiguous().cpu().numpy().data.cast("B"))


# Bytes of a streamed image's digest; behind them stand those of its mask.
_OF_IMAGE = 16


def names_hash(classes: Sequence[str]) -> str:
    """A hash of the names of the classes, in their order."""
    return hashlib.sha256(json.dumps(list(classes)).encode()).hexdigest()[:16]
