"""Undo a change of tone: brightness, contrast, colour cast, as a curve of each colour channel before the network.

Another light, exposure or tone curve maps grey levels to other grey levels. A curve of seven numbers,

    T(x) = gain x ** gamma + lift        (gamma for all channels, gain and lift for each; x in [0, 1])

maps them back, and quantiles of a picture's levels commute with it: `T(quantile(x)) = quantile(T(x))`. So the curve is
fitted to quantiles, and whether a frame is nearer to the source's tones under it is known without looking at pixels
again. Nothing of the network changes: a correction is an affine normalisation of the input after a power, in one table.

An attacker gains nothing by it that he has not already: a curve only ever gives a picture the tones of the source, and
he can choose the tones of what he shows by himself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]

LEVELS = (0.05, 0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85, 0.95)
"""Quantiles of the grey levels that stand for a picture's tones."""
STRIDE = 4
GAMMAS = np.exp(np.linspace(-1.0, 1.0, 41))


def tone_of(crop: Pixels) -> Doubles:
    """Quantiles of each channel's levels, `(9, 3)` in [0, 1], on every fourth pixel of every fourth row.

    Examples
    --------
    >>> tone_of(np.full((128, 128, 3), 51, np.uint8))[0].tolist()
    [0.2, 0.2, 0.2]
    """
    levels = np.sort(crop[::STRIDE, ::STRIDE].reshape(-1, 3), axis=0)
    places = [round(level * (len(levels) - 1)) for level in LEVELS]
    return levels[places] / 255.0


@dataclass(frozen=True, eq=False)
class ToneCorrection:
    """A curve that gives the source its tones back, and how much surer an answer under it has to be.

    Attributes
    ----------
    gamma : float
    gain, lift : (3,) float64
        Of red, green and blue.
    penalty : float
        Taken from the log-odds of live under the correction, at least 0.

    Raises
    ------
    InputError
        If a number is not finite, or the curve falls.

    Examples
    --------
    >>> brighter = ToneCorrection(0.5, np.ones(3), np.zeros(3), 0.0)
    >>> brighter.apply(np.full((1, 1, 3), 64, np.uint8)).tolist()
    [[[128, 128, 128]]]
    """

    gamma: float
    gain: Doubles
    lift: Doubles
    penalty: float

    def __post_init__(self) -> None:
        if self.gain.shape != (3,) or self.lift.shape != (3,) or not np.isfinite(self.to_array()).all():
            raise InputError(f"tone: expected finite gain and lift of (3,), got {self.gain} and {self.lift}")
        if self.gamma <= 0 or (self.gain <= 0).any() or self.penalty < 0:
            raise InputError(f"tone: expected gamma and gain > 0, penalty >= 0, got {self.to_array().tolist()}")

    @cached_property
    def table(self) -> Pixels:
        """The curve at every grey level, (256, 3) uint8."""
        curve = self.curve(np.repeat(np.arange(256)[:, None] / 255, 3, axis=1))
        return np.asarray(np.clip(255 * curve + 0.5, 0, 255), np.uint8)

    def curve(self, tone: Doubles) -> Doubles:
        """Map levels (..., 3) in [0, 1]; what leaves the range is clipped."""
        mapped: Doubles = np.clip(self.gain * tone**self.gamma + self.lift, 0, 1)
        return mapped

    def log_slope(self, tone: Doubles) -> float:
        """Sum of the logarithms of the curve's slope at some levels: how much it spreads what it maps."""
        slope = self.gain * self.gamma * np.maximum(tone, 1 / 255) ** (self.gamma - 1)
        return float(np.log(slope).sum())

    def apply(self, crop: Pixels) -> Pixels:
        """Map the levels of one (S, S, 3) uint8 crop."""
        planes = [
            np.frombuffer(crop[..., channel].tobytes().translate(self.table[:, channel].tobytes()), np.uint8)
            for channel in range(3)
        ]
        return np.stack(planes, axis=1).reshape(crop.shape)

    def to_array(self) -> Doubles:
        """As eight numbers: gamma, gains, lifts, penalty."""
        return np.concatenate(([self.gamma], self.gain, self.lift, [self.penalty]))

    @classmethod
    def from_array(cls, numbers: npt.NDArray[Any]) -> ToneCorrection:
        """Take back what `to_array` gave.

        Raises
        ------
        InputError
            If it is no correction.
        """
        if numbers.shape != (8,):
            raise InputError(f"tone: expected eight numbers, got {numbers.shape}")
        values = numbers.astype(np.float64)
        return cls(float(values[0]), values[1:4], values[4:7], float(values[7]))


def fit_tone(seen: Doubles, source: Doubles) -> tuple[ToneCorrection, float]:
    """Fit the curve that maps the tones that were seen to the source's.

    Least squares in gain and lift for each gamma of a grid.

    Parameters
    ----------
    seen, source : (Q, 3)
        As `tone_of` gives them.

    Returns
    -------
    ToneCorrection, float
        Without a penalty; and what is left, root mean square in shares of full scale.

    Raises
    ------
    InputError
        If no rising curve fits.
    """
    best: tuple[float, float, Doubles, Doubles] | None = None
    target = source.mean(axis=0)
    for gamma in GAMMAS:
        x = seen**gamma
        center = x.mean(axis=0)
        spread = ((x - center) ** 2).sum(axis=0)
        gain = ((x - center) * (source - target)).sum(axis=0) / np.maximum(spread, 1e-12)
        lift = target - gain * center
        left = float(((gain * x + lift - source) ** 2).mean())
        if (gain > 0).all() and (best is None or left < best[0]):
            best = (left, float(gamma), gain, lift)
    if best is None:
        raise InputError("tone: expected tones that rise together with the source's, got others")
    return ToneCorrection(best[1], best[2], best[3], 0.0), math.sqrt(best[0])
