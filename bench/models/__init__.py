"""Networks by name. A file here gives `MODELS`, a dict of name to `Model`, and is listed in `_FILES`."""

from importlib import import_module

from bench.errors import unknown
from bench.models.model import Model

# By name, and the slow one last: torchvision takes a second to import, and few callers need its networks.
_FILES = ("cifar_resnet", "densenet_bc", "mobilenetv2_cifar", "shufflenetv2_cifar", "torchvision_cnn")


def models() -> dict[str, Model]:
    """Every network by its name."""
    return {name: model for file in _FILES for name, model in _models_of(file).items()}


def find(name: str) -> Model:
    """The network called `name`. Raises InputError with the nearest name."""
    for file in _FILES:
        if name in _models_of(file):
            return _models_of(file)[name]
    raise unknown("model", name, models())


def _models_of(file: str) -> dict[str, Model]:
    found: dict[str, Model] = import_module(f"bench.models.{file}").MODELS
    return found
