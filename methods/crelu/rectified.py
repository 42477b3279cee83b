"""Finds the convolutions of a network that a rectifier follows, directly or after a batch norm."""

from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

_RECTIFIERS = (functional.relu, functional.relu_, functional.relu6, "relu", "relu_")


def rectified_convolutions(network: nn.Module) -> set[str]:
    """The names of the convolutions whose outputs go only to rectifiers (ReLU, ReLU6), directly or through a batch
    norm. The network is traced (torch.fx), not run."""
    traced = fx.symbolic_trace(network)
    modules = dict(traced.named_modules())

    def is_rectifier(node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(modules[str(node.target)], nn.ReLU | nn.ReLU6)
        return node.target in _RECTIFIERS

    def goes_to_rectifiers(node: fx.Node) -> bool:
        users = list(node.users)
        if len(users) == 1 and users[0].op == "call_module" and isinstance(modules[str(users[0].target)], _BatchNorm):
            users = list(users[0].users)
        return bool(users) and all(map(is_rectifier, users))

    return {
        str(node.target)
        for node in traced.graph.nodes
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.Conv2d) and goes_to_rectifiers(node)
    }
