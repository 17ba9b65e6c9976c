"""What the source knows of tones: its own, and what each change of tone costs it; and what follows for a new camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.guard import Finding, Landmarks, at_least
from ratta.adaptation.update.tone import LEVELS, ToneCorrection, fit_tone
from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]
    Seen = tuple[Doubles, bool]

PREFIX = "tone."
LIVE_LOSS = 0.06
"""Share of live faces that may be given up where a change lets more attacks than that pass."""
JUST_ABOVE = 1e-9
NAMES = ("sides", "precision", "shifted", "shift_passing", "corrected", "logits", "species")


@dataclass(frozen=True, eq=False, kw_only=True)
class ToneReference:
    """The source's tones, and a table of what known changes of tone do to its error rates.

    The table answers two questions before anything is tried: how strict the source is under such a change, so that a
    correction is never laxer; and whether there is anything to gain at that strictness.

    Attributes
    ----------
    sides : (2, 9, 3) float64
        Median tones of development sessions that the source calls an attack, and live.
    precision : (27, 27) float64
        Shrunk inverse covariance of development frames' tones.
    shifted : (K, 9, 3) float64
        The sides' mean tones under each known change.
    shift_passing : (K, 1 + S) float64
        Share of development frames that pass as live under each change: live first, then each species.
    corrected : (K, 1 + S, N) float64
        Sorted log-odds under each change *with its correction*, in the same order, at N even quantiles: what was cut
        off at black or white does not come back.
    logits : (1 + S, N) float64
        Sorted log-odds of development frames without a change, in the same order, at N even quantiles.
    species : (S,) str

    Raises
    ------
    InputError
        If shapes do not fit or a value is not finite.
    """

    sides: Doubles
    precision: Doubles
    shifted: Doubles
    shift_passing: Doubles
    corrected: Doubles
    logits: Doubles
    species: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        shape, kinds = (len(LEVELS), 3), 1 + len(self.species)
        width, known = shape[0] * shape[1], len(self.shifted)
        expected = {
            "sides": (2, *shape),
            "precision": (width, width),
            "shifted": (known, *shape),
            "shift_passing": (known, kinds),
            "corrected": (known, kinds, self.logits.shape[-1]),
            "logits": (kinds, self.logits.shape[-1]),
        }
        for name, wanted in expected.items():
            value = getattr(self, name)
            if value.shape != wanted or not np.isfinite(value).all():
                raise InputError(f"tones: expected finite {name} of shape {wanted}, got {value.shape}; calibrate again")
        if kinds < 2 or not known or not (np.diff(self.logits) >= 0).all():
            raise InputError("tones: expected attack species, known changes and sorted log-odds; calibrate again")
        self.distance(self.middle)  # refuses a precision that is not positive definite

    @property
    def middle(self) -> Doubles:
        """The source's tones, both sides alike, (9, 3)."""
        middle: Doubles = self.sides.mean(axis=0)
        return middle

    @cached_property
    def _landmarks(self) -> Landmarks:
        flat = self.middle.reshape(-1)
        return Landmarks(np.stack([flat, flat]), self.precision)

    def distance(self, tone: Doubles) -> float:
        """Mahalanobis distance of one frame's tones to the source's."""
        return self._landmarks.distance(tone.reshape(-1))

    def likelier(self, tone: Doubles, correction: ToneCorrection) -> float:
        """By how much likelier a frame's tones are if the camera is the changed one than if it is the source's.

        `2 log p(T(x)) T'(x) / p(x)` with the source's tones taken as Gaussian. The slope belongs to it: a camera that
        flattens contrast brings all tones together, and near to the source's mean.
        """
        before, after = self.distance(tone), self.distance(correction.curve(tone))
        return before**2 - after**2 + 2 * correction.log_slope(tone)

    def nearest(self, tone: Doubles) -> tuple[int, float]:
        """Find the known change whose tones are nearest, and how far off it is: root mean square of full scale."""
        off = self._off(tone)
        return int(off.argmin()), float(off.min())

    def _off(self, tone: Doubles) -> Doubles:
        off: Doubles = np.sqrt(((self.shifted - tone) ** 2).mean(axis=(1, 2)))
        return off

    def passing(self, threshold_logit: float) -> Doubles:
        """Share of development frames at or above a threshold, live first, then each species: (1 + S,)."""
        share: Doubles = (self.logits >= threshold_logit).mean(axis=1)
        return share

    def correction(self, change: int, threshold_logit: float) -> ToneCorrection:
        """Give the curve that undoes a known change, with its penalty; see `penalty`.

        The curve is the known change's, not one fitted to what was seen: other people's faces and rooms would be in it,
        and nothing would be known of what it does.
        """
        curve, _ = fit_tone(self.shifted[change], self.middle)
        penalty, _ = self.penalty(change, threshold_logit)
        return ToneCorrection(curve.gamma, curve.gain, curve.lift, penalty)

    def penalty(self, change: int, threshold_logit: float) -> tuple[float, Doubles]:
        """Say how much surer an answer must be so that no species passes more often than now.

        Parameters
        ----------
        change : int
            Which known change the camera shows.
        threshold_logit : float

        Returns
        -------
        penalty : float
            In log-odds, at least 0.
        then : (1 + S,) float64
            Share of development frames that pass when the change is undone at this penalty: live first.
        """
        now, corrected = self.shift_passing[change], self.corrected[change]
        surer = np.sort(corrected[corrected >= threshold_logit]) + JUST_ABOVE
        thresholds = np.concatenate(([threshold_logit], surer))
        then = np.stack([1 - np.searchsorted(row, thresholds) / len(row) for row in corrected])
        place = int((then[1:] <= now[1:, None]).all(axis=0).argmax())  # the last threshold passes nobody: there is one
        return float(thresholds[place] - threshold_logit), then[:, place]

    def expected_gain(self, tone: Doubles, threshold_logit: float, *, within: float) -> float:
        """Say by how much ACER (worst species) should fall, in shares of 1, if what was seen is undone.

        Means over all known changes that are so near: the figures of one alone owe much to chance. None where live
        faces would pass less often than now, and than before the source's own camera, by more than `LIVE_LOSS`.
        """
        near = np.flatnonzero(self._off(tone) <= within)
        if not len(near):
            return 0.0
        now = self.shift_passing[near].mean(axis=0)
        then = np.mean([self.penalty(int(change), threshold_logit)[1] for change in near], axis=0)
        least_live = min(now[0], self.passing(threshold_logit)[0]) - LIVE_LOSS
        return _acer(now) - _acer(then) if then[0] >= least_live else 0.0

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As plain arrays, for a bundle's `statistics.npz`."""
        return {PREFIX + name: getattr(self, name) for name in NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ToneReference:
        """Take back what `to_arrays` gave; `InputError` if it does not fit, `KeyError` if something is missing."""
        return cls(**{name: arrays[PREFIX + name] for name in NAMES})


def _acer(passing: Doubles) -> float:
    return float((1 - passing[0] + passing[1:].max()) / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A correction that is worth a trial, or why there is none."""

    correction: ToneCorrection | None
    finding: Finding


class ToneMatching:
    """Follows the tones of sessions by the side of the source's verdict, and proposes to undo a known change.

    Both sides count alike whatever their numbers, each session once, by medians: an outlier moves the tones little.
    A proposal needs a change that is one of the known ones and large enough to be told from other people's faces,
    something to gain without passing any species more often than now, and people of both classes: verdicts that
    neither live faces alone nor attacks alone explain, see `both_classes`.

    Parameters
    ----------
    reference : ToneReference
    threshold_logit : float
        The side's: live from here on.
    every : int
        Sessions from one proposal to the next.
    window : int
        Sessions of each side that are looked at.
    min_sessions : int
        Of each side.
    alpha : float
        Chance of verdicts like these from one class alone, at most.
    min_change : float
        Root mean square change of tone that is worth correcting, in shares of full scale.
    max_off : float
        The same for the distance to the nearest known change.
    min_gain : float
        Expected fall of ACER, in shares of 1.
    """

    def __init__(
        self,
        reference: ToneReference,
        *,
        threshold_logit: float,
        every: int = 8,
        window: int = 32,
        min_sessions: int = 4,
        alpha: float = 0.02,
        min_change: float = 0.08,
        max_off: float = 0.04,
        min_gain: float = 0.04,
    ) -> None:
        if min(every, min_sessions) < 1 or window < min_sessions or not 0 < alpha < 0.5:
            raise InputError(
                "tone matching: expected every and min_sessions of at least 1, window of at least min_sessions and "
                f"alpha between 0 and 0.5, got {every}, {min_sessions}, {window} and {alpha}"
            )
        self.reference = reference
        self.threshold_logit = threshold_logit
        self.every = every
        self.window = window
        self.min_sessions = min_sessions
        self.alpha = alpha
        self.min_change = min_change
        self.max_off = max_off
        self.min_gain = min_gain
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._sides: tuple[deque[Seen], deque[Seen]] = (deque(maxlen=self.window), deque(maxlen=self.window))
        self._verdicts: deque[bool] = deque(maxlen=2 * self.window)
        self._since = 0
        self._found_before = False

    def update(self, tone: Doubles, *, is_live: bool, confirmed: bool = False) -> None:
        """Take in one session.

        Parameters
        ----------
        tone : (9, 3)
            Median over its frames.
        is_live : bool
            On which side of the threshold the source saw it, or what the integrator says it was.
        confirmed : bool
            Whether it is the integrator who says so.
        """
        self._sides[is_live].append((tone, confirmed))
        self._since += 1
        if not confirmed:
            self._verdicts.append(is_live)

    @property
    def due(self) -> bool:
        """Whether a proposal should be made: both sides have enough, and there is something new."""
        return min(map(len, self._sides)) >= self.min_sessions and self._since >= self.every

    @property
    def seen(self) -> Doubles:
        """Tones of the camera, both sides alike, (9, 3)."""
        seen: Doubles = np.mean([np.median([tone for tone, _ in side], axis=0) for side in self._sides], axis=0)
        return seen

    @property
    def both_classes(self) -> bool:
        """Whether there are people of both classes: confirmed ones, or verdicts that neither class alone explains.

        The source errs, and its errors alone put sessions on both sides. How often it errs under the nearest known
        change stands in the table: a flood of attacks is called live no more often than attacks of the worst species
        are, a flood of live faces as often as live faces are. Both are rejected by binomial tests at `alpha`, one look
        each. That is protection from streams that happen, not from somebody who chooses every session: he can show
        what the source accepts and what it rejects in turn. Confirmations count as long as they are in the window.
        """
        if min(map(len, self._sides)) < self.min_sessions:
            return False
        if min(sum(confirmed for _, confirmed in side) for side in self._sides) >= self.min_sessions:
            return True
        change, _ = self.reference.nearest(self.seen)
        passing, live, count = self.reference.shift_passing[change], sum(self._verdicts), len(self._verdicts)
        by_attacks = at_least(live, count, float(passing[1:].max()))
        by_live = at_least(count - live, count, float(1 - passing[0]))
        return max(by_attacks, by_live) <= self.alpha

    def propose(self) -> Proposal:
        """Recognise the change, and say whether to undo it is worth a trial."""
        self._since = 0
        seen = self.seen
        change, off = self.reference.nearest(seen)
        correction = self.reference.correction(change, self.threshold_logit)
        gain = self.reference.expected_gain(seen, self.threshold_logit, within=self.max_off)
        size = float(np.sqrt(((seen - self.reference.middle) ** 2).mean()))
        numbers = {"change": size, "known": change, "off": off, "penalty": correction.penalty, "gain": gain}
        asked = {
            "too small a change": size >= self.min_change,
            "not a known change": off <= self.max_off,
            "nothing to gain": gain >= self.min_gain,
            "one class explains the verdicts": self.both_classes,
        }
        against = [reason for reason, passed in asked.items() if not passed]
        found, found_before, self._found_before = not against, self._found_before, not against
        if found and not found_before:
            against = ["seen once only"]
        finding = Finding(not against, "; ".join(against) or "worth a trial", numbers)
        return Proposal(None if against else correction, finding)
