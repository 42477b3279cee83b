"""Whether a plan's network, images and schedule fit together, before anything is trained."""

from bench.dataset import Data
from bench.errors import InputError
from bench.models._build import build_network
from bench.models._head import rate_of_layer
from bench.models._usable import require_outputs, require_reloadable
from bench.plan.plan import Plan
from bench.training.multi_scale import require_scales


def check_network(plan: Plan, data: Data) -> None:
    """Raise InputError unless the plan's network takes the images at all scales of the test, and its outputs are of the
    task's form. It must also be rebuilt from its stored values, and have a head if the schedule has a rate for one."""
    channels, model, task = data.image_shape[0], plan.setting.model.model, plan.setting.dataset.task.task
    network, other = (build_network(model, channels, len(data.classes), seed) for seed in (0, 1))
    require_outputs(network, data.image_shape, len(data.classes), task)
    require_reloadable(network, other, data.image_shape, task)
    schedule = plan.setting.schedule
    require_scales(network, data.image_shape, len(data.classes), task, schedule.views)
    if (schedule.mixes or schedule.rand_augment) and not task.of_whole_images:
        raise InputError(
            f"mixup, cutmix and rand_augment are for labels of whole images, and {plan.setting.dataset.label} is for "
            f"{plan.setting.dataset.task.name}; leave them out"
        )
    if (head_rate := schedule.head_rate) != 1:
        rate_of_layer(model, channels, len(data.classes), head_rate)
