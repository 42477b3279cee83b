"""Group-equivariant convolutions: one filter is used in all its rotated and mirrored versions."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair

from bench import count, training_only
from bench.allocation import at_budget
from bench.errors import BudgetError, typed_line
from bench.generated import GeneratedNetwork
from bench.measure.read_by_code import in_words, read_by_code
from bench.measure.runnable import example, takes
from bench.measure.same_outputs import relative_difference
from bench.method import Compressed, Context, Method
from bench.methods.gcnn.group_convolution import GENERATING, ORDERS, FieldConv2d, FieldMean, FilterBanks, act
from bench.methods.gcnn.symmetric_stride import SymmetricPool
from bench.surgery import changed_channels, channels_of, give_channels, owners, replace_all


@dataclass(frozen=True)
class GCNN(Method):
    """Equivariant network: each filter is used in all its rotated (p4) and mirrored (p4m) versions.

    Cohen and Welling, "Group Equivariant Convolutional Networks", ICML 2016. The group G has 4 elements, rotations by
    90 degrees (p4), or 8 with mirror images (p4m). Each channel of the network becomes a field, one map for each
    element. Rotating the image rotates and permutes the maps of every field and changes nothing else. The classifier
    sees the mean over the maps. A convolution from fields to fields stores

        fields_out fields_in |G| k k    values,

    and the first one, which sees the image, fields_out channels k k. All convolutions are replaced. The numbers of
    fields meet the budget. Weights are fresh, even if the network was trained.

    Differences from the paper: strides are equivariant too, for images of any size (`symmetric_stride`). Before
    training, an image is tried rotated and mirrored, and a network whose outputs differ is refused.
    docs/methods/gcnn.md has more.
    """

    revision = 2  # the widths of any network are traced; in revision 1 they were written by hand

    citation = """@inproceedings{cohen2016group,
      author = {Cohen, Taco and Welling, Max},
      title = {Group Equivariant Convolutional Networks},
      booktitle = {International Conference on Machine Learning (ICML)},
      year = {2016},
    }"""

    group: Annotated[Literal["p4", "p4m"], "p4: turns by 90 degrees; p4m: mirror images too"] = "p4m"

    def compress(self, network: nn.Module, values: int | None, context: Context) -> Compressed:
        order = ORDERS[self.group]
        require_layers_without_directions(network)
        image = example(network.eval())  # raises BudgetError if there are no convolutions
        head = first_of_the_head(network, image)
        if others := training_only.names(network):
            raise BudgetError(
                f"all its layers would take fields of maps, and so would its {len(others)} auxiliary heads "
                f"({', '.join(others)}), which are no part of what is compressed"
            )
        layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
        if read := read_by_code(network, [*layers, head]):
            raise BudgetError(f"all its convolutions would be other layers, and so would {in_words(read)}")
        sized = at_budget(
            context.resizable, values, lambda other: count.stored_values(equivariant(other, FilterBanks, order, [head]))
        )
        structure = {"channels": changed_channels(sized, channels_of(network)), "group": self.group, "head": head}
        pixels = _PIXELS if takes(network, image.shape[1], _PIXELS) else image.shape[-1]
        image = torch.randn(image.shape[1], pixels, pixels, generator=context.generator)
        made = equivariant(sized, FilterBanks.drawn, order, [head])
        require_invariance(
            made, torch.stack([image, *(act(element, image) for element in GENERATING if element < order)])
        )
        fields = [len(bank) for name, bank in made.generator.named_parameters() if name.startswith("banks.")]
        return Equivariant(made, structure, {"fields": "+".join(map(str, fields))})

    def rebuild(self, network: nn.Module, structure: Mapping[str, Any], context: Context) -> Compressed:
        give_channels(network, structure["channels"])
        # Version 0.1 took every linear layer for the head, and networks had one.
        heads = [structure["head"]] if "head" in structure else linear_layers(network)
        made = equivariant(network, FilterBanks, ORDERS[structure["group"]], heads)
        return Equivariant(made.materialise() if structure.get("computed") else made, structure)


class Equivariant(Compressed):
    """A network of fields. When deployed, its kernels are computed and it has no filter banks any more, but its layers
    are still no plain convolutions."""

    def finish(self) -> nn.Module:
        self._structure = {**self._structure, "computed": True}
        return super().finish()


# The side of the image that is tried rotated and mirrored, if the network takes this size; and the largest relative
# change of outputs that counts as rounding in double precision. Both chosen, not measured.
_PIXELS = 32
_ROUNDING = 1e-8


def equivariant(
    network: nn.Module, banks: Callable[[dict[str, FieldConv2d]], FilterBanks], order: int, heads: Sequence[str]
) -> GeneratedNetwork:
    """The network with a field instead of each channel, on the filters that `banks` makes. The linear layers `heads`
    see the mean over the maps; other linear layers see each map."""
    layers: dict[str, FieldConv2d] = {}
    others: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            others[name] = layers[name] = FieldConv2d(module, order, maps=order if layers else 1)
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            pool = functional.max_pool2d if isinstance(module, nn.MaxPool2d) else functional.avg_pool2d
            size, stride, padding = (_pair(of)[0] for of in (module.kernel_size, module.stride, module.padding))
            others[name] = SymmetricPool(pool, size, stride, padding)
        elif name in heads:
            others[name] = nn.Sequential(FieldMean(order), module)
    replace_all(network, others)
    return GeneratedNetwork(network, banks(layers))


def linear_layers(network: nn.Module) -> list[str]:
    """The names of the network's linear layers."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]


