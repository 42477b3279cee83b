"""Holds a validation split out of the training images, and hashes images so that a record identifies them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bench.dataset import AnySplit, Data, Streamed
from bench.errors import InputError

# The validation split is the same for every run and every seed, so that seeds differ only in training.
_SPLIT_SEED = 0


def hold_out(data: Data, fraction: float) -> Data:
    """The same data with a validation split: the dataset's own one, or else `fraction` of the training images.

    The choice of held-out images depends only on the number of training images.
    """
    if data.validation is not None:
        return data
    held, stay = held_out(len(data.train), fraction)
    return replace(data, train=data.train.take(stay), validation=data.train.take(held), fingerprint=None)


def held_out(count: int, fraction: float) -> tuple[Tensor, Tensor]:
    """The indices of the held-out images and those of the remaining images, each sorted. Raises InputError."""
    held = round(count * fraction)
    if not 0 < held < count:
        raise InputError(f"can't hold {fraction:g} of {count} training images out for validation")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_SPLIT_SEED))
    return order[:held].sort().values, order[held:].sort().values


def count_leaked(data: Data) -> int:
    """The number of test images that are also training or validation images, pixel for pixel, whatever their labels.
    Streamed images are compared by their files."""
    splits = (data.train, *([] if data.validation is None else [data.validation]))
    seen = {digest for split in splits for digest in _digests(split)}
    return sum(digest in seen for digest in _digests(data.test))


def _digests(split: AnySplit) -> Iterator[bytes]:
    if isinstance(split, Streamed):
        assert split.digests is not None
        return (row.tobytes() for row in split.digests[:, :_OF_IMAGE].numpy())
    return (hashlib.blake2b(image, digest_size=16).digest() for image in split.images.contiguous().numpy())


def fingerprint(data: Data) -> str:
    """A hash of every image and label of every split, which identifies a run's data in its record. For streamed images,
    their files are hashed."""
    if data.fingerprint is not None:
        return data.fingerprint
    digest = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        if split is not None:
            _add(digest, split)
    return digest.hexdigest()[:16]


def images_hash(split: AnySplit) -> str:
    """A hash of every image and label of one split."""
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
    # Hash the arrays themselves: converting them to bytes would copy them.
    for part in (images, targets):
        if part is not None:
            digest.update(part.contiguous().cpu().numpy().data.cast("B"))


# Bytes of the digest of a streamed image; the digest of its mask follows.
_OF_IMAGE = 16


def names_hash(classes: Sequence[str]) -> str:
    """A hash of the names of the classes, in order."""
    return hashlib.sha256(json.dumps(list(classes)).encode()).hexdigest()[:16]
