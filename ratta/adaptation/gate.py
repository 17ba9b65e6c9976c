"""Whether an ended attempt is evidence of a living face: confirmed, or confident and stable under augmentation."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from ratta.adaptation.anchors import Worth
from ratta.errors import InputError

if TYPE_CHECKING:
    from ratta.adaptation.records import Attempt


class RejectReason(StrEnum):
    """Why an attempt is no evidence."""

    TOO_SHORT = "too few frames"
    NOT_FINITE = "not finite"
    ATTACK = "confirmed attack"
    NOT_ALLOWED = "unconfirmed, and only confirmed sessions count"
    NOT_LIVE = "source not confident of live"
    UNAFFORDABLE = "no budget for augmented views"
    VIEWS = "augmented views disagree"


class Gate:
    """Admits live sessions as evidence; the frozen source labels, never the adapted model.

    A session that the integrator confirmed as live is admitted. Any other must have a median source logit at least
    `margin` above the live threshold, and every augmented view of its frames must be as confident.

    Parameters
    ----------
    live_logit : float
        The live threshold, in log-odds.
    margin : float
        Log-odds.
    gated : bool
        Whether unconfirmed sessions may be evidence at all.
    least_frames : int

    Raises
    ------
    InputError
        If a parameter is out of range.
    """

    def __init__(self, *, live_logit: float, margin: float = 2.0, gated: bool = True, least_frames: int = 3) -> None:
        if not math.isfinite(live_logit) or not 0 <= margin < math.inf or least_frames < 1:
            raise InputError(
                "gate: expected a finite live_logit, margin >= 0 and least_frames >= 1, "
                f"got {live_logit}, {margin} and {least_frames}"
            )
        self.live_logit = live_logit
        self.margin = margin
        self.gated = gated
        self.least_frames = least_frames
        self.reset()

    def reset(self) -> None:
        """Forget the counts."""
        self.rejected = dict.fromkeys(RejectReason, 0)

    def screen(self, attempt: Attempt) -> RejectReason | None:
        """Say what rejects an attempt before any view is asked; nothing changes."""
        if len(attempt.frames) < self.least_frames:
            return RejectReason.TOO_SHORT
        if not all(math.isfinite(f.logit) and math.isfinite(f.conformity) for f in attempt.frames):
            return RejectReason.NOT_FINITE
        if attempt.confirmed is not None:
            return None if attempt.confirmed else RejectReason.ATTACK
        if not self.gated:
            return RejectReason.NOT_ALLOWED
        return None if attempt.logit >= self._confident else RejectReason.NOT_LIVE

    def called_live(self, attempt: Attempt) -> bool:
        """Whether nobody confirmed anything of an attempt and the source calls it live, confidently or not."""
        usable = self.screen(attempt) in (None, RejectReason.NOT_LIVE)
        return usable and attempt.confirmed is None and attempt.logit >= self.live_logit

    def judge(self, attempt: Attempt, *, views: int) -> Worth | RejectReason:
        """Decide whether an attempt is evidence, and count what is not.

        Parameters
        ----------
        attempt : Attempt
        views : int
            How many augmented views it should have.
        """
        reason = self.screen(attempt) or self._doubt(attempt, views)
        if reason is not None:
            self.rejected[reason] += 1
            return reason
        return Worth.GATED if attempt.confirmed is None else Worth.CONFIRMED

    @property
    def _confident(self) -> float:
        return self.live_logit + self.margin

    def _doubt(self, attempt: Attempt, views: int) -> RejectReason | None:
        if attempt.confirmed is not None:
            return None
        if not views or len(attempt.view_logits) < views:
            return RejectReason.UNAFFORDABLE
        agree = all(logit >= self._confident for logit in attempt.view_logits)
        return None if agree else RejectReason.VIEWS
