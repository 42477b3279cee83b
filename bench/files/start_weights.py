"""Trained weights from which a sweep starts instead of initial ones, the dense run and every method alike."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bench import training_only
from bench.errors import InputError, asking
from bench.files import artifact, csg_checkpoint, network_file
from bench.files.artifact import Given, Saved
from bench.files.compressed_backbone import CompressedBackbone, Layers, at_places, copied
from bench.files.description import ModelDescription
from bench.files.weights import state_dict
from bench.files.weights.fit import content_hash, fitted, lacking, renamed
from bench.files.weights.words import SAVE, few, shape
from bench.model import Inputs
from bench.models._build import build_network
from bench.models._head import differing
from bench.plugins import networks
from bench.plugins.networks import ModelChoice
from bench.seeding import seeded
from bench.store.store import SEAL, WEIGHTS

PRETRAINED = "pretrained"
# The prefix of weights that fill only a network's backbone.
BACKBONE = "backbone="


@dataclass(frozen=True)
class Weights:
    """Weights to start from. `text` is `pretrained` (weights that the plugin of the network `model` provides) or the
    absolute path of a file. `identity` is a hash of the weights.

    `epochs` is the number of epochs of their training, `inputs` describes the images that they were trained on; None if
    unknown. `made_for` is the number of channels and classes of a network that states them. With `fresh_head` the
    classifier is fresh. `notes` are lines for the user.

    Weights of a `backbone` fill only that submodule (`text` begins with `backbone=`), and the rest is fresh. If they
    come from a run, `compressed` is the backbone as its method stored it.
    """

    text: str
    model: ModelChoice
    identity: str
    epochs: int | None = None
    inputs: Inputs | None = None
    made_for: tuple[int, int] | None = None
    fresh_head: bool = False
    notes: tuple[str, ...] = ()
    tensors: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    backbone: str = ""
    compressed: CompressedBackbone | None = None

    @property
    def name(self) -> str:
        """The weights' name for people."""
        named = self.text.removeprefix(BACKBONE)
        found = named if named == PRETRAINED else network_file.name(Path(named))
        return f"{BACKBONE}{found}" if self.backbone else found

    @property
    def place(self) -> str:
        """The weights' name at the beginning of an error message."""
        return f"the pretrained {self.model.text}" if self.text == PRETRAINED else self.text

    def columns(self) -> dict[str, Any]:
        """The columns of a record that identify the weights."""
        return {"weights": self.name, "weights_code": self.identity, "weights_epochs": self.epochs}

    def open(self, channels: int, num_classes: int) -> "Start":
        """A function that fills networks with the weights, for all runs of a sweep. Raises InputError if the weights
        don't fit images with this many channels and classes, or if `fresh_head` was given and is not needed."""
        if self.backbone:
            return self._open_backbone(channels, num_classes)
        tensors = self._for(channels, num_classes)
        network = build_network(self.model.model, channels, num_classes, seed=0)
        other = build_network(self.model.model, channels, num_classes + 1, seed=0)
        state, head = network.state_dict(), differing(network, other)
        found = renamed(tensors, state)
        fresh = lacking(found, network)
        wrong = [name for name in head - fresh if name not in found or found[name].shape != state[name].shape]
        if wrong and not self.fresh_head:
            shapes = ", ".join(
                f"{name} is {shape(found[name])}" if name in found else f"{name} is missing" for name in wrong[:2]
            )
            raise InputError(
                f"the classifier of {self.place} does not fit the {num_classes} classes of the dataset ({shapes}); "
                "--fresh-head starts with a fresh one, from the seed"
            )
        if self.fresh_head and not wrong:
            why = "fits the classes of the dataset" if head else "does not depend on the number of classes"
            raise InputError(f"--fresh-head is not needed: the classifier of {self.place} {why}; leave it out")
        fit, _ = fitted(tensors, network, wrong, _misfit(self.place, self.model), wrong)
        return partial(_filled, {name: tensor for name, tensor in fit.items() if name not in fresh.union(wrong)})

    def _open_backbone(self, channels: int, num_classes: int) -> "Start":
        state = build_network(self.model.model, channels, num_classes, seed=0).state_dict()
        for name, tensor in self.tensors.items():
            if tensor.shape != state[name].shape:
                raise InputError(
                    f"{self.name} does not fit {self.model.text} for {channels} channels: {name} has shape "
                    f"{shape(tensor)}, not {shape(state[name])}"
                )
        return partial(_filled, self.tensors)

    def _for(self, channels: int, num_classes: int) -> Mapping[str, Tensor]:
        if self.made_for is None or channels == self.made_for[0]:
            return self.tensors
        if self.text == PRETRAINED:  # some networks can adapt pretrained weights to other channels
            return _pretrained(self.model, channels)
        raise InputError(
            f"{self.text} has {self.made_for[0]} channels and {self.made_for[1]} classes; the dataset "
            f"has {channels} and {num_classes}"
        )


