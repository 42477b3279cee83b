"""timm's networks by their timm names, as `timm:NAME`. (timm is an extra: `pip install 'csg-bench[timm]'`.)"""

from functools import partial
from typing import Any

from torch import nn

from bench.errors import InputError, first_line, unknown
from bench.model import Inputs, Model


def model(name: str) -> Model:
    """timm's network of this name. Raises InputError."""
    timm = _timm()
    if not timm.is_model(name):
        raise unknown("model of timm", name, timm.list_models(), "timm.list_models()")
    config = timm.get_pretrained_cfg(name)
    return Model(
        partial(_build, name),
        f"timm's {name}",
        pretrained=partial(_pretrained, name),
        pretrained_for=(3, 1000) if config is None else (config.input_size[0], config.num_classes),
        inputs=_inputs(config),
    )


def _build(name: str, channels: int, num_classes: int) -> nn.Module:
    network: nn.Module = _timm().create_model(name, pretrained=False, in_chans=channels, num_classes=num_classes)
    return network


def _pretrained(name: str, channels: int, num_classes: int) -> nn.Module:
    try:
        network: nn.Module = _timm().create_model(name, pretrained=True, in_chans=channels, num_classes=num_classes)
    except (RuntimeError, OSError) as error:
        raise InputError(f"the weights of timm's {name} can't be fetched: {first_line(error)}") from error
    return network


def _inputs(config: Any) -> Inputs | None:
    """The inputs for timm's pretrained weights; None if there are none."""
    if config is None:
        return None
    _, height, width = config.input_size
    return Inputs(height, width, [255 * value for value in config.mean], [255 * value for value in config.std])


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError("timm:NAME needs the package timm: pip install 'csg-bench[timm]'") from error
    return timm
