"""Networks by name. A file here gives `MODELS`, a dict of name to `Model`, and is listed in `_FILES`."""

from bench.errors import unknown
from bench.models import cifar_resnet
from bench.models.model import Model

_FILES = (cifar_resnet,)


def models() -> dict[str, Model]:
    """Every network by its name."""
    return {name: model for file in _FILES for name, model in file.MODELS.items()}


def find(name: str) -> Model:
    """The network called `name`. Raises InputError with the nearest name."""
    have = models()
    if name not in have:
        raise unknown("model", name, have)
    return have[name]