# Gives the network of a seed its weights. A tensor that the weights lack keeps its value from the seed.
Start = Callable[[nn.Module, int], nn.Module]


def _filled(state: Mapping[str, Tensor], network: nn.Module, seed: int) -> nn.Module:
    network.load_state_dict({**network.state_dict(), **state})
    return network


def find(text: str, model: ModelChoice, plugins: Sequence[str] = (), fresh_head: bool = False) -> Weights:
    """Check the requested weights, and check that they fit the network as far as this is possible without the data.
    Raises InputError."""
    if text == BACKBONE:
        raise InputError(f"--weights can't be {text!r}; give {BACKBONE}FILE, {BACKBONE}RUN or {BACKBONE}{PRETRAINED}")
    if text.startswith(BACKBONE):
        return _backbone(text.removeprefix(BACKBONE), model, plugins, fresh_head)
    if text == PRETRAINED:
        if model.model.pretrained is None:
            raise InputError(
                f"there are no pretrained weights for {model.text}; give --weights a file, or a network of torchvision"
            )
        tensors = _pretrained(model, model.model.pretrained_for[0])
        found = Weights(PRETRAINED, model, "", inputs=model.model.inputs, made_for=model.model.pretrained_for)
        return _checked(found, tensors, fresh_head)
    path = network_file.locate(text).resolve()
    if _is_artifact(path):
        return _of_ours(network_file.read(path), path, model, plugins, fresh_head)
    content = state_dict.read(path)
    # For a user's own network, a checkpoint in the form of the CSG authors is an ordinary state_dict.
    if model.kind == "built-in" and content.under == "net" and csg_checkpoint.is_one(content.tensors):
        return _of_ours(network_file.read(path), path, model, plugins, fresh_head)
    found = Weights(str(path), model, "", notes=tuple(f"{path.name}: {note}" for note in content.notes))
    return _checked(found, content.tensors, fresh_head)


def _is_artifact(path: Path) -> bool:
    """Whether a file is, or was, an artifact of a run. A damaged artifact is recognised by the run's seal."""
    if path.name == WEIGHTS and (path.parent / SEAL).exists():
        return True
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            return False
    try:
        with safe_open(path, framework="pt") as opened:
            return artifact.KEY in (opened.metadata() or {})
    except (SafetensorError, OSError):  # reading the file reports the error
        return False


