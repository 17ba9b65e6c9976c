"""Convert mediapipe's short-range BlazeFace from TensorFlow Lite to the ONNX file that ratta ships.

Run once, in an environment of its own::

    python -m venv convert && convert/bin/pip install tflite2onnx==0.4.1
    pip download --no-deps mediapipe==0.10.21
    convert/bin/python bench/convert_blazeface.py mediapipe-0.10.21-*.whl models/blazeface-short-range/blazeface.onnx

Beyond the plain conversion, three things change and no value does: the graph takes the picture as uint8 NHWC and
maps it to [-1, 1] itself (one pass less in NumPy), the weights stay half floats, which is what the TensorFlow Lite
file holds (half the size; ONNX Runtime widens them once, at load), and the outputs are named and ordered.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import tflite2onnx
from onnx import TensorProto, helper, numpy_helper

MEMBER = "mediapipe/modules/face_detection/face_detection_short_range.tflite"
TFLITE_SHA256 = "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl")
    parser.add_argument("output", type=Path, help="the ONNX file to write")
    arguments = parser.parse_args()
    tflite = zipfile.ZipFile(arguments.wheel).read(MEMBER)
    if hashlib.sha256(tflite).hexdigest() != TFLITE_SHA256:
        sys.exit(f"{MEMBER}: expected sha256 {TFLITE_SHA256}; take the wheel of mediapipe 0.10.21")
    model = convert(tflite)
    arguments.output.write_bytes(model)
    print(f"tflite {len(tflite)} bytes sha256 {TFLITE_SHA256}")
    print(f"onnx   {len(model)} bytes sha256 {hashlib.sha256(model).hexdigest()}")


def convert(tflite: bytes) -> bytes:
    """Return the ONNX model of a TensorFlow Lite model, with ratta's inputs and outputs."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "model.tflite"), Path(folder, "model.onnx")
        source.write_bytes(tflite)
        tflite2onnx.convert(str(source), str(target))
        model = onnx.load(target)
    model.graph.name = "blazeface-short-range"
    _halve_weights(model.graph)
    _take_bytes(model.graph)
    _name_outputs(model.graph)
    _sort(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _halve_weights(graph: onnx.GraphProto) -> None:
    for weight in list(graph.initializer):
        wide = numpy_helper.to_array(weight)
        if wide.dtype != np.float32:
            continue
        half = wide.astype(np.float16)
        assert np.array_equal(half.astype(np.float32), wide), f"{weight.name} is not exact in half precision"
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}/half"))
        graph.node.insert(0, helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))


def _take_bytes(graph: onnx.GraphProto) -> None:
    """Put `uint8 NHWC -> float32 NCHW in [-1, 1]` before the graph."""
    (inner,) = graph.input
    graph.initializer.append(numpy_helper.from_array(np.float32(1 / 127.5), "pixels/scale"))
    graph.initializer.append(numpy_helper.from_array(np.float32(-1), "pixels/shift"))
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["pixels/planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["pixels/planes"], ["pixels/float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels/float", "pixels/scale"], ["pixels/scaled"]),
        helper.make_node("Add", ["pixels/scaled", "pixels/shift"], [inner.name]),
    ]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    graph.input.remove(inner)
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 128, 128, 3]))


def _name_outputs(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == "classificators":
                node.output[place] = "scores"
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("regressors", TensorProto.FLOAT, [1, 896, 16]))
    graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 896, 1]))


def _sort(graph: onnx.GraphProto) -> None:
    """Put nodes and weights into one reproducible order; the converter's own changes from run to run."""
    waiting = {node.output[0]: node for node in graph.node}
    known = {"pixels", ""} | {weight.name for weight in graph.initializer}
    ordered = []
    while waiting:
        name = min(name for name, node in waiting.items() if known.issuperset(node.input))
        known.add(name)
        ordered.append(waiting.pop(name))
    weights = sorted(graph.initializer, key=lambda weight: weight.name)
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(ordered)
    graph.initializer.extend(weights)


if __name__ == "__main__":
    main()
