"""One simulated attempt: what is drawn once per session, and how each frame is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ratta.errors import InputError
from ratta.simulate import camera as cam
from ratta.simulate import media
from ratta.simulate.backgrounds import background
from ratta.simulate.hands import hand_layer
from ratta.simulate.light import Float, kelvin_gains, to_linear, to_srgb
from ratta.simulate.portraits import Box, Cutout, Rgb
from ratta.simulate.profiles import (
    CAMERAS,
    DISPLAYS,
    ILLUMINANTS,
    PRINTERS,
    CameraProfile,
    DisplayProfile,
    IlluminantProfile,
    PrinterProfile,
    named,
)
from ratta.simulate.scene import Placement, box_after, compose, illuminate, relight, skin_texture

SPECIES = ("live", "print", "replay")
MEDIUM_SIDE = 448
LAMP_TRUST = 0.8
"""How much of the lamp's colour the camera's white balance takes away; a screen's own white is not the lamp's."""
GREY_WORLD_TRUST = 0.2
OWN_BACKGROUND_SHARE = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One simulated frame and everything that is true of it."""

    rgb: Rgb
    box: Box
    species: str
    camera: str
    medium: str
    t_s: float

    @property
    def rgba(self) -> Rgb:
        """The frame under the name that croppers of cut-outs look for."""
        return self.rgb


WALL = (196, 190, 180)
"""Colour of the plain background, RGB."""


