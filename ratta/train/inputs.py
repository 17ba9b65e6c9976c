"""Inputs for distillation: as varied as possible rather than as realistic as possible.

What counts is that the teachers' opinions on them cover their decision boundary: portraits, simulated captures and
cut-mixes between them, cropped at random scales, then damaged strongly and in many ways.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.simulate.backgrounds import background, cloud, random_colour
from ratta.simulate.frames import simulate_capture
from ratta.simulate.hands import add_hands
from ratta.simulate.portraits import Box, PortraitBank, crop_square
from ratta.simulate.session import Capture

Rgb = NDArray[np.uint8]
Operation = Callable[[np.random.Generator, Rgb], Rgb]
UNLABELLED, NO_FACE = -1, -2
"""Labels of what has no honest one, and of what has no face in it: nothing that may be called live."""
PATTERNS = 0.04
"""Share of inputs that have no face in them."""
RESIZERS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC)


def _clip(image: NDArray[Any]) -> Rgb:
    return np.asarray(np.clip(image + 0.5, 0, 255), dtype=np.uint8)


def lookup(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Gamma, contrast, brightness and channel gains through one table per channel."""
    level = np.arange(256, dtype=np.float32) / 255
    gamma, contrast = np.exp(rng.normal(0, 0.4)), np.exp(rng.normal(0, 0.35))
    pivot, lift = rng.uniform(0.2, 0.7), rng.normal(0, 0.08)
    gains = np.exp(rng.normal(0, rng.choice((0.02, 0.1, 0.25)), 3))
    base = (level**gamma - pivot) * contrast + pivot + lift
    table = _clip(255 * base[:, None] * gains[None, :])
    return np.asarray(cv2.LUT(image, np.ascontiguousarray(table[None])), dtype=np.uint8)


def curves(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Bend a curve per channel: tinted shadows, tinted whites, as inks, papers and cheap displays have them."""
    level = np.arange(256, dtype=np.float32)[:, None] / 255
    black = rng.uniform(0, 60) + rng.normal(0, 13, 3)
    white = rng.uniform(165, 255) + rng.normal(0, 13, 3)
    table = _clip(level ** np.exp(rng.normal(0, 0.16, 3)) * (white - black) + black)
    return np.asarray(cv2.LUT(image, np.ascontiguousarray(table[None])), dtype=np.uint8)


def saturate(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Pull colours towards grey or away from it."""
    grey = image.astype(np.float32).mean(2, keepdims=True)
    return _clip(grey + (image - grey) * rng.choice((0.0, rng.uniform(0.2, 0.8), rng.uniform(1.2, 2.2))))


def mix_channels(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Give a colour matrix near the identity: another gamut, another sensor."""
    matrix = np.eye(3) + rng.normal(0, 0.12, (3, 3))
    return np.asarray(cv2.transform(image, matrix / matrix.sum(1, keepdims=True)), dtype=np.uint8)


def blur(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Defocus or motion."""
    if rng.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 2.5)), dtype=np.uint8)
    length = int(rng.integers(2, 8))
    kernel = np.zeros((9, 9), np.float32)
    angle = rng.uniform(0, np.pi)
    tip = (int(4 + length / 2 * np.cos(angle)), int(4 + length / 2 * np.sin(angle)))
    cv2.line(kernel, (8 - tip[0], 8 - tip[1]), tip, 1.0, 1, cv2.LINE_AA)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), dtype=np.uint8)