def _backbone(text: str, model: ModelChoice, plugins: Sequence[str], fresh_head: bool) -> Weights:
    """Weights, for example of a classifier, for the backbone of a network for another task. Raises InputError."""
    inside = f"{model.model.backbone}."
    if not model.model.backbone:
        raise InputError(f"{model.text} declares no backbone for {BACKBONE}{text} to fill (bench.model.Model)")
    if fresh_head:
        raise InputError(
            f"--fresh-head is not needed: with {BACKBONE}{text} everything except the backbone is fresh; leave it out"
        )
    source = _for_backbone(text, model, plugins)
    network, depends, _ = _probed(model)
    wanted = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(inside)}
    plain = {name.removeprefix(inside): tensor for name, tensor in wanted.items()}
    found = renamed(source.tensors, plain)
    place = f"the backbone of {model.text} can't be filled from {text}"
    missing = [name for name in plain if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise InputError(f"{place}: {len(missing)} of {len(plain)} tensors are missing ({few(missing)})")
    own = {f"{inside}{name}": found[name].to(tensor.dtype) for name, tensor in plain.items() if name in found}
    odd = [name for name in own if own[name].shape != wanted[name].shape and name not in depends]
    if odd:
        shapes = f"{shape(own[odd[0]])}, not {shape(wanted[odd[0]])}"
        raise InputError(f"{place}: {len(odd)} tensors have another shape ({odd[0]} {shapes})")
    notes = [*source.notes]
    left = [name for name in found if name not in plain]
    if left:
        notes.append(f"left out, since the backbone has no such tensors: {few(left)}")
    compressed = source.compressed(found, plain, model.model.backbone)
    if compressed is not None:
        notes.append(
            f"{compressed.name} is a run of {compressed.method}: runs of {compressed.method} can start from its "
            "compressed backbone, and other methods start from its full kernels"
        )
    return Weights(
        BACKBONE + source.text,
        model,
        content_hash(own),
        source.epochs,
        source.inputs,
        fresh_head=True,
        backbone=model.model.backbone,
        notes=tuple(notes),
        tensors=own,
        compressed=compressed,
    )


@dataclass(frozen=True)
class _Source:
    """The source of a backbone's weights: tensors with full kernels, the images and epochs of their training if known,
    and notes. For a run, `layers` and `seeds` are those that its `method` stores for the backbone."""

    tensors: Mapping[str, Tensor]
    text: str
    inputs: Inputs | None
    epochs: int | None = None
    notes: tuple[str, ...] = ()
    method: str = ""
    layers: Layers = field(default_factory=dict)
    seeds: Sequence[int] = ()

    def compressed(
        self, found: Mapping[str, Tensor], plain: Mapping[str, Tensor], backbone: str
    ) -> CompressedBackbone | None:
        """The backbone in compressed form; None if the method stores the kernels themselves. `found` has the source's
        tensors and `plain` the backbone's own tensors, both by their names in the backbone."""
        if not self.layers:
            return None
        kernels = {name: found[name] for name in plain if name in found}
        names = {id(tensor): name for name, tensor in self.tensors.items()}
        places = {names[id(tensor)].rpartition(".")[0]: name.rpartition(".")[0] for name, tensor in kernels.items()}
        layers = at_places(self.layers, places)
        if {f"{layer}.{own}".lstrip(".") for layer, tensors in layers.items() for own in tensors} == plain.keys():
            return None
        path = Path(self.text)
        identity = network_file.fingerprint(path)
        return CompressedBackbone(network_file.name(path), self.method, identity, backbone, self.seeds, layers, kernels)


def _for_backbone(text: str, model: ModelChoice, plugins: Sequence[str]) -> _Source:
    """The source of the weights that fill a backbone. Raises InputError."""
    inputs = model.model.inputs
    if text == PRETRAINED:
        make = model.model.pretrained_backbone
        if make is None:
            raise InputError(f"there are no pretrained weights for the backbone of {model.text}; give a file")
        with asking(f"the pretrained backbone of {model.text}"):
            return _Source(make(), text, inputs)
    path = network_file.locate(text).resolve()
    if not _is_artifact(path):
        content = state_dict.read(path)
        return _Source(
            content.tensors, str(path), inputs, notes=tuple(f"{path.name}: {note}" for note in content.notes)
        )
    saved = network_file.read(path)
    have = saved.description.model
    run = artifact.build(saved, path, Given(plugins, _in_the_same_file(have, model, path)))
    layers = copied(run.layer_tensors())
    return _Source(
        run.dense_state(),
        str(path),
        have.inputs or inputs,
        saved.description.epochs,
        method=saved.description.methods,
        layers=layers,
        seeds=run.seeds,
    )


def _in_the_same_file(have: ModelDescription, model: ModelChoice, path: Path) -> str | None:
    """The text that names a network from a file, if the user gave this file for the network to fill; None for a network
    that is not from a file. Raises InputError."""
    if have.kind != "file":
        return None
    asked, named = networks.split_file(model.asked), networks.split_file(have.text)
    if asked is not None and named is not None and Path(asked[0]).name == named[0]:
        text = f"{asked[0]}{named[1]}"
        if networks.code_of(text) == have.code:
            return text
    raise InputError(
        f"{path} holds {have.text}, a network from another file than {model.text} or from changed code; give "
        f"only its weights, saved by {SAVE}"
    )


def _of_ours(saved: Saved, path: Path, model: ModelChoice, plugins: Sequence[str], fresh_head: bool) -> Weights:
    """The weights of an artifact or of a checkpoint of the CSG authors. Both say which network they belong to."""
    have = saved.description.model
    if have.text != model.text:
        raise InputError(f"{path} holds weights of {have.text}, not of {model.text}; give --model {have.text}")
    given = Given(plugins, model.asked if model.kind == "file" else None)
    state = artifact.build(saved, path, given).finish().state_dict()
    network = build_network(model.model, have.channels, have.classes, seed=0)
    training_only.remove(network)
    plain = network.state_dict()
    if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in plain.items()}:
        raise InputError(f"{path} holds a network whose layers {saved.description.methods} changed; give a dense one")
    return Weights(
        str(path),
        model,
        network_file.fingerprint(path),
        saved.description.epochs,
        have.inputs,
        (have.channels, have.classes),
        fresh_head,
        tensors=state,
    )