class Session:
    """A person, or a picture of one, in front of a camera; draws everything static once, then renders frames.

    Parameters
    ----------
    cutout : Cutout
        The person.
    species : {"live", "print", "replay"}
        Bona fide, or the presentation attack instrument.
    camera : str
        A name of :data:`ratta.simulate.profiles.CAMERAS`.
    rng : Generator
        Source of all randomness.
    height, width : int
        Size of the delivered frames.
    face_px : float
        Side of the face in delivered pixels.
    medium : str, optional
        A display or printer name; drawn when absent.
    edges : bool, optional
        Whether the medium's edges are in view; drawn when absent.
    illuminant : str, optional
        An illuminant name; drawn when absent.
    own_background : bool, optional
        Whether a live person keeps the picture's background or gets a made-up one; drawn when absent.
    plain : bool
        A plain wall behind the medium and no hands in view, as in a demonstration.
    """

    def __init__(
        self,
        *,
        cutout: Cutout,
        species: str,
        camera: str,
        rng: np.random.Generator,
        height: int,
        width: int,
        face_px: float,
        medium: str | None = None,
        edges: bool | None = None,
        illuminant: str | None = None,
        own_background: bool | None = None,
        plain: bool = False,
    ) -> None:
        if species not in SPECIES:
            raise InputError(f"species: expected one of {', '.join(SPECIES)}, got {species!r}; choose a listed one")
        self.rng = rng
        self.species = species
        self.camera_profile: CameraProfile = named(CAMERAS, camera, where="camera")
        self.camera = cam.draw_camera(self.camera_profile, rng)
        self.height, self.width = height, width
        scale = self.camera.megascale
        self.sensor = (int(height * scale) // 2 * 2, int(width * scale) // 2 * 2)
        self.face_px = face_px * self.sensor[0] / height
        self._draw_scene(cutout, illuminant, own_background, plain)
        self.medium = medium or self._draw_medium()
        self.edges = bool(rng.random() < 0.5) if edges is None else edges
        self.exposure_gain = rng.uniform(0.5, 0.9)
        self.hand_seed = int(rng.integers(2**31)) if rng.random() < 0.6 else 0
        self.hand_light = rng.uniform(0.3, 1.2)
        if plain:  # after everything was drawn, so that the rest stays as it was
            self.hand_seed = 0
        if species != "live":
            self._prepare_medium()

    def _draw_scene(self, cutout: Cutout, illuminant: str | None, own_background: bool | None, plain: bool) -> None:
        rng = self.rng
        lamp = illuminant or str(rng.choice(list(ILLUMINANTS)))
        self.illuminant: IlluminantProfile = named(ILLUMINANTS, lamp, where="illuminant")
        self.kelvin = rng.uniform(*self.illuminant.kelvin)
        self.tint = rng.normal(0, self.illuminant.tint)
        self.placement = draw_placement(rng, self.sensor, self.face_px)
        self.cutout = Cutout(rgba=self._dressed(cutout), box=cutout.box)
        drawn = bool(rng.random() < OWN_BACKGROUND_SHARE)
        self.own_background = drawn if own_background is None else own_background
        focus = None if self.species == "live" else rng.uniform(1.0, 5.0)
        wide = cv2.resize(background(rng, 320, focus_blur=focus), (max(self.sensor), max(self.sensor)))
        self.behind: Rgb = np.array(wide, dtype=np.uint8)[: self.sensor[0], : self.sensor[1]]
        if plain:
            self.behind[:] = WALL
        self.shading = relight(rng, *self.sensor, directed=rng.uniform(*self.illuminant.directed))

    def _dressed(self, cutout: Cutout) -> Rgb:
        colours = skin_texture(np.asarray(cutout.rgba[..., :3]), strength=self.rng.uniform(-0.5, 0.8))
        return np.dstack((colours, cutout.rgba[..., 3]))

    def _draw_medium(self) -> str:
        names = {"live": ["none"], "print": list(PRINTERS), "replay": list(DISPLAYS)}[self.species]
        return str(self.rng.choice(names))

    def _prepare_medium(self) -> None:
        """Take the first-generation picture, put it on the medium, and find where the medium is held."""
        rng = self.rng
        side = MEDIUM_SIDE
        face = side / (rng.uniform(1.3, 2.3) if self.edges else rng.uniform(2.4, 3.6))
        place = Placement(centre=(side / 2, side * 0.46), face_px=face, mirrored=bool(rng.random() < 0.5))
        backdrop = np.asarray(cv2.resize(background(rng, 192), (side, side)), dtype=np.uint8)
        scene, box = compose(self.cutout, backdrop, place, own_background=bool(rng.random() < 0.6))
        scene = scene * relight(rng, side, side, directed=rng.uniform(0, 0.3))[..., None]
        quality = int(rng.uniform(60, 98))
        taken = media.first_generation(to_srgb(scene.astype(np.float32)), quality)
        self.medium_face = box
        self._put_on_medium(to_linear(taken))
        self.homography = self._hold(box)

    def _put_on_medium(self, picture: Float) -> None:
        rng = self.rng
        self.curl = np.ones(picture.shape[:2], np.float32)
        if self.species == "print":
            printer: PrinterProfile = named(PRINTERS, self.medium, where="medium")
            self.surface = media.print_on(picture, printer, rng)
            amount = rng.uniform(*printer.bend)
            self.surface, self.curl = media.bend(self.surface, amount, rng)
            self.cells_per_sensor_px = float(np.exp(rng.uniform(*np.log(printer.cells_per_sensor_px))))
            self.gloss = rng.uniform(*printer.sheen)
            self.rim, self.rim_share = np.asarray(printer.paper, np.float32), rng.choice((0.0, rng.uniform(0.02, 0.1)))
        else:
            display: DisplayProfile = named(DISPLAYS, self.medium, where="medium")
            self.surface = media.emit(picture, display, rng)
            self.cells_per_sensor_px = float(np.exp(rng.uniform(*np.log(display.pixels_per_sensor_px))))
            self.gloss = rng.uniform(*display.glare)
            shade = rng.choice((0.01, 0.02, rng.uniform(0.3, 0.8)))
            self.rim, self.rim_share = np.full(3, shade, np.float32), display.bezel * rng.uniform(0.5, 1.5)

    def _hold(self, box: Box) -> NDArray[np.float64]:
        """Projective map from the medium to the sensor: its face lands where a live face would."""
        rng = self.rng
        flat = np.vstack((self.placement.matrix(box), (0, 0, 1)))
        tilt = np.eye(3)
        tilt[2, :2] = rng.normal(0, 0.1, 2) / max(self.sensor)
        centre = np.array([[1, 0, -self.placement.centre[0]], [0, 1, -self.placement.centre[1]], [0, 0, 1.0]])
        return np.asarray(np.linalg.inv(centre) @ tilt @ centre @ flat)

    def frame(self, t_s: float, *, motion: NDArray[np.float64] | None = None) -> Capture:
        """Render the frame at a time, with the camera displaced by a ``(3, 3)`` motion in sensor pixels."""
        move = np.eye(3) if motion is None else motion
        light, box = self._live(move) if self.species == "live" else self._attack(move)
        state = self.camera
        if self.species == "live":
            light = cam.optics(light, state)
        raw = cam.expose(light, state, self.rng, gain=self._gain(light, box))
        gains = self._balance_gains(raw)
        x, y, side = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, max(box[2] - box[0], box[3] - box[1])
        encoded = cam.develop(raw, state, gains=gains, face=(x, y, side))
        rgb = cam.deliver(encoded, state, height=self.height, width=self.width)
        back = self.height / self.sensor[0]
        scaled = (box[0] * back, box[1] * back, box[2] * back, box[3] * back)
        return Capture(
            rgb=rgb, box=scaled, species=self.species, camera=self.camera_profile.name, medium=self.medium, t_s=t_s
        )

    def _gain(self, light: Float, box: Box) -> float:
        window = cam.face_window(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0]), *self.sensor)
        bright = float(np.percentile(light[window][::4, ::4, 1], 97))
        return self.exposure_gain / max(bright, 1e-3)

    def _balance_gains(self, raw: NDArray[np.uint16]) -> Float:
        small = cam.demosaic(raw[: raw.shape[0] // 16 * 16, : raw.shape[1] // 16 * 16])[::8, ::8]
        lamp = kelvin_gains(self.kelvin) ** np.float32(LAMP_TRUST)
        return lamp * cam.grey_world(small / lamp, trust=GREY_WORLD_TRUST)

    def _live(self, move: NDArray[np.float64]) -> tuple[Float, Box]:
        placement = moved(self.placement, move)
        light, box = compose(self.cutout, self.behind, placement, own_background=self.own_background)
        return illuminate(light * self.shading[..., None], kelvin=self.kelvin, tint=self.tint), box

    def _attack(self, move: NDArray[np.float64]) -> tuple[Float, Box]:
        height, width = self.sensor
        to_sensor = move @ self.homography
        surface = self._warp(self.surface, to_sensor)
        box = box_after(self.medium_face, to_sensor)
        cells_per_unit = self.cells_per_sensor_px * self.face_px / self._medium_face_px()
        grid = media.grid_at_sensor(
            np.asarray(np.linalg.inv(to_sensor), dtype=np.float64), height, width, cells_per_unit=cells_per_unit
        )
        sigma = self.camera.lens_sigma_px
        if self.species == "replay":
            light = self._screen_light(surface, grid, sigma)
        else:
            light = self._paper_light(surface, grid, sigma, to_sensor)
        if self.edges:
            light = self._with_edges(light, to_sensor)
        return light, box

    def _medium_face_px(self) -> float:
        box = self.medium_face
        return max(box[2] - box[0], box[3] - box[1])

    def _warp(self, image: Float, to_sensor: NDArray[np.float64]) -> Float:
        height, width = self.sensor
        shrink = self.face_px / self._medium_face_px()
        sigma = float(np.hypot(self.camera.lens_sigma_px / shrink, 0.35 * max(1 / shrink - 1, 0)))
        soft = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.2))
        warped = cv2.warpPerspective(
            soft, to_sensor, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(warped, dtype=np.float32)

    def _screen_light(self, surface: Float, grid: media.Grid, sigma: float) -> Float:
        display = DISPLAYS[self.medium]
        light = surface * media.pixel_grid(grid, display, sigma)
        light *= media.refresh_bands(self.sensor[0], self.rng, depth=self.rng.uniform(*display.banding))
        return self._gleam(light)

    def _paper_light(self, surface: Float, grid: media.Grid, sigma: float, to_sensor: NDArray[np.float64]) -> Float:
        printer = PRINTERS[self.medium]
        reflectance = media.halftone(surface, grid, sigma, depth=printer.dot_depth)
        light = reflectance * (self.shading * self._warp(self.curl, to_sensor))[..., None]
        return illuminate(self._gleam(light), kelvin=self.kelvin, tint=self.tint)

    def _gleam(self, light: Float) -> Float:
        """Add what the surface mirrors; where it shines is fixed by the session's seed, not by the frame."""
        if self.gloss < 0.01:
            return light
        spot = media.reflection(*self.sensor, np.random.default_rng(int(self.kelvin * 1000)))
        veil = 0.15 * self.gloss + self.gloss * spot
        return light + np.float32(light[::8, ::8].mean()) * veil[..., None] * kelvin_gains(self.kelvin)

    def _with_edges(self, light: Float, to_sensor: NDArray[np.float64]) -> Float:
        """Cut the medium out of the frame: rim, then whatever is behind it."""
        side = MEDIUM_SIDE
        corners = np.array([[0, 0, 1], [side, 0, 1], [side, side, 1], [0, side, 1]], np.float64).T
        at = to_sensor @ corners
        inner = (at[:2] / at[2]).T
        outer = inner.mean(0) + (inner - inner.mean(0)) * (1 + 2 * float(self.rim_share))
        behind = to_linear(self.behind) * self.shading[..., None]
        behind = illuminate(behind, kelvin=self.kelvin, tint=self.tint) * np.float32(0.8)
        rim = self.rim * np.float32(max(float(light[::8, ::8].mean()), 0.05) * 1.6)
        out = _paint(behind, outer, np.broadcast_to(rim, light.shape), self.camera.lens_sigma_px)
        out = _paint(out, inner, light, self.camera.lens_sigma_px)
        return self._with_hands(out, inner) if self.hand_seed else out

    def _with_hands(self, light: Float, corners: NDArray[np.float64]) -> Float:
        """Let the session's hands hold the medium; the same hands in every frame."""
        layer, weight = hand_layer(*self.sensor, corners, np.random.default_rng(self.hand_seed))
        skin = to_linear(layer) * (self.shading * np.float32(self.hand_light))[..., None]
        return light + weight * (illuminate(skin, kelvin=self.kelvin, tint=self.tint) - light)


def _paint(under: Float, corners: NDArray[np.float64], over: Float, sigma: float) -> Float:
    mask = np.zeros(under.shape[:2], np.float32)
    cv2.fillConvexPoly(mask, np.round(corners * 16).astype(np.int32), 1.0, cv2.LINE_AA, 4)
    weight = cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3))[..., None]
    return np.asarray(under + weight * (over - under), dtype=np.float32)


