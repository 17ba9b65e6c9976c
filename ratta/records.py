"""The records that the modules exchange, frozen and slotted, and the two enumerations of an answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Pixels = tuple[npt.NDArray[np.uint8], ...]
    """The crops of one frame, (S, S, 3) uint8 RGB each, one per crop rule of the contract."""


_LATEST_S = 1e15


class Verdict(StrEnum):
    """The four answers an engine can give."""

    LIVE = "live"
    SPOOF = "spoof"
    UNCERTAIN = "uncertain"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why a verdict was given: the first group explains a score, the second a refusal."""

    STABLE = "stable"
    SINGLE_FRAME = "single frame"
    GATHERING = "gathering evidence"
    BETWEEN_THRESHOLDS = "between thresholds"
    CONTRADICTORY = "contradictory scores"
    TOO_MANY_REFUSED = "too many refused frames"
    TIMED_OUT = "session timed out"
    ATTEMPTS_EXHAUSTED = "too many attempts"

    NO_FRAMES = "no frames"
    UNUSABLE_INPUT = "unusable input"
    NO_FACE = "no face"
    SEVERAL_FACES = "several faces"
    FACE_TOO_SMALL = "face too small"
    FACE_CUT = "face cut by the frame edge"
    FACE_TURNED = "face turned"
    TOO_BLURRED = "too blurred"
    TOO_DARK = "too dark"
    TOO_BRIGHT = "too bright"
    SATURATED = "saturated"
    GREYSCALE = "greyscale"
    COLOR_ORDER = "colour order"
    FROZEN = "frozen frame"


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned face box in pixels, `(x_min, y_min, x_max, y_max)`, half open; it holds floats.

    Raises
    ------
    InputError
        If a coordinate is not finite or the box has no area.

    Examples
    --------
    >>> Box(10, 20, 50, 80).width
    40.0
    >>> x_min, y_min, x_max, y_max = Box(10, 20, 50, 80)
    >>> x_max, y_max
    (50.0, 80.0)
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def __post_init__(self) -> None:
        given = (self.x_min, self.y_min, self.x_max, self.y_max)
        corners = tuple(as_float(corner) for corner in given)
        if not all(abs(corner) < 1e9 for corner in corners):
            raise InputError(f"box: expected finite (x_min, y_min, x_max, y_max), got {given!r:.200}")
        for name, corner in zip(("x_min", "y_min", "x_max", "y_max"), corners, strict=True):
            object.__setattr__(self, name, corner)
        if self.x_max - self.x_min < 1e-3 or self.y_max - self.y_min < 1e-3:
            raise InputError(
                f"box: expected x_min < x_max and y_min < y_max, got {corners}; "
                "boxes are corners (x_min, y_min, x_max, y_max), not (x, y, width, height)"
            )

    def __iter__(self) -> Iterator[float]:
        """Unpack into `x_min, y_min, x_max, y_max`."""
        return iter((self.x_min, self.y_min, self.x_max, self.y_max))

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y_max - self.y_min

    @property
    def center(self) -> tuple[float, float]:
        """Center `(x, y)` in pixels."""
        return (self.x_min + self.x_max) / 2, (self.y_min + self.y_max) / 2

    def iou(self, other: Box) -> float:
        """Intersection over union with `other`, in [0, 1].

        Examples
        --------
        >>> Box(0, 0, 2, 2).iou(Box(1, 0, 3, 2))
        0.3333333333333333
        """
        overlap_x = min(self.x_max, other.x_max) - max(self.x_min, other.x_min)
        overlap_y = min(self.y_max, other.y_max) - max(self.y_min, other.y_min)
        if overlap_x <= 0 or overlap_y <= 0:
            return 0.0
        overlap = overlap_x * overlap_y
        return overlap / (self.width * self.height + other.width * other.height - overlap)


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face.

    Attributes
    ----------
    box : Box
        In pixels of the frame it was found in.
    score : float
        The detector's own confidence in [0, 1]; says nothing about liveness.
    keypoints : tuple of (x, y)
        Right eye, left eye, nose tip, mouth, right ear, left ear (BlazeFace order), in pixels; empty
        when the box came from the caller.
    """

    box: Box
    score: float
    keypoints: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a frame was not scored.

    Attributes
    ----------
    reason : Reason
    detail : str
        One sentence for a log: what was found, and what to do.
    counts : bool
        Whether time spent so may be held against the attempt: a copy, and a frame that never came, say nothing of
        anybody.
    """

    reason: Reason
    detail: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What perception passes to inference.

    Attributes
    ----------
    pixels : tuple of (S, S, 3) uint8
        RGB, one for each crop rule of the bundle's contract, in its order.
    face : Face
        The face it was cut around.
    """

    pixels: tuple[npt.NDArray[np.uint8], ...]
    face: Face

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the network says of one face, seen in one or several crops.

    Attributes
    ----------
    logits : (K, C) float32
        What the graph gives for each of K crops and C classes, before calibration.
    embedding : (D,) float32
        The features of the crops, one after the other; of no length where the contract names none.
    cut : (K, c, h, w) float32
        The feature map from which the tail can be trained; of no length where the contract names none.
    live_logit : float
        Calibrated log-odds of live, the mean over the crops.
    """

    logits: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]
    cut: npt.NDArray[np.float32]
    live_logit: float

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def live_score(self) -> float:
        """Calibrated probability of live in [0, 1]; higher = live."""
        return sigmoid(self.live_logit)


