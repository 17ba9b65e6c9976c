"""What the page asks of ratta. Answers are JSON; pixels come as the RGBA bytes of a canvas."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ratta
from ratta.bench.command import measure
from ratta.bench.report import render
from ratta.bench.schema import to_json
from ratta.bundle import DEFAULT_MODEL, read_detector
from ratta.engine import open_graph
from ratta.perception import BlazeFace
from ratta.records import Reason, Verdict
from ratta.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ratta.engine import Engine

REST_S = 1.5
"""Seconds between the end of an attempt and the next: time to read the verdict, and to learn in."""
MANY = 1_000_000
"""Attempts before a lockout: this page lets nobody in."""


class Stopwatch:
    """Adds up what wrapped calls take, in milliseconds."""

    def __init__(self) -> None:
        self.ms = {"face": 0.0, "network": 0.0}

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with its time taken."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.ms[name] += 1e3 * (time.perf_counter() - before)

        return timed


class Watcher:
    """Looks at frames, attempt after attempt."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.stopwatch = Stopwatch()
        self.detector = BlazeFace(open_graph(read_detector(), runtime=runtime, name="blazeface.onnx"))
        self.detector.detect = self.stopwatch.wrap("face", self.detector.detect)
        self.engine: Engine = ratta.load(runtime=runtime, detector=self.detector, max_attempts=MANY)
        answering = self.adapter or self.engine.network
        answering.read = self.stopwatch.wrap("network", answering.read)
        self.forget()

    @property
    def adapter(self) -> Any:
        """What adapts, where the engine does."""
        return getattr(self.engine, "adapter", None)

    def forget(self) -> None:
        """Begin anew with the next frame."""
        self._session: Session | None = None
        self._last: ratta.Decision | None = None

    def step(self, frame: npt.NDArray[np.uint8], t: float) -> ratta.Decision:
        """Answer a frame; between two attempts the last answer stands, and a learner may learn."""
        if self._session is None or (self._last is not None and self._last.final and t - self._last.t >= REST_S):
            self._session = self.engine.session()
            self._last = None
        if self._last is not None and self._last.final:
            if self.adapter is not None:
                self.engine.idle(t)
            return self._last
        self._last = self._session.step(frame, t=t, color="rgb")
        return self._last


watcher: Watcher


def start(runtime: str) -> str:
    """Load the model."""
    global watcher
    watcher = Watcher(runtime)
    bundle, policy = watcher.engine.bundle, watcher.engine.policy
    _ = [watcher.engine.score(np.full((480, 640, 3), 127, np.uint8)) for _ in range(3)]  # the browser compiles now
    return _json(
        runtime=runtime,
        name=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        megabytes=len(bundle.graph) / 1e6,
        live_threshold=policy.live_threshold,
        spoof_threshold=policy.spoof_threshold,
        origin=bundle.calibration.origin,
        adaptation=adaptation(),
    )


def forget() -> None:
    """Begin a new attempt with the next frame."""
    watcher.forget()


def frame(pixels: Any, width: int, height: int, t: float) -> str:
    """Answer a frame of the camera."""
    begin = time.perf_counter()
    taken = _rgb(pixels, width, height)
    copied = time.perf_counter()
    watcher.stopwatch.ms = dict.fromkeys(watcher.stopwatch.ms, 0.0)
    decision = watcher.step(taken, t)
    answered = time.perf_counter()
    return _json(
        decision=decision,
        fresh=decision.t == t,
        stages=_stages(copied - begin, answered - copied),
        adaptation=adaptation(),
    )


def picture(pixels: Any, width: int, height: int) -> str:
    """Look at one picture, without memory: find the face, cut it out, ask the network."""
    begin = time.perf_counter()
    taken = _rgb(pixels, width, height)
    copied = time.perf_counter()
    watcher.stopwatch.ms = dict.fromkeys(watcher.stopwatch.ms, 0.0)
    score = watcher.engine.score(taken, color="rgb")
    answered = time.perf_counter()
    policy = watcher.engine.policy
    if score.refused:
        verdict, reason = Verdict.REFUSED, score.reason
    else:
        live, spoof = score.live_score >= policy.live_threshold, score.live_score <= policy.spoof_threshold
        verdict = Verdict.LIVE if live else Verdict.SPOOF if spoof else Verdict.UNCERTAIN
        reason = Reason.SINGLE_FRAME
    return _json(
        decision={"verdict": verdict, "live_score": score.live_score, "reason": reason, "detail": score.detail},
        box=score.box,
        stages=_stages(copied - begin, answered - copied),
    )


def bench(seconds: float, say: Callable[[str], None]) -> str:
    """Run `ratta-bench` here."""
    result = measure(model=DEFAULT_MODEL, runtime=watcher.runtime, seconds=seconds, say=say)
    return _json(text=render(result), result=result)


def example() -> bytes:
    """Give the public-domain portrait that ratta ships, as JPEG."""
    return (Path(ratta.__file__).parent / "camera" / "assets" / "astronaut.jpg").read_bytes()


def adaptation() -> dict[str, Any] | None:
    """Say what has been learnt and what learning may cost; `None` for an engine that does not adapt."""
    adapter = watcher.adapter
    if adapter is None:
        return None
    return {"adapted": adapter.adapted, "band": str(adapter.band), "counts": dict(adapter.counts)}


def _rgb(pixels: Any, width: int, height: int) -> npt.NDArray[np.uint8]:
    rgba = np.empty((height, width, 4), np.uint8)
    pixels.assign_to(rgba.reshape(-1))
    return np.ascontiguousarray(rgba[..., :3])


def _stages(copy_s: float, answer_s: float) -> dict[str, float]:
    ms = watcher.stopwatch.ms
    return {"copy": 1e3 * copy_s, **ms, "rest": 1e3 * answer_s - sum(ms.values())}


def _json(**values: Any) -> str:
    return json.dumps(to_json(values))