def sharpen(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Unsharp masking, also far beyond good taste."""
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.5))
    amount = rng.uniform(0.3, 2.5)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), dtype=np.uint8)


def rescale(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Down and up again: a low-resolution camera or a far face."""
    size = image.shape[0]
    small = int(size * rng.uniform(0.25, 0.95))
    down, up = rng.choice(RESIZERS, 2)
    shrunk = cv2.resize(image, (small, small), interpolation=int(down))
    return np.asarray(cv2.resize(shrunk, (size, size), interpolation=int(up)), dtype=np.uint8)


def jpeg(rng: np.random.Generator, image: Rgb) -> Rgb:
    """One generation of JPEG."""
    quality = int(np.exp(rng.uniform(np.log(8), np.log(97))))
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def noise(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Grain: white or coarse, grey or coloured, growing with the signal or not."""
    size = image.shape[0]
    coarse = int(size / rng.choice((1.0, 1.0, rng.uniform(1.2, 3.0))))
    sigma = rng.choice((rng.uniform(1, 5), rng.uniform(4, 22)))
    grain = rng.standard_normal((coarse, coarse, 3 if rng.random() < 0.6 else 1), dtype=np.float32) * np.float32(sigma)
    if coarse != size:
        grain = np.asarray(cv2.resize(grain, (size, size)), np.float32).reshape(size, size, -1)
    return _clip(image + grain)


def grating(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Give a periodic pattern: pixel rows, moire fringes, halftone dots, refresh bands."""
    size = image.shape[0]
    period = np.exp(rng.uniform(np.log(2.0), np.log(40.0)))
    angle = rng.choice((0.0, np.pi / 2, rng.uniform(0, np.pi)))
    along = np.arange(size, dtype=np.float32) * np.float32(2 * np.pi / period)
    bend = rng.uniform(0, 1.5) * np.sin(along[:, None] * 0.05 + rng.uniform(0, 6))
    phase = along[None, :] * np.float32(np.cos(angle)) + along[:, None] * np.float32(np.sin(angle)) + bend
    depth = rng.uniform(0.02, 0.3)
    if rng.random() < 0.5:
        return _clip(image * (1 + depth * np.sin(phase.astype(np.float32)))[..., None])
    shifts = rng.uniform(0, 2 * np.pi, 3).astype(np.float32)
    return _clip(image * (1 + depth * np.sin(phase.astype(np.float32)[..., None] + shifts)))


def light_field(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Uneven light: a smooth ramp, a lamp's spot, a veil of glare, a shadow."""
    size = image.shape[0]
    field_small = rng.normal(0, rng.uniform(0.1, 0.6), (3, 3)).astype(np.float32)
    shape = cv2.resize(field_small, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        return _clip(image * np.exp(shape)[..., None])
    return _clip(image + np.maximum(shape, 0)[..., None] * rng.uniform(60, 255) * rng.uniform(0.7, 1, 3))


def posterise(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Few tones, as poor printers and poor codecs leave."""
    step = int(rng.choice((4, 8, 16, 32)))
    return (image // step * step + step // 2).astype(np.uint8)


def median(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Give the smear of a denoiser."""
    return np.asarray(cv2.medianBlur(image, int(rng.choice((3, 3, 5)))), dtype=np.uint8)


def occlude(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Give a bar along an edge or a flat patch: bezel, paper margin, finger."""
    size = image.shape[0]
    out = image.copy()
    side, depth = int(rng.integers(4)), int(size * rng.uniform(0.02, 0.25))
    out = np.rot90(out, side).copy()
    out[:depth] = random_colour(rng)
    return np.ascontiguousarray(np.rot90(out, -side))


OPERATIONS: tuple[Operation, ...] = (
    lookup, lookup, curves, curves, saturate, mix_channels, blur, blur, sharpen, rescale, rescale,
    jpeg, jpeg, noise, noise, grating, grating, light_field, light_field, posterise, median, occlude,
)  # fmt: skip


def held_medium(rng: np.random.Generator, image: Rgb, behind: Rgb, *, share: float | None = None) -> Rgb:
    """Show the picture on a sheet or screen held before another scene, its edges and often a hand in view.

    ``share`` is the side of the medium over the side of the view; drawn when absent.
    """
    size = image.shape[0]
    half = size * (rng.uniform(0.6, 1.2) if share is None else share) / 2 * np.exp(rng.normal(0, 0.08, 2))
    centre = size / 2 + rng.normal(0, 0.05 * size, 2)
    corners = centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half + rng.normal(0, 0.02 * size, (4, 2))
    turn = np.deg2rad(rng.normal(0, 6))
    corners = centre + (corners - centre) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    source = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    transform = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    out = behind.copy()
    if rng.random() < 0.6:
        rim = centre + (corners - centre) * rng.uniform(1.02, 1.2)
        cv2.fillConvexPoly(out, rim.astype(np.int32), random_colour(rng, spread=0.08).tolist(), cv2.LINE_AA)
    cv2.warpPerspective(
        image, transform, (size, size), dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    return add_hands(out, corners, rng) if rng.random() < 0.6 else out


def cut_mix(rng: np.random.Generator, first: Rgb, second: Rgb) -> Rgb:
    """Put a region of one picture over another: rectangle, ellipse or half plane, sometimes a blend."""
    size = first.shape[0]
    mask = np.zeros((size, size), np.uint8)
    kind = rng.integers(4)
    centre, extent = rng.uniform(0.25, 0.75, 2) * size, rng.uniform(0.12, 0.5, 2) * size
    if kind == 0:
        corner = (centre - extent).astype(int), (centre + extent).astype(int)
        cv2.rectangle(mask, corner[0].tolist(), corner[1].tolist(), 255, -1)
    elif kind == 1:
        cv2.ellipse(mask, centre.astype(int).tolist(), extent.astype(int).tolist(), 0, 0, 360, 255, -1)
    elif kind == 2:
        mask[: int(centre[0])] = 255
    else:
        mask[:] = int(rng.uniform(60, 195))
    weight = mask[..., None].astype(np.uint16)
    return ((second * weight + first * (255 - weight)) // 255).astype(np.uint8)


def pattern(rng: np.random.Generator, size: int) -> Rgb:
    """Draw what has no face in it but may be taken for one: cells, stripes, clouds, scenes, of any grain."""
    kind = rng.random()
    cells = max(2, round(size / np.exp(rng.uniform(0.0, np.log(size / 3)))))
    channels = 3 if rng.random() < 0.7 else 1
    if kind < 0.45:
        small = rng.integers(0, 256, (cells, cells, channels), dtype=np.uint8)
        spread = rng.uniform(0.2, 1.0)
        small = _clip(128 + (small.astype(np.float32) - 128) * spread)
        large = cv2.resize(small, (size, size), interpolation=int(rng.choice(RESIZERS)))
        return np.ascontiguousarray(np.broadcast_to(large.reshape(size, size, -1), (size, size, 3)))
    if kind < 0.6:
        planes = [cloud(rng, size, roughness=rng.uniform(0.4, 1.1)) for _ in range(channels)]
        return _clip(np.broadcast_to(128 + rng.uniform(20, 80) * np.stack(planes, 2), (size, size, 3)))
    if kind < 0.75:
        return grating(rng, grating(rng, np.full((size, size, 3), random_colour(rng, spread=0.3), np.uint8)))
    return background(rng, size)


def dull(rng: np.random.Generator, image: Rgb) -> Rgb:
    """Give a cheap second generation: duller, softer, unevenly lit, striped, in random measure and order."""
    steps: list[Operation] = [curves, saturate, curves, blur, lookup, light_field]
    for index in rng.permutation(6)[: int(rng.integers(0, 6))]:
        image = steps[int(index)](rng, image)
    return grating(rng, image) if rng.random() < 0.2 else image


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeInput:
    """One distillation input, its label where it has an honest one (1 live, 0 spoof, -1 none), and how wide it is.

    ``scale`` is its side over the longer side of the face box, so that every network can be given the crop it wants.
    """

    pixels: Rgb
    label: int
    scale: float


class InputMaker:
    """Makes one distillation input after another.

    Half of the inputs come from a bank of simulated captures that is renewed as it is used, half from portraits.

    Parameters
    ----------
    portraits : PortraitBank
        Prepared cut-outs of the identities to use.
    size : int
        Side of the crops in pixels.
    bank : int
        Number of simulated captures kept; 0 leaves them out.
    renew_every : int
        Inputs made per new capture.
    """

    def __init__(self, *, portraits: PortraitBank, size: int = 128, bank: int = 0, renew_every: int = 24) -> None:
        self.portraits = portraits
        self.size = size
        self.bank = bank
        self.renew_every = renew_every
        self._captures: list[Capture] = []
        self._recent: list[Rgb] = []
        self._backdrops: list[Rgb] = []
        self._made = 0

    def make(self, rng: np.random.Generator) -> MadeInput:
        """Make one crop, ``(size, size, 3) uint8`` RGB, with its label."""
        self._renew(rng)
        if rng.random() < PATTERNS:
            return MadeInput(
                pixels=damage(rng, pattern(rng, self.size), most=3), label=NO_FACE, scale=float(rng.uniform(1.2, 3.2))
            )
        image, label, scale = self._source(rng)
        if rng.random() < 0.3:
            (image, scale), label = self._held(rng), UNLABELLED
        if rng.random() < 0.2 and self._recent:
            image, label = cut_mix(rng, image, self._recent[int(rng.integers(len(self._recent)))]), UNLABELLED
        mild = label != UNLABELLED and rng.random() < 0.4
        image = damage(rng, image, most=1 if mild else 6)
        self._remember(rng, image)
        return MadeInput(pixels=image, label=label if mild else UNLABELLED, scale=scale)

    def _renew(self, rng: np.random.Generator) -> None:
        self._made += 1
        filling = len(self._captures) < min(self.bank, 1 + self._made // 4)
        if not self.bank or (self._made % self.renew_every and not filling):
            return
        fresh = simulate_capture(self.portraits[int(rng.integers(len(self.portraits)))], rng)
        if len(self._captures) < self.bank:
            self._captures.append(fresh)
        else:
            self._captures[int(rng.integers(self.bank))] = fresh

    def _source(self, rng: np.random.Generator) -> tuple[Rgb, int, float]:
        if self._captures and rng.random() < 0.5:
            capture = self._captures[int(rng.integers(len(self._captures)))]
            scale = random_scale(rng, capture.rgb, capture.box)
            crop = random_crop(rng, capture.rgb, capture.box, self.size, scale=scale)
            return np.ascontiguousarray(crop), int(capture.species == "live"), scale
        cutout = self.portraits[int(rng.integers(len(self.portraits)))]
        scale = random_scale(rng, cutout.rgba, cutout.box)
        crop = random_crop(rng, cutout.rgba, cutout.box, self.size, scale=scale)
        if rng.random() < 0.45:
            return np.ascontiguousarray(crop[..., :3]), UNLABELLED, scale
        weight = crop[..., 3:].astype(np.uint16)
        mixed = (crop[..., :3] * weight + self._backdrop(rng) * (255 - weight)) // 255
        return mixed.astype(np.uint8), UNLABELLED, scale

    def _held(self, rng: np.random.Generator) -> tuple[Rgb, float]:
        """Give a picture of a face held in view so that its face has a face's size, and how wide the view is."""
        cutout = self.portraits[int(rng.integers(len(self.portraits)))]
        framing, view = rng.uniform(1.2, 2.5), float(np.clip(rng.normal(2.6, 0.5), 1.2, 4.0))
        crop = random_crop(rng, cutout.rgba, cutout.box, self.size, scale=framing)
        picture = np.ascontiguousarray(crop[..., :3])
        if rng.random() < 0.6:
            weight = crop[..., 3:].astype(np.uint16)
            plain = random_colour(rng, spread=0.1) if rng.random() < 0.6 else self._backdrop(rng)
            picture = ((picture * weight + np.asarray(plain, np.uint8) * (255 - weight)) // 255).astype(np.uint8)
        medium = dull(rng, picture)
        return held_medium(rng, medium, self._behind(rng), share=framing / view), view

    def _behind(self, rng: np.random.Generator) -> Rgb:
        """Give what is behind a held medium: the holder's clothes, the holder, or any background."""
        kind = rng.random()
        if kind < 0.35:
            return self._backdrop(rng)
        cutout = self.portraits[int(rng.integers(len(self.portraits)))]
        if kind < 0.7:
            side = int(rng.uniform(110, 180))
            x, y = int(rng.uniform(60, 388 - side)), int(rng.uniform(440 - side, 448 - side))
            torso = cutout.rgba[y : y + side, x : x + side, :3]
            return np.asarray(cv2.resize(torso, (self.size, self.size)), dtype=np.uint8)
        scale = random_scale(rng, cutout.rgba, cutout.box)
        crop = random_crop(rng, cutout.rgba, cutout.box, self.size, scale=scale)
        return np.ascontiguousarray(crop[..., :3])

    def _backdrop(self, rng: np.random.Generator) -> Rgb:
        if len(self._backdrops) < 64:
            self._backdrops.append(background(rng, self.size))
        elif rng.random() < 0.1:
            self._backdrops[int(rng.integers(64))] = background(rng, self.size)
        return np.roll(self._backdrops[int(rng.integers(len(self._backdrops)))], int(rng.integers(self.size)), axis=1)

    def _remember(self, rng: np.random.Generator, image: Rgb) -> None:
        if len(self._recent) < 64:
            self._recent.append(image)
        else:
            self._recent[int(rng.integers(64))] = image


def random_scale(rng: np.random.Generator, canvas: NDArray[np.uint8], box: Box) -> float:
    """Draw how wide to crop: mostly wide enough for every view, sometimes tight, never wider than the canvas."""
    kind = rng.random()
    scale = rng.normal(2.9, 0.25) if kind < 0.65 else rng.uniform(1.0, 1.7 if kind < 0.77 else 3.5)
    reach = min(canvas.shape[:2]) / max(box[2] - box[0], box[3] - box[1])
    return float(np.clip(scale, 1.0, min(3.5, reach)))


def random_crop(
    rng: np.random.Generator, canvas: NDArray[np.uint8], box: Box, size: int, *, scale: float
) -> NDArray[np.uint8]:
    """Crop a canvas at a scale, a random place and pose: ``(size, size, C)``."""
    height, width = canvas.shape[:2]
    x, y, side = crop_square(box, scale, height, width)
    slack = int(0.06 * side)
    x = int(np.clip(x + rng.integers(-slack, slack + 1), 0, width - side))
    y = int(np.clip(y + rng.integers(-slack, slack + 1), 0, height - side))
    shrink = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    crop = cv2.resize(canvas[y : y + side, x : x + side], (size, size), interpolation=shrink)
    if rng.random() < 0.6:
        matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.normal(0, 7), rng.uniform(0.95, 1.1))
        matrix = matrix + np.pad(rng.normal(0, 0.04, (2, 2)), ((0, 0), (0, 1)))
        crop = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(crop[:, ::-1] if rng.random() < 0.5 else crop, dtype=np.uint8)


def damage(rng: np.random.Generator, image: Rgb, *, most: int) -> Rgb:
    """Apply up to ``most`` operations drawn at random, in random order; few are likelier than many."""
    count = min(int(rng.integers(0, most + 1)), int(rng.integers(0, most + 2)))
    for index in rng.integers(len(OPERATIONS), size=count):
        image = OPERATIONS[int(index)](rng, image)
    return image
