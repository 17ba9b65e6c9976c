"""Export: a network's graph (see `graph.py`) as a file, checked against torch, and what was folded into it.

Beside the graph of a network that can be adapted, ``affine.npz`` holds its unfolded normalisation under full names:
``<layer>.gamma``, ``.beta``, ``.mean`` and ``.var``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ratta.errors import BundleError, TrainingError
from ratta.inference import NumpySession
from ratta.inference.session import import_onnxruntime
from ratta.train.checkpoint import write_atomically
from ratta.train.graph import Array, build_graph, stored_name
from ratta.train.network import MobileNetV3Small, Network, normalise

MAX_BYTES = 3_840_000
ARCHITECTURES = {
    "MobileNetV3Small": "MobileNetV3-Small x1.0, head 576-64-2",
    "MobileNetV2": "MobileNetV2 x1.0, two logits",
    "EfficientNetB0": "EfficientNet-B0, two logits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote and how true it is.

    Attributes
    ----------
    path : str
        The graph.
    parameters, size_bytes : int
        Trained parameters of the network, and bytes of the graph.
    max_deviation : float
        Largest absolute difference of a logit between torch and ONNX Runtime on the crops given; nan without crops.
    crops : int
        How many crops were compared.
    """

    path: str
    parameters: int
    size_bytes: int
    max_deviation: float
    crops: int


def affine_parts(network: Network) -> dict[str, Array]:
    """Gamma, beta, running mean and variance of every normalisation, under its layer's name."""
    parts: dict[str, Array] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            layer = name.rpartition(".")[0]
            assert module.running_mean is not None
            assert module.running_var is not None
            values = (module.weight, module.bias, module.running_mean, module.running_var)
            for part, value in zip(("gamma", "beta", "mean", "var"), values, strict=True):
                parts[f"{layer}.{part}"] = value.detach().numpy().astype(np.float32).copy()
    return parts


def export_graph(
    network: Network,
    *,
    size: int,
    mean: float = 0.0,
    std: float = 255.0,
    path: str | Path,
    crops: NDArray[np.uint8] | None = None,
) -> ExportReport:
    """Write the graph and, beside that of MobileNetV3-Small, ``affine.npz``; check it against torch on real crops.

    Parameters
    ----------
    network : Network
        The trained network.
    size : int
        Side of the input in pixels.
    mean, std : float
        Normalisation of pixels 0-255. Only ``mean = 0`` folds into the first convolution exactly at the borders.
    path : path
        The ``.onnx`` file to write.
    crops : ndarray, optional
        ``(N, size, size, 3) uint8`` RGB crops to compare on.

    Raises
    ------
    TrainingError
        If the mean is not zero, MobileNetV3-Small's file grows beyond 3.84 MB, the disk is full, or torch and ONNX
        Runtime differ.
    """
    if mean != 0.0:
        raise TrainingError(
            f"export: expected mean 0, got {mean}; train with pixels / std so that borders fold exactly"
        )
    data = build_graph(network, size=size, std=std).SerializeToString()
    adaptable = isinstance(network, MobileNetV3Small)
    if adaptable and len(data) > MAX_BYTES:
        raise TrainingError(f"export: expected at most {MAX_BYTES} bytes, got {len(data)}; shrink the network")
    target = write_atomically(Path(path), data)
    if adaptable:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **affine_parts(network))
        write_atomically(target.with_name("affine.npz"), buffer.getvalue())
    deviation = float("nan") if crops is None else max_deviation(network, data, crops, std=std)
    if deviation > 1e-2:
        raise TrainingError(f"export: expected torch and ONNX Runtime to agree, got {deviation:.3g}; report this")
    return ExportReport(
        path=target.name,
        parameters=sum(p.numel() for p in network.parameters()),
        size_bytes=len(data),
        max_deviation=deviation,
        crops=0 if crops is None else len(crops),
    )


def max_deviation(network: Network, graph: bytes, crops: NDArray[np.uint8], *, std: float = 255.0) -> float:
    """Largest absolute logit difference between torch and ONNX Runtime, crop by crop."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for start in range(0, len(crops), 50):
        chunk = np.ascontiguousarray(crops[start : start + 50])
        with torch.inference_mode():
            expected = network.eval()(normalise(torch.from_numpy(chunk), std=std)).logits.numpy()
        worst = max(worst, float(np.abs(expected - session.run(["logits"], {"pixels": chunk})[0]).max()))
    return worst


def numpy_deviation(network: Network, graph: bytes, crops: NDArray[np.uint8], *, std: float = 255.0) -> float | None:
    """Largest absolute logit difference between torch and the NumPy runtime; `None` where it cannot run the graph."""
    try:
        session = NumpySession(graph)
    except BundleError:
        return None
    worst = 0.0
    for crop in crops:
        with torch.inference_mode():
            expected = network.eval()(normalise(torch.from_numpy(crop[None]), std=std)).logits.numpy()
        found = dict(zip(session.outputs, session.run({"pixels": crop[None]}), strict=True))["logits"]
        worst = max(worst, float(np.abs(expected - found).max()))
    return worst


def card_facts(
    network: Network, report: ExportReport, *, size: int, run: dict[str, Any], std: float = 255.0
) -> dict[str, Any]:
    """Everything a model card and a manifest need to say about training and export, as plain values."""
    return {
        "architecture": ARCHITECTURES.get(type(network).__name__, type(network).__name__),
        "parameters": report.parameters,
        "feature_parameters": sum(p.numel() for p in network.features.parameters()),
        "size_bytes": report.size_bytes,
        "export_max_deviation": report.max_deviation,
        "export_crops": report.crops,
        "input": {"name": "pixels", "size": size, "layout": "NHWC", "dtype": "uint8", "color": "rgb"},
        "normalisation": {"mean": 0.0, "std": std, "where": "folded into the first convolution"},
        "classes": ["spoof", "live"],
        "outputs": {"logits": 2, "embedding": network.last_width}
        | ({"cut": "input of features.10"} if isinstance(network, MobileNetV3Small) else {}),
        **run,
    }


__all__ = [
    "MAX_BYTES",
    "ExportReport",
    "affine_parts",
    "build_graph",
    "card_facts",
    "export_graph",
    "numpy_deviation",
    "stored_name",
]
