"""Distillation: the loss on a teacher's outputs, which a sweep with a teacher adds for every method alike."""

import torch
from torch import Tensor
from torch.nn import functional


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T), softmax(student / T)), the mean over images (and pixels). Classes are the second
    dimension of the logits. (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2:
    T^2 keeps the gradients' size when T changes.)"""
    dtype = torch.promote_types(student.dtype, torch.float32)
    wanted, found = ((logits.to(dtype) / temperature).log_softmax(1) for logits in (teacher, student))
    return temperature**2 * functional.kl_div(found, wanted, log_target=True, reduction="none").sum(1).mean()