@dataclass(frozen=True, slots=True)
class Score:
    """The answer of `Engine.score`: one frame, no memory.

    `live_score` is in [0, 1], higher = live, and `nan` when the frame was refused; `reason` is then the
    refusal's reason and otherwise `None`.
    """

    live_score: float
    box: Box | None
    reason: Reason | None
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether the frame was refused rather than scored."""
        return self.reason is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of a session after one more frame.

    Attributes
    ----------
    verdict : Verdict
        Over the session so far, or REFUSED when this frame could not be scored.
    live_score : float
        Of this frame, in [0, 1], higher = live; `nan` when it was refused.
    session_score : float
        Of the session so far, in [0, 1]; `nan` before the first scored frame.
    reason : Reason
        Why this verdict.
    detail : str
        One sentence for a log, where there is more to say.
    t : float
        The frame's time in seconds, as given.
    box : Box or None
        The face, in pixels of the frame.
    scored_frames : int
        Frames of this session that were scored.
    final : bool
        Whether the session's verdict will no longer change.
    adapted : bool
        Whether this frame was answered by anything else than the source model.
    band : str
        What drift says of the camera, where the engine adapts: `in`, `adapt`, or `refuse`: too far to trust, the source
        model decides. Empty where it does not adapt.
    """

    verdict: Verdict
    live_score: float
    session_score: float
    reason: Reason
    detail: str
    t: float
    box: Box | None
    scored_frames: int
    final: bool
    adapted: bool = False
    band: str = ""

    def __repr__(self) -> str:
        end = ", final" if self.final else ""
        scores = f"live_score={self.live_score:.4f}, session_score={self.session_score:.4f}"
        return f"<Decision {self.verdict} ({self.reason}) at t={self.t:g}: {scores}{end}>"

    @property
    def is_real(self) -> bool:
        """Whether the verdict is LIVE; an alias under the name other libraries use."""
        return self.verdict is Verdict.LIVE


def short_repr(record: object) -> str:
    """Show a record in one line, arrays by shape and type and bytes by length: no pixels and no features in a log.

    Examples
    --------
    >>> from dataclasses import make_dataclass
    >>> Pair = make_dataclass("Pair", ["name", "data"])
    >>> short_repr(Pair("mask", b"abc"))
    "Pair(name='mask', data=<3 bytes>)"
    """
    shown = (f"{name}={_shown(getattr(record, name))}" for name in getattr(record, "__dataclass_fields__", ()))
    return f"{type(record).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype") and value.shape:
        return f"<{value.shape} {value.dtype}>"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return f"<{len(value)} entries>"
    if type(value) in (tuple, list):
        few = ", ".join(map(_shown, value[:3])) + (", ..." if len(value) > 3 else "")  # type: ignore[index,arg-type]
        return f"({few})"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}..."


def sigmoid(x: float) -> float:
    """Logistic function, without overflow.

    Examples
    --------
    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)
    return e / (1 + e)


def logit(p: float) -> float:
    """Log-odds of a probability in (0, 1).

    Examples
    --------
    >>> logit(0.5)
    0.0
    """
    return math.log(p) - math.log1p(-p)


def as_float(value: object) -> float:
    """Turn a number into a float, and anything else, a truth value, a duration or a masked value too, into `nan`.

    Examples
    --------
    >>> as_float(2), as_float("2"), as_float(True)
    (2.0, nan, nan)
    """
    if isinstance(value, bool | complex) or not isinstance(value, SupportsFloat):
        return math.nan
    if isinstance(value, np.ndarray | np.generic):
        plain = value.ndim == 0 and value.dtype.kind in "iuf" and not isinstance(value, np.ma.MaskedArray)
        return float(value) if plain else math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def as_time(t: object, earliest: float = -math.inf) -> float:
    """Turn a time in seconds into a float of its own; whatever it was made of may change afterwards.

    Raises
    ------
    InputError
        If it is no finite number of seconds at or after `earliest`.

    Examples
    --------
    >>> as_time(3), as_time(1.5, earliest=1.5)
    (3.0, 1.5)
    """
    seconds = as_float(t)
    if not abs(seconds) < _LATEST_S:
        raise InputError(
            f"t: expected a finite number of seconds, got {t!r:.80}; pass the frame's time on a monotonic clock"
        )
    if seconds < earliest:
        raise InputError(
            f"t: expected at least {earliest}, the time of the frame or attempt before, got {t}; time never goes back"
        )
    return seconds