def first_of_the_head(network: nn.Module, image: Tensor) -> str:
    """The first linear layer after the convolutions that sees the network's last features, `(images, features)`. Raises
    BudgetError if there is none."""
    flat: list[str] = []
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, outputs, name=name: flat.append(name) if inputs[0].dim() == 2 else flat.clear()
        )
        for name in linear_layers(network)
    ]
    # Layers before a convolution, such as squeeze and excitation, don't belong to the head.
    hooks += [network.get_submodule(name).register_forward_hook(lambda *_: flat.clear()) for name in convolutions]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    if not flat:
        raise BudgetError("it has 0 linear layers behind its convolutions, where the maps of a field would become one")
    return flat[0]


def require_layers_without_directions(network: nn.Module) -> None:
    """Raises BudgetError for layers that can't be made equivariant."""
    require_own_weights(network)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            require_symmetry(name, module)


def require_own_weights(network: nn.Module) -> None:
    """Raises BudgetError if two convolutions share a weight, since each convolution gets its own filters."""
    names = {module: name for name, module in network.named_modules()}
    for places in owners(network).values():
        sharing = [names[module] for module, own in places if own == "weight" and isinstance(module, nn.Conv2d)]
        if len(sharing) > 1:
            raise BudgetError(
                f"its layers {sharing[0]} and {sharing[1]} share a weight, which {len(sharing)} filters of their own "
                "can't stand for"
            )


def require_symmetry(name: str, layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) -> None:
    """Raises BudgetError unless the layer treats rows and columns alike, in a way that this module knows."""
    # An average pool has no dilation.
    settings = (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    alike = all(len(set(_pair(setting))) == 1 for setting in settings)
    match layer:
        case nn.Conv2d():
            known = layer.padding_mode == "zeros"
        case nn.MaxPool2d():
            known = not layer.ceil_mode
        case nn.AvgPool2d():
            known = not layer.ceil_mode and layer.count_include_pad and layer.divisor_override is None
    if not alike:
        raise BudgetError(f"its layer {name} doesn't do to rows what it does to columns: {layer}")
    if not known:
        raise BudgetError(f"how its layer {name} could treat turned images alike is not known here: {layer}")


def require_invariance(network: GeneratedNetwork, images: Tensor) -> None:
    """Raises BudgetError unless the network gives the same outputs for all images: one image, rotated and mirrored.
    Outputs that both leave unchanged stay unchanged under all elements made of them, so not all eight are computed.

    In double precision, so that only rounding is left: in single precision rounding alone is 1e-4 of the logits of a
    ResNet-50.
    """
    copied = copy.deepcopy(network).eval()
    # Kernels are gathered in single precision, which is exact, and converted layer by layer. Converting all at once
    # would take twice the memory of the network.
    copied.network.double()
    for module in copied.modules():
        if isinstance(module, _BatchNorm):
            module.train()  # fresh statistics could shrink the signal so much that no difference is visible
    try:
        with torch.no_grad():
            outputs = copied(images.double())
    except (RuntimeError, ValueError) as error:
        raise BudgetError(f"its code can't be run on fields of maps: {typed_line(error)}") from error
    difference = relative_difference(outputs, outputs[:1])
    if not difference <= _ROUNDING:
        raise BudgetError(
            f"it must not matter how an image is turned, and here it changes the outputs, by {difference:.2g} of the "
            "largest logit"
        )
