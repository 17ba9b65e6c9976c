"""Somebody's ONNX network becomes a bundle: its graph is read, its contract found or checked, and written down.

Needs onnx and OpenCV: ``pip install 'ratta[onnx]'``.
"""

from __future__ import annotations

import importlib.util

from ratta.errors import MissingExtraError

if importlib.util.find_spec("onnx") is None or importlib.util.find_spec("cv2") is None:
    raise MissingExtraError("ratta.wrap needs onnx and OpenCV: pip install 'ratta[onnx]'")

from ratta.wrap.evidence import Examiner, Finding
from ratta.wrap.examples import Examples, simulated_examples
from ratta.wrap.foreign import Foreign, read_foreign
from ratta.wrap.wishes import Wishes, read_wishes
from ratta.wrap.wrapping import Wrapped, examine, wrap

__all__ = [
    "Examiner",
    "Examples",
    "Finding",
    "Foreign",
    "Wishes",
    "Wrapped",
    "examine",
    "read_foreign",
    "read_wishes",
    "simulated_examples",
    "wrap",
]
