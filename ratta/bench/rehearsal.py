"""Every piece of work that learning is made of, to be timed on this device; its cost does not depend on the crop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.budget import Allowance
from ratta.adaptation.drift import SessionStatistics
from ratta.adaptation.guard import Snapshot
from ratta.adaptation.kept import SOURCE_NUMBER, Kept, Recent
from ratta.adaptation.reference import add_frame
from ratta.adaptation.settings import Adaptation
from ratta.adaptation.task import Step
from ratta.adaptation.trials import CANARIES_AT_ONCE
from ratta.adaptation.update import Lesson, ToneCorrection, tone_of
from ratta.adaptation.views import Views
from ratta.bench.stages import scene_crops
from ratta.bench.timing import Contestant
from ratta.engine import load

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ratta.adaptation.adapter import Adapter
    from ratta.bench.frames import Scene
    from ratta.engine import Engine

UNLIMITED = Allowance(refill_per_s=1e6, capacity=1e9, per_session=1e9, per_hour=1e12, per_day=1e13)
NAMES = {
    Step.READ: "one run of the network",
    Step.MOMENTS: "first-layer moments of a frame",
    Step.VIEWS: "views of a frame, each read",
    Step.DRIFT: "drift of a session",
    Step.TONES: "tones of a session",
    Step.LESSON: "a lesson",
    Step.CANARIES: f"{CANARIES_AT_ONCE} canaries",
    Step.OPEN: "a swap: open a network, probe it",
}
TONE_TRIAL = "a trial of a correction of tone"
LATE_TRIAL = "a trial of late parameters, swap included"
DARK = ToneCorrection(0.7, np.full(3, 1.05), np.full(3, -0.02), 0.1)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """An adapter with what its pieces of work need: the frames of one session, and held-back frames of both sides."""

    adapter: Adapter
    frames: list[Kept]
    recent: Recent

    def contestants(self) -> list[Contestant]:
        """Line up every piece, by its name in `NAMES`, and the two trials."""
        calls = {NAMES[step]: call for step, call in self._pieces().items()}
        calls |= {TONE_TRIAL: self._tone_trial, LATE_TRIAL: self._late_trial}
        return [
            Contestant(name, call, calls=1 if "swap" in name or "trial" in name else 2) for name, call in calls.items()
        ]

    def _pieces(self) -> dict[Step, Callable[[], object]]:
        model, kept = self.adapter.model, self.frames[0]
        views, step, source = Views(model.size), self.adapter.learner.late_step, dict(model.tail.source)
        lesson = Lesson(cut=kept.source.cut, is_live=True, source_logit=kept.source.live_logit)
        late = {name: value for name, value in source.items() if name in step.names}
        cuts = [kept.source.cut[None]] * CANARIES_AT_ONCE
        return {
            Step.READ: lambda: model.network.read(kept.pixels),
            Step.MOMENTS: lambda: model.stem.moments(kept.pixels),
            Step.VIEWS: lambda: [model.network.read(view) for view in views(kept.pixels)],
            Step.DRIFT: self._drift,
            Step.TONES: self._tones,
            Step.LESSON: lambda: step.add_gradient(lesson, source, {}, class_frames=(1, 1)),
            Step.CANARIES: lambda: [model.tail.forward(cut, source) for cut in cuts],
            Step.OPEN: lambda: model.open(Snapshot(late=late), kept.pixels),
        }

    def _drift(self) -> None:
        session = SessionStatistics(self.adapter.reference.statistics)
        for kept in self.frames:
            moments, seen = kept.moments, kept.source
            assert moments is not None
            add_frame(session, moments, seen.cut, seen.embedding, seen.live_logit, t=kept.t)
        self.adapter.detector.update(session.measure())

    def _tones(self) -> None:
        tones = self.adapter.tones
        tone = np.median([tone_of(kept.pixels) for kept in self.frames], axis=0)
        if tones is not None:
            for is_live in (False, True):
                tones.update(tone, is_live=is_live)
            tones.propose()

    def _tone_trial(self) -> None:
        for _ in self.adapter.trials.tone(DARK, self.recent):
            pass

    def _late_trial(self) -> None:
        for _ in self.adapter.trials.late({}, None, self.recent):
            pass
        self._pieces()[Step.OPEN]()  # a trial that fails, as this one may, does not get so far


def rehearse(model: str, scene: Scene, *, runtime: str = "onnxruntime", threads: int = 1) -> tuple[Rehearsal, Engine]:
    """Load a model that adapts, and put frames before it.

    Raises
    ------
    BundleError
        If it was not calibrated for adaptation.
    """
    engine = load(model, adapt=Adaptation(time=UNLIMITED), runtime=runtime, threads=threads)
    assert engine.adapter is not None
    adapter, crop = engine.adapter, scene_crops(engine, scene)[0]
    frames = [_kept(adapter, pixels, 0.25 * i) for i, pixels in enumerate(_grainy(crop, adapter.begin().max_frames))]
    recent, threshold = Recent(), adapter.model.threshold_logit
    for _ in range(recent.per_side):
        for side in (-1.0, 1.0):
            recent.keep([_on_side(frames[0], threshold + side)], threshold_logit=threshold)
    return Rehearsal(adapter, frames, recent), engine


def _grainy(crop: npt.NDArray[np.uint8], count: int) -> list[npt.NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [np.clip(crop + rng.normal(0, 6, crop.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def _kept(adapter: Adapter, pixels: npt.NDArray[np.uint8], t: float) -> Kept:
    reading = adapter.model.network.read(pixels)
    return Kept(pixels, t, SOURCE_NUMBER, {SOURCE_NUMBER: reading}, adapter.model.stem.moments(pixels))


def _on_side(kept: Kept, logit: float) -> Kept:
    reading = replace(kept.source, live_logit=logit)
    return Kept(kept.pixels, kept.t, SOURCE_NUMBER, {SOURCE_NUMBER: reading}, kept.moments)
