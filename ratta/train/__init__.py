"""Training: network, teachers, losses, distillation and export.

Needs ``pip install 'ratta[train]'``. :func:`train` runs a :class:`DistillationPlan`, :func:`export_run` writes the
student's graph, :func:`export_graph` any network's.
"""

from __future__ import annotations

import importlib.util

from ratta.errors import MissingExtraError

if any(importlib.util.find_spec(name) is None for name in ("torch", "onnx", "cv2")):
    raise MissingExtraError("ratta.train needs torch, onnx and OpenCV: pip install 'ratta[train]'")

from ratta.train.development import development_samples
from ratta.train.export import ExportReport, card_facts, export_graph
from ratta.train.factory import split_identities, split_portraits
from ratta.train.loop import Trainer, TrainSettings
from ratta.train.network import MobileNetV3Small
from ratta.train.run import DistillationPlan, export_run, label, train

__all__ = [
    "DistillationPlan",
    "ExportReport",
    "MobileNetV3Small",
    "TrainSettings",
    "Trainer",
    "card_facts",
    "development_samples",
    "export_graph",
    "export_run",
    "label",
    "split_identities",
    "split_portraits",
    "train",
]
