"""The product itself: one adapter on the bundle's own graph, sessions as they come, learning between the frames."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.budget import FIVE_PERCENT, Budget
from ratta.adaptation.drift import BettingDrift, EmaDrift
from ratta.adaptation.settings import Adaptation, Drift, Early
from ratta.assembly import make_adapter
from ratta.engine import open_graph
from ratta.errors import BundleError, DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.adapter import Adapter
    from ratta.adaptation.budget import Reservation
    from ratta.adaptation.drift import DriftDetector
    from ratta.adaptation.kept import Attempt
    from ratta.bundle import Bundle
    from ratta.evaluate.methods.method import FrameBatch
    from ratta.evaluate.methods.torch_source import TorchSource
    from ratta.inference import Session

FIVE = 0.05


class CalibratedBudget(Budget):
    """Bills every piece of work what the calibration expects, so that a result does not depend on a busy machine."""

    def settle(
        self,
        reservation: Reservation,
        spent_ms: float,  # noqa: ARG002
        spent_mj: float | None = None,  # noqa: ARG002
    ) -> None:
        """Book the expected cost, whatever was measured."""
        super().settle(reservation, reservation.cost_ms)


class Ours:
    """Ratta's adaptation: the adapter that an engine of this bundle has, fed with the stream's crops.

    A new session number ends the attempt before; then the adapter is idle until the new session's first frame, and
    again after every frame. Quality checks and verdicts are not part of it: scores are those of single frames.

    Parameters
    ----------
    source : TorchSource
        With its bundle, which must be calibrated for adaptation.
    shadow : bool
        Learn and report, but let the source answer.
    drift : str
        "betting" or "ema".
    drift_threshold : float, optional
        `threshold_sigma` of "ema", `alpha` of "betting"; theirs by default.
    early : str
        "tone", "moments" or "off".
    late : bool
        Whether late candidates are tried.
    budget_share : float
        Share of `t` that learning may take; 0.05 is the product's default, all other caps follow in proportion.
    inference_ms : float
        What one run of the network is billed.
    measured : bool
        Bill processor time as measured here instead: nearer to a device, and no two runs are alike.
    batch : int

    Raises
    ------
    DataError
        If the source has no bundle, or one that was not calibrated for adaptation.
    """

    def __init__(
        self,
        source: TorchSource,
        *,
        shadow: bool = False,
        drift: str = "betting",
        drift_threshold: float | None = None,
        early: str = "tone",
        late: bool = True,
        budget_share: float = FIVE,
        inference_ms: float = 2.0,
        measured: bool = False,
        batch: int = 1,
    ) -> None:
        if source.bundle is None:
            raise DataError("method ratta: expected a source made of a bundle, got one without; use torch_source")
        self.batch = batch
        self.settings = Adaptation(
            shadow=shadow,
            drift=Drift(drift),
            early=Early(early),
            late=late,
            time=FIVE_PERCENT.times(budget_share / FIVE),
            inference_ms=inference_ms,
            clock=_processor_ms,
        )
        self.adapter = _adapter(source.bundle, self.settings)
        if drift_threshold is not None:
            self.adapter.detector = _detector(self.adapter.detector, drift_threshold)
        if not measured:
            self.adapter.budget = CalibratedBudget(watts=self.settings.watts, time=self.adapter.budget.time)
        self.reset()

    def reset(self) -> None:
        """Go back to the source model, with empty books."""
        self.adapter.reset()
        self.adapter.budget.reset()
        self._session: int | None = None
        self._attempt: Attempt | None = None
        self._last_s = 0.0

    def answer(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores of whatever would answer now; nothing is kept."""
        return np.array([self.adapter.look(pixels).live_score for pixels in batch.pixels], np.float64)

    def observe(self, batch: FrameBatch) -> npt.NDArray[np.float64]:
        """Live scores, each given before anything is learnt from its frame."""
        frames = zip(batch.pixels, batch.t.tolist(), batch.sessions.tolist(), strict=True)
        return np.array([self._step(pixels, t, session) for pixels, t, session in frames], np.float64)

    def state(self) -> dict[str, float]:
        """Tell commits, what was refused and by which obstacle, the drift statistic against its limit, the budget."""
        adapter = self.adapter
        drift, limit = _drift(adapter.detector)
        counts = adapter.counts
        return {
            "updates": float(counts["commits"]),
            "rollbacks": float(counts["rollbacks"]),
            "adapted": float(adapter.adapted),
            **{f"refused: {obstacle}": float(n) for obstacle, n in adapter.learner.gate.refused.items()},
            "refused: candidate": float(counts["trials refused"]),
            "drift": drift,
            "drift_limit": limit,
            "budget_ms": adapter.budget.level_ms,
            "spent_ms": adapter.budget.spent_ms,
        }

    def _step(self, pixels: npt.NDArray[np.uint8], t: float, session: int) -> float:
        adapter = self.adapter
        if session != self._session:
            if self._attempt is not None:
                adapter.end(self._attempt, t=self._last_s)
                adapter.idle(t)
            self._session, self._attempt = session, adapter.begin()
        reading = adapter.read(self._attempt, pixels, t=t)
        self._last_s = t
        adapter.idle(t)
        return reading.live_score


def _adapter(bundle: Bundle, settings: Adaptation) -> Adapter:
    def opened(graph: bytes) -> Session:
        return open_graph(graph, runtime="onnxruntime")

    try:
        return make_adapter(bundle, opened(bundle.graph), settings, open_graph=opened)
    except BundleError as error:
        raise DataError(
            f"method ratta: expected a model calibrated for adaptation, got {bundle.name} without a reference "
            f"({error.__cause__}); give it one with ratta.adaptable.adaptation_reference and write_adaptable"
        ) from error


def _detector(usual: DriftDetector, threshold: float) -> DriftDetector:
    """Give the same detector with another threshold."""
    if isinstance(usual, EmaDrift):
        return EmaDrift(usual.reference, threshold_sigma=threshold)
    assert isinstance(usual, BettingDrift)
    return BettingDrift(usual.reference, alpha=threshold, restarting=True)


def _drift(detector: DriftDetector) -> tuple[float, float]:
    """Give the statistic and the limit at which it alarms."""
    evidence = detector.evidence
    if isinstance(detector, EmaDrift):
        levels = [abs(level) for name, level in evidence.items() if name.startswith("level.")]
        return max(levels), detector.threshold_sigma
    return evidence["money"], evidence["threshold"]


def _processor_ms() -> float:
    return time.process_time() * 1e3