def draw_placement(rng: np.random.Generator, sensor: tuple[int, int], face_px: float) -> Placement:
    """Give a natural pose in front of a phone: near the middle, slightly turned."""
    height, width = sensor
    centre = (width * (0.5 + rng.normal(0, 0.03)), height * (0.5 + rng.normal(0, 0.03)))
    return Placement(
        centre=centre,
        face_px=face_px,
        roll_deg=rng.normal(0, 4),
        stretch=float(np.exp(rng.normal(0, 0.05))),
        yaw=rng.normal(0, 0.04),
        mirrored=bool(rng.random() < 0.5),
    )


def moved(placement: Placement, move: NDArray[np.float64]) -> Placement:
    """Give a placement after a small similarity motion of the camera."""
    x, y, _ = (move @ (*placement.centre, 1.0)).tolist()
    zoom = float(np.sqrt(abs(np.linalg.det(move[:2, :2]))))
    turn = float(np.rad2deg(np.arctan2(move[1, 0], move[0, 0])))
    return Placement(
        centre=(x, y),
        face_px=placement.face_px * zoom,
        roll_deg=placement.roll_deg + turn,
        stretch=placement.stretch,
        yaw=placement.yaw,
        mirrored=placement.mirrored,
    )


def handheld(rng: np.random.Generator, frames: int, *, amplitude_px: float) -> Iterator[NDArray[np.float64]]:
    """Give a hand's tremor as a smooth random walk of shift, roll and zoom: ``(3, 3)`` motions."""
    state = np.zeros(4)
    for _ in range(frames):
        state = 0.9 * state + rng.normal(0, 0.35, 4)
        dx, dy, roll, zoom = state * (amplitude_px, amplitude_px, 0.004, 0.003)
        cosine, sine = (1 + zoom) * np.cos(roll), (1 + zoom) * np.sin(roll)
        yield np.array([[cosine, -sine, dx], [sine, cosine, dy], [0, 0, 1.0]])
