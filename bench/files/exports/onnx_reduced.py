"""ONNX with half precision or int8 weights: a further step after the method's compression, which changes the outputs.

Inputs and outputs of the file stay float32. Half precision is onnxruntime's own conversion. The int8 weights have the
form that onnxruntime's quantiser writes (DequantizeLinear before each layer), but only weights are quantised:
`quantize_dynamic` also rounds the values between layers, which is less accurate and slower
(docs/decisions/onnx-int8.md).
"""

from typing import Any

import numpy

from bench.files.exports.onnx_file import need, parsed

_LARGEST = 127  # the largest int8 whose negative is an int8 too
# For each kind of layer: the index of the input that is the weight, and the weight's axis that counts outputs.
_WEIGHTS = {"Conv": (1, 0), "ConvTranspose": (1, 1), "Gemm": (1, 0), "MatMul": (1, 1)}


def half(content: bytes) -> bytes:
    """An ONNX file's content with weights and computation in half precision."""
    need("onnx", "onnxruntime")
    from onnxruntime.transformers.float16 import convert_float_to_float16

    written: bytes = convert_float_to_float16(parsed(content), keep_io_types=True).SerializeToString()
    return written


def int8(content: bytes) -> bytes:
    """An ONNX file's content with the weights of its layers in int8, with a scale for each output. Biases stay
    float32."""
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