def _checked(weights: Weights, tensors: Mapping[str, Tensor], fresh_head: bool) -> Weights:
    """The weights with these tensors and their hash, after checking that they fit the network as far as this is
    possible without the data. Raises InputError."""
    network, depends, head = _probed(weights.model)
    may_lack = head if fresh_head else ()
    fit, notes = fitted(tensors, network, depends, _misfit(weights.place, weights.model), may_lack)
    own = renamed(tensors, fit)
    return Weights(
        weights.text,
        weights.model,
        content_hash(own),
        weights.epochs,
        weights.inputs,
        weights.made_for,
        fresh_head,
        (*weights.notes, *(f"{weights.name}: {note}" for note in notes)),
        own,
    )


# A network is built with these channels and classes, to find the tensors whose shapes depend on them.
_PROBE, _OTHERS = (3, 10), ((3, 11), (4, 10), (1, 10))


def _probed(model: ModelChoice) -> tuple[nn.Module, Collection[str], Collection[str]]:
    """A fresh network, the names of its tensors whose shape depends on channels or classes, and the names of those
    whose shape depends on classes."""
    network = build_network(model.model, *_PROBE, seed=0)
    depends: set[str] = set()
    head: set[str] = set()
    for channels, classes in _OTHERS:
        try:
            other = build_network(model.model, channels, classes, seed=0)
        except InputError:  # the network can't have these; the data will show whether the dataset's fit
            continue
        depends |= differing(network, other)
        if channels == _PROBE[0]:
            head |= differing(network, other)
    return network, depends, head


def _pretrained(model: ModelChoice, channels: int) -> Mapping[str, Tensor]:
    """The plugin's weights, for the number of classes that they were trained on. Raises InputError."""
    make = model.model.pretrained
    assert make is not None
    with seeded(0), asking(f"the pretrained weights of {model.text}"):
        return make(channels, model.model.pretrained_for[1]).state_dict()


def _misfit(place: str, model: ModelChoice) -> str:
    return f"{place} does not fit {model.text}"
