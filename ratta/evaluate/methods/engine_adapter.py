"""The product itself: the adapter of an engine, on the bundle's own graph, fed with a stream's crops."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.budget import Budget, allowance_for
from ratta.adaptation.records import BUFFERED_FRAMES, Attempt
from ratta.adaptation.settings import Adaptation
from ratta.assembly import make_adapter
from ratta.errors import BundleError, DataError
from ratta.inference import OrtSession
from ratta.networks import open_single

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.budget import Reservation
    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource
    from ratta.records import Pixels


class ExpectedBudget(Budget):
    """Bills every piece of work what it was expected to cost, so that a result does not depend on a busy machine."""

    def settle(
        self,
        reservation: Reservation,
        spent_ms: float,  # noqa: ARG002
        spent_mj: float | None = None,  # noqa: ARG002
    ) -> None:
        """Book the expected cost, whatever was measured."""
        super().settle(reservation, reservation.cost_ms)


class EngineAdapter:
    """Ratta's adaptation, as an engine of this bundle has it.

    A new session number ends the attempt before. What is known of that is confirmed then; the adapter is idle until the
    first frame of the new session, and again after every frame. Quality checks and verdicts are not part of it: scores
    are those of single frames.

    Parameters
    ----------
    source : TorchSource
        With its bundle.
    shadow, anchors, alpha, gated, drift
        As in `ratta.adaptation.Adaptation`.
    budget_share : float
        Share of `t` that learning may take; 0.05 is the product's default, all other caps follow in proportion.
    inference_ms : float
        What one run of the network is billed.
    batch : int

    Raises
    ------
    DataError
        If the source has no bundle, or one whose network gives no embedding.
    """

    def __init__(
        self,
        source: TorchSource,
        *,
        shadow: bool = False,
        anchors: bool = True,
        alpha: float = 0.05,
        gated: bool = True,
        drift: bool = True,
        budget_share: float = 0.05,
        inference_ms: float = 2.0,
        batch: int = 1,
    ) -> None:
        if source.bundle is None:
            raise DataError("method ratta: expected a source made of a bundle, got one without; use torch_source")
        settings = Adaptation(
            shadow=shadow, anchors=anchors, alpha=alpha, gated=gated, drift=drift, inference_ms=inference_ms
        )
        self.batch = batch
        try:
            network = open_single(source.bundle, OrtSession(source.bundle.graph))
            self.adapter = make_adapter(source.bundle, network, settings)
        except BundleError as error:
            raise DataError(f"method ratta: {error}") from error
        allowance = allowance_for(inference_ms, share=budget_share)
        self.adapter.budget = ExpectedBudget(watts=settings.watts, time=allowance)
        self.reset()

    def reset(self) -> None:
        """Go back to the source model, with empty accounts."""
        self.adapter.reset()
        self.adapter.budget.reset()
        self._session: int | None = None
        self._attempt: Attempt | None = None
        self._last_s = 0.0

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of whatever would answer now; nothing is kept."""
        session, attempt = self._session, _copied(self._attempt)
        scores = []
        for pixels, t, number in zip(batch.pixels, batch.t.tolist(), batch.sessions.tolist(), strict=True):
            if number != session:
                session, attempt = number, Attempt()
            scores.append(self.adapter.read(attempt, crops_of(pixels), t=t).live_score)
        return np.array(scores, np.float64)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores, each given before anything is learnt from its frame."""
        frames = zip(batch.pixels, batch.t.tolist(), batch.sessions.tolist(), strict=True)
        return np.array([self._step(*frame, batch.confirmed) for frame in frames], np.float64)

    def state(self) -> dict[str, float]:
        """Tell what was learnt and refused, level and threshold, the drift statistic against its limit, the budget."""
        adapter, counts = self.adapter, self.adapter.counts
        evidence = adapter.detector.evidence if adapter.detector else {}
        return {
            "updates": float(counts["confirmed"] + counts["gated"]),
            **{name: float(counts[name]) for name in ("confirmed", "gated", "denied", "rollbacks")},
            "adapted": float(self._attempt is not None and self._attempt.penalty > 0),
            **{f"refused: {reason}": float(n) for reason, n in adapter.gate.rejected.items()},
            "alpha": adapter.anchor.alpha,
            "level": adapter.anchor.level,
            "threshold": adapter.anchor.threshold,
            **({"drift": evidence["wealth"], "drift_limit": evidence["threshold"]} if evidence else {}),
            "budget_ms": adapter.budget.level_ms,
            "spent_ms": adapter.budget.spent_ms,
        }

    def _step(self, pixels: npt.NDArray[np.uint8], t: float, session: int, confirmed: frozenset[int]) -> float:
        adapter = self.adapter
        if session != self._session or self._attempt is None:
            if self._attempt is not None:
                adapter.end(self._attempt, t=self._last_s)
                if self._session in confirmed:
                    adapter.confirm(self._attempt, is_live=True)
                adapter.idle(t)
            self._session, self._attempt = session, adapter.begin()
        reading = adapter.read(self._attempt, crops_of(pixels), t=t)
        self._last_s = t
        adapter.idle(t)
        return reading.live_score


def crops_of(pixels: npt.NDArray[np.uint8]) -> Pixels:
    """Take a frame's crops apart: (S, S, 3), or (K, S, S, 3) where the contract has K crops."""
    return (pixels,) if pixels.ndim == 3 else tuple(pixels)


def _copied(attempt: Attempt | None) -> Attempt:
    return Attempt() if attempt is None else Attempt(frames=deque(attempt.frames, maxlen=BUFFERED_FRAMES))
