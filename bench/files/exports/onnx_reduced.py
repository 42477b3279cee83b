"""ONNX in half precision and with int8 weights: a further step beside the method's, which changes the outputs.

Inputs and outputs of the file stay float32. Half precision is onnxruntime's own conversion. The weights in int8 are as
its quantiser writes them (DequantizeLinear before each layer), but weights alone: its `quantize_dynamic` rounds the
values between layers too, which is worse and slower (docs/decisions/onnx-int8.md).
"""

from typing import Any

import numpy

from bench.files.exports.onnx_file import need, parsed

_LARGEST = 127  # of int8, the same on both sides of zero
# Of each kind of layer, which input is the weight, and which of its axes counts outputs.
_WEIGHTS = {"Conv": (1, 0), "ConvTranspose": (1, 1), "Gemm": (1, 0), "MatMul": (1, 1)}


def half(content: bytes) -> bytes:
    """An ONNX file's content, with weights and computation in half precision."""
    need("onnx", "onnxruntime")
    from onnxruntime.transformers.float16 import convert_float_to_float16

    written: bytes = convert_float_to_float16(parsed(content), keep_io_types=True).SerializeToString()
    return written


def int8(content: bytes) -> bytes:
    """An ONNX file's content, the weights of its layers in int8 with a scale for each output; biases stay."""
    need("onnx")
    from onnx import helper, numpy_helper

    model = parsed(content)
    weights = {own.name: own for own in model.graph.initializer}
    restored: dict[str, Any] = {}
    for node in model.graph.node:
        place, axis = _WEIGHTS.get(node.op_type, (0, 0))
        name = node.input[place] if place else ""
        if name not in weights or name in restored:
            continue
        if node.op_type == "Gemm" and not any(own.name == "transB" and own.i for own in node.attribute):
            axis = 1
        weight = numpy_helper.to_array(weights[name])
        if weight.dtype != numpy.float32 or weight.ndim < 2:
            continue
        others = tuple(own for own in range(weight.ndim) if own != axis)
        largest = numpy.abs(weight).max(axis=others, keepdims=True)
        scale = numpy.where(largest > 0, largest / _LARGEST, 1).astype(numpy.float32)
        whole = numpy.rint(weight / scale).astype(numpy.int8)
        model.graph.initializer.remove(weights[name])
        parts: dict[str, Any] = {f"{name}.int8": whole, f"{name}.scale": scale.flatten()}
        model.graph.initializer.extend(numpy_helper.from_array(own, part) for part, own in parts.items())
        restored[name] = helper.make_node("DequantizeLinear", list(parts), [name], axis=axis)
    layers = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*restored.values(), *layers])
    written: bytes = model.SerializeToString()
    return written
