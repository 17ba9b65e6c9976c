"""Scene: a person before a background, re-lit, under an illuminant, placed and posed in front of the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.simulate.light import Float, kelvin_gains, to_linear
from ratta.simulate.portraits import Box, Cutout, Rgb

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the face lands: centre and side in frame pixels, roll in degrees, shear, mirrored or not."""

    centre: tuple[float, float]
    face_px: float
    roll_deg: float = 0.0
    stretch: float = 1.0
    yaw: float = 0.0
    mirrored: bool = False

    def matrix(self, box: Box) -> Matrix:
        """Affine map from the canvas of a cut-out to the frame, ``(2, 3)``."""
        side = max(box[2] - box[0], box[3] - box[1])
        middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        scale = self.face_px / side
        turn = np.deg2rad(self.roll_deg)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shape = np.array([[self.stretch * (-1 if self.mirrored else 1), self.yaw], [0, 1.0]])
        linear = scale * rotation @ shape
        return np.column_stack((linear, np.asarray(self.centre) - linear @ middle))


def box_after(box: Box, matrix: Matrix) -> Box:
    """Axis-aligned hull of a box after an affine ``(2, 3)`` or projective ``(3, 3)`` map."""
    x_min, y_min, x_max, y_max = box
    corners = np.array([[x_min, y_min, 1], [x_max, y_min, 1], [x_max, y_max, 1], [x_min, y_max, 1]]).T
    points = matrix @ corners
    if len(points) == 3:
        points = points[:2] / points[2]
    low, high = points.min(1), points.max(1)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def relight(rng: np.random.Generator, height: int, width: int, *, directed: float) -> Float:
    """Give a smooth field of light with mean one: a ramp from a side and soft lumps, ``(H, W)``."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    ramp = directed * rng.uniform(0.3, 1.0) * (x * np.cos(angle) + y * np.sin(angle))
    lumps = cv2.resize(rng.normal(0, 0.12, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    field = np.exp(ramp + lumps)
    return np.asarray(field / field.mean(), dtype=np.float32)


def illuminate(light: Float, *, kelvin: float, tint: float) -> Float:
    """Colour a scene lit at 6500 K as another illuminant would."""
    return light * (kelvin_gains(kelvin) * np.array([1.0, np.exp(tint), 1.0], np.float32))


def skin_texture(canvas: Rgb, *, strength: float) -> Rgb:
    """Roughen or smooth fine structure: pores and age, or make-up and soft focus."""
    soft = cv2.bilateralFilter(canvas, 5, 20, 3)
    return np.asarray(cv2.addWeighted(canvas, 1 + strength, soft, -strength, 0), dtype=np.uint8)


def compose(
    cutout: Cutout, background: Rgb, placement: Placement, *, own_background: bool = False
) -> tuple[Float, Box]:
    """Put the person before a background ``(H, W, 3)``; linear light out, and the face box in the frame."""
    height, width = background.shape[:2]
    matrix = placement.matrix(cutout.box)
    canvas = np.asarray(cutout.rgba)
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrink < 0.75:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.45 / shrink), dtype=np.uint8)
    border = cv2.BORDER_REFLECT_101 if own_background else cv2.BORDER_REPLICATE
    moved = cv2.warpAffine(canvas, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    warped = np.asarray(moved, dtype=np.uint8)
    person = to_linear(warped[..., :3])
    if own_background:
        return person, box_after(cutout.box, matrix)
    weight = warped[..., 3:].astype(np.float32) * np.float32(1 / 255)
    behind = to_linear(background)
    return behind + weight * (person - behind), box_after(cutout.box, matrix)
