"""A candidate on trial: everything it must show before it may answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.drift import gaussian_kl
from ratta.adaptation.guard import CanaryCheck, DeepCheck, Finding, Nearness, Snapshot, at_least
from ratta.adaptation.reference import camera_moments
from ratta.adaptation.task import Step
from ratta.adaptation.update import hidden_feature
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ratta.adaptation.guard import DeepReference
    from ratta.adaptation.kept import Recent
    from ratta.adaptation.model import SourceModel
    from ratta.adaptation.reference import Network, Pixels, Reference
    from ratta.adaptation.task import Work
    from ratta.adaptation.update import Correction, ToneCorrection
    from ratta.records import Reading

    Arrays = Mapping[str, npt.NDArray[Any]]
    Bools = npt.NDArray[np.bool_]

CANARIES_AT_ONCE = 8
USUAL = 0.75
"""Of the source's sessions, the share whose early shift counts as usual."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The outcome: what was tried, what was found, and, exactly where that passed, the network that may answer."""

    snapshot: Snapshot
    finding: Finding
    network: Network | None = None


class Trials:
    """Tries candidates on held-back frames and on the canaries; always against the frozen source.

    Parameters
    ----------
    model : SourceModel
    reference : Reference
    frames_per_side : int
        Held-back frames of each side of the source's verdict that an early candidate is tried on.
    overturn_alpha : float
        An early candidate that overturns more of the source's *confident* verdicts than mild views do is refused, by an
        exact test at this level.
    explained_alpha : float
        Level of the sign test that a correction of tone brings frames nearer to the source.
    deep_check, canary_check : optional

    Raises
    ------
    InputError
        If a parameter is out of range, or `frames_per_side` is less than the deep check asks for.
    """

    def __init__(
        self,
        model: SourceModel,
        reference: Reference,
        *,
        frames_per_side: int = 12,
        overturn_alpha: float = 0.05,
        explained_alpha: float = 0.05,
        deep_check: DeepCheck | None = None,
        canary_check: CanaryCheck | None = None,
    ) -> None:
        self.deep_check = deep_check or DeepCheck()
        if frames_per_side < self.deep_check.min_frames or not 0 < overturn_alpha < 1:
            raise InputError(
                f"trials: expected frames_per_side of at least {self.deep_check.min_frames} and overturn_alpha in "
                f"(0, 1), got {frames_per_side} and {overturn_alpha}"
            )
        self.model = model
        self.frames_per_side = frames_per_side
        self.overturn_alpha = overturn_alpha
        self.explained_alpha = explained_alpha
        self.canary_check = canary_check or CanaryCheck()
        self._limits = reference.limits
        self._canaries = reference.canaries
        self._agreement = reference.agreement
        self._overturn_rate = reference.overturn_rate
        self._deep: DeepReference = reference.deep
        self._statistics = reference.statistics
        self._usual_shift = float(np.quantile(reference.drift.source[0], USUAL))
        self._source_passes: Bools | None = None

    def nearness(self, reading: Reading) -> Nearness:
        """Measure how near a frame's deep features are to the source's prototypes."""
        return self._deep.nearness(reading.embedding, hidden_feature(reading.embedding, self.model.tail.source))

    def overturned(self, source_logit: float, answer_logit: float) -> bool | None:
        """Say whether a *confident* verdict of the source is overturned; `None` where it is not confident."""
        if self._limits.spoof_below < source_logit < self._limits.live_above:
            return None
        threshold = self.model.threshold_logit
        return (source_logit >= threshold) != (answer_logit >= threshold)

    def early(self, correction: Correction, recent: Recent) -> Work[Trial]:
        """Try an early candidate on held-back frames: they must come nearer, and confident verdicts must stand."""
        snapshot = Snapshot(early=correction)
        sample = recent.sample(self.frames_per_side)
        enough = self.deep_check.enough([side for _, side in sample])
        if not enough.passed:
            return Trial(snapshot, enough)
        yield Step.OPEN
        trial = self._opened(snapshot, enough, sample[0][0].pixels)
        if trial.network is None:
            return trial
        before, after, overturned = [], [], []
        for kept, _ in sample:
            yield Step.READ
            reading = trial.network.read(kept.pixels)
            before.append(self.nearness(kept.source))
            after.append(self.nearness(reading))
            overturned.append(self.overturned(kept.source.live_logit, reading.live_logit))
        sides = [side for _, side in sample]
        nearer = self.deep_check.judge(before, after, sides, wide_median=self._deep.wide_median)
        finding = self._standing(nearer, overturned)
        return Trial(snapshot, finding, trial.network if finding.passed else None)

    def tone(self, correction: ToneCorrection, recent: Recent) -> Work[Trial]:
        """Try a correction of tone on held-back frames: it must explain the drift, and confident attacks must stand.

        Under it the early moments are the source's again: no further off than three of four source sessions, and nearer
        than before by a sign test. A change of tone on top of another lens, more noise or another codec does not pass.
        """
        snapshot = Snapshot(early=correction)
        sample = [kept for kept, _ in recent.sample(self.frames_per_side)]
        if len(sample) < self.deep_check.min_frames:
            return Trial(snapshot, Finding(False, "too few held-back frames", {"frames": len(sample)}))
        network = self.model.open(snapshot, sample[0].pixels)
        before, after, overturned = [], [], []
        for kept in sample:
            yield Step.MOMENTS
            before.append(self._early_shift(kept.pixels, kept.source))
            yield Step.READ
            reading = network.read(kept.pixels)
            yield Step.MOMENTS
            after.append(self._early_shift(correction.apply(kept.pixels), reading))
            overturned.append(self.overturned(kept.source.live_logit, reading.live_logit))
        finding = self._standing(self._explained(before, after), overturned)
        return Trial(snapshot, finding, network if finding.passed else None)

    def _early_shift(self, pixels: Pixels, reading: Reading) -> float:
        mean, variance = camera_moments(self.model.stem.moments(pixels), reading.cut)
        source = self._statistics
        return float(gaussian_kl(mean, variance, source.mean, source.variance))

    def _explained(self, before: list[float], after: list[float]) -> Finding:
        nearer = sum(b > a for b, a in zip(before, after, strict=True))
        chance = at_least(nearer, len(before), 0.5)
        left = float(np.median(after))
        numbers = {"shift_before": float(np.median(before)), "shift_after": left, "nearer": nearer, "of": len(before)}
        if not left <= self._usual_shift:
            return Finding(False, "does not explain the drift", numbers)
        if not chance <= self.explained_alpha:
            return Finding(False, "not nearer to the source", numbers)
        return Finding(True, "explains the drift", numbers)

    def late(self, late: Arrays, early: Correction | ToneCorrection | None, recent: Recent) -> Work[Trial]:
        """Try a late candidate on the canaries, and on the recent frames that no early correction has touched."""
        snapshot = Snapshot(early, late)
        sample = recent.sample(recent.per_side)
        if not sample:
            return Trial(snapshot, Finding(False, "no held-back frames", {}))
        parameters = self.model.parameters(late)
        agreeing = []
        for kept, side in sample:
            yield Step.READ
            agreeing.append(self._passes(kept.source.cut, parameters) == side)
        before = yield from self._source_passing()
        after = yield from self._passing(parameters)
        finding = self.canary_check.judge(
            self._canaries.species, before, after, agreeing=np.array(agreeing, bool), agreement=self._agreement
        )
        if not finding.passed:
            return Trial(snapshot, finding)
        yield Step.OPEN
        return self._opened(snapshot, finding, sample[0][0].pixels)

    def _opened(self, snapshot: Snapshot, finding: Finding, probe: Pixels) -> Trial:
        """Open the candidate; one that does not answer as it must is a candidate refused, not a failure."""
        try:
            return Trial(snapshot, finding, self.model.open(snapshot, probe))
        except InputError as error:
            return Trial(snapshot, Finding(False, str(error), finding.numbers))

    def _standing(self, finding: Finding, overturned: list[bool | None]) -> Finding:
        """Add to a finding whether the source's confident verdicts stand."""
        sure = [turned for turned in overturned if turned is not None]
        numbers = finding.numbers | {"confident": len(sure), "overturned": sum(sure)}
        if at_least(sum(sure), len(sure), self._overturn_rate) > self.overturn_alpha:
            return Finding(finding.passed, finding.reason, numbers)
        return Finding(False, "overturns confident verdicts of the source", numbers)

    def _source_passing(self) -> Work[Bools]:
        if self._source_passes is None:
            self._source_passes = yield from self._passing(self.model.tail.source)
        return self._source_passes

    def _passing(self, parameters: Arrays) -> Work[Bools]:
        """Say which canaries pass as live, some at a time."""
        passes: list[bool] = []
        for start in range(0, len(self._canaries), CANARIES_AT_ONCE):
            yield Step.CANARIES
            some = range(start, min(start + CANARIES_AT_ONCE, len(self._canaries)))
            passes += [self._passes(self._canaries.cut(index), parameters) for index in some]
        return np.array(passes, bool)

    def _passes(self, cut: npt.NDArray[Any], parameters: Arrays) -> bool:
        logits = self.model.tail.forward(cut[None], parameters).logits[0]
        return self.model.live_logit(logits) >= self.model.threshold_logit
