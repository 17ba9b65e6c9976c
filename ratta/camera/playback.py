"""Sessions as they were played: what was shown, what was decided at every frame, and what it cost."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from ratta.camera.annotate import annotate
from ratta.decision import Judge
from ratta.records import Decision, Reason, Refusal, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    import numpy.typing as npt

    from ratta.engine import Engine
    from ratta.session import Session

    Picture = npt.NDArray[np.uint8]
    Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Something to show to an engine.

    Attributes
    ----------
    shown : str
        In a few words.
    about : str
        How it came about, in a sentence.
    expected : Verdict
        The right answer.
    frames : iterable of (t_seconds, frame_bgr)
        Played once.
    """

    shown: str
    about: str
    expected: Verdict
    frames: Iterable[tuple[float, Picture]]


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Median wall time of a frame by stage, in milliseconds; `nan` for a stage that no frame reached."""

    perception_ms: float
    inference_ms: float
    decision_ms: float

    @property
    def total_ms(self) -> float:
        """Sum over the stages that were reached."""
        return math.fsum(ms for ms in (self.perception_ms, self.inference_ms, self.decision_ms) if math.isfinite(ms))


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One session that was played.

    Attributes
    ----------
    scene : Scene
    verdict : Verdict
        Of the session, after its end.
    reason : Reason
        Of the verdict; of a session in which nothing was scored, the refusal that occurred most often.
    decisions : tuple of Decision
        One per frame.
    stages : StageTimes
        What its frames cost.
    frames : tuple of (H, W, 3) uint8
        BGR, as they were shown.
    thresholds : (spoof, live)
        In force.
    """

    scene: Scene
    verdict: Verdict
    reason: Reason
    decisions: tuple[Decision, ...]
    stages: StageTimes
    frames: tuple[Picture, ...]
    thresholds: tuple[float, float]

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the right one."""
        return self.verdict is self.scene.expected

    @property
    def session_score(self) -> float:
        """After the last frame; `nan` when nothing was scored."""
        return self.decisions[-1].session_score

    @property
    def final_s(self) -> float:
        """When the verdict became final; `nan` if the session ended before."""
        return next((d.t for d in self.decisions if d.final), math.nan)

    def picture(self, index: int) -> Picture:
        """Draw the decision on a frame into it: `(H, W, 3)` uint8 BGR."""
        decision = self.decisions[index]
        return annotate(
            self.frames[index],
            verdict=decision.verdict,
            reason=decision.reason.value,
            score=decision.session_score,
            box=decision.box,
            thresholds=self.thresholds,
        )


def play(
    engine: Engine,
    scene: Scene,
    *,
    on_decision: Callable[[Decision], None] | None = None,
    clock: Clock = time.perf_counter,
) -> Take:
    """Show a scene to an engine as one attempt, until the verdict is final or the scene is over; then time its frames.

    Scenes know nothing of one another: the engine is reset first, because each scene's clock starts at its own zero.

    Parameters
    ----------
    engine : Engine
    scene : Scene
        With at least one frame.
    on_decision : callable, optional
        Called with each decision.
    clock : callable
        Gives seconds.
    """
    engine.reset()
    decisions, frames = [], []
    with engine.session() as session:
        for t, frame in scene.frames:
            decision = session.step(frame, t=t)
            decisions.append(decision)
            frames.append(frame)
            if on_decision is not None:
                on_decision(decision)
            if decision.final:
                break
    return Take(
        scene,
        session.verdict,
        _reason(session, decisions),
        tuple(decisions),
        time_stages(engine, [(d.t, frame) for d, frame in zip(decisions, frames, strict=True)], clock=clock),
        tuple(frames),
        (engine.policy.spoof_threshold, engine.policy.live_threshold),
    )


def time_stages(
    engine: Engine, frames: Sequence[tuple[float, Picture]], *, clock: Clock = time.perf_counter
) -> StageTimes:
    """Run frames through the stages back to back and time each; a refused frame costs perception only.

    The frames of a session come with pauses in which a source works and the caches cool, so a session that waits for
    its frames is slower than this.
    """
    perception, judge = engine.new_perception(), Judge(engine.policy, open_ended=True)
    spent: tuple[list[float], list[float], list[float]] = ([], [], [])
    for t, frame in frames:
        begin = clock()
        seen = perception.follow(frame, t=t)
        spent[0].append(clock() - begin)
        if isinstance(seen, Refusal):
            continue
        begin = clock()
        reading = engine.network.read(seen.pixels)
        middle = clock()
        judge.update(reading.live_logit, t=t, box=seen.face.box)
        spent[1].append(middle - begin)
        spent[2].append(clock() - middle)
    return StageTimes(*(1000 * median(times) if times else math.nan for times in spent))


def _reason(session: Session, decisions: Sequence[Decision]) -> Reason:
    last = decisions[-1]
    if not last.scored_frames:
        return Counter(d.reason for d in decisions).most_common(1)[0][0]
    return last.reason if last.verdict is session.verdict else session.reason
