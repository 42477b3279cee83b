"""The network as it was given, measured before anything is trained."""

from bench import count
from bench.data.normalise import Normalise
from bench.dataset import Data
from bench.files import artifact
from bench.files.description import Description, Step
from bench.method import Compressed
from bench.models._build import build_network
from bench.plan.plan import Plan
from bench.store.record import Record
from bench.training.evaluate import evaluate


def measure(plan: Plan, data: Data) -> tuple[Record, bytes]:
    """What a record says of it, as far as `bench compress` needs it, and its artifact."""
    weights, (channels, height, width), classes = plan.setting.weights, data.image_shape, len(data.classes)
    assert weights is not None
    assert data.validation is not None
    network = weights.open(channels, classes)(build_network(plan.setting.model.model, channels, classes, 0), 0).eval()
    normalise = Normalise.of(data.train)
    score = evaluate(network, data.validation, normalise)
    values = count.stored_values(network)
    record = {
        "validation_top1": score.top1,
        "validation_loss": score.loss,
        "stored_values": values,
        "materialised_values": values,
        "dense_values": values,
        "macs": count.forward_macs(network, data.image_shape),
    }
    inputs = normalise.inputs(height, width)
    described = artifact.describe_model(plan.setting.model, channels, classes, inputs=inputs)
    return record, artifact.pack(Compressed(network), Description(described, (Step("dense", {}, {}),), weights.epochs))
