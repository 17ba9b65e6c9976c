"""What a phone would have seen: from a face picture to frames of a live person, a print or a replay.

Three named stages, each in physical units and seeded by a generator that is passed in: the *scene* (a person re-lit
before a background), for attacks the *medium* (paper or screen), and the *camera* (optics, mosaic, noise, processor).
Named cameras, displays, printers and illuminants (:mod:`ratta.simulate.profiles`) make domains.

A short stream for a demo or an evaluation::

    from ratta.simulate import simulate_frames

    for t_seconds, frame_rgb in simulate_frames(
        picture_rgb, species="replay", camera="webcam", frames=60, seed=7, box=(x_min, y_min, x_max, y_max)
    ):
        ...  # (480, 640, 3) uint8 RGB

``species`` is ``"live"``, ``"print"`` or ``"replay"``; ``box`` is the face in the picture, guessed when absent.
Needs OpenCV: ``pip install 'ratta[camera]'``.
"""

from __future__ import annotations

import importlib.util

from ratta.errors import MissingExtraError

if importlib.util.find_spec("cv2") is None:
    raise MissingExtraError("ratta.simulate needs OpenCV: pip install 'ratta[camera]'")

from ratta.simulate.changes import CHANGES, CameraChange, change_crops
from ratta.simulate.frames import simulate_capture, simulate_frames, simulate_session
from ratta.simulate.portraits import PortraitBank, crop_face, cut_out, prepare_portraits
from ratta.simulate.profiles import CAMERAS, DISPLAYS, ILLUMINANTS, PRINTERS
from ratta.simulate.session import SPECIES, Capture, Session
from ratta.simulate.sheet import contact_sheet
from ratta.simulate.statistics import separability

__all__ = [
    "CAMERAS",
    "CHANGES",
    "DISPLAYS",
    "ILLUMINANTS",
    "PRINTERS",
    "SPECIES",
    "CameraChange",
    "Capture",
    "PortraitBank",
    "Session",
    "change_crops",
    "contact_sheet",
    "crop_face",
    "cut_out",
    "prepare_portraits",
    "separability",
    "simulate_capture",
    "simulate_frames",
    "simulate_session",
]
