"""What the page asks of ratta. Answers are JSON; pixels come as the RGBA bytes of a canvas."""

from __future__ import annotations

import json
import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ratta
from ratta.bench.command import measure
from ratta.bench.report import render
from ratta.bench.schema import to_json
from ratta.bundle import DEFAULT_MODEL
from ratta.errors import BundleError
from ratta.networks import open_detector
from ratta.records import Reason, Verdict
from ratta.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ratta.engine import Engine

REST_S = 1.5
"""Seconds between the end of an attempt and the next: time to read the verdict, and to learn in."""
IDLE_MS = 30.0
"""Milliseconds of a resting frame after which no further piece of learning is begun."""
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

    def __init__(self, runtime: str, *, model: str | Path = DEFAULT_MODEL) -> None:
        self.runtime = runtime
        self.stopwatch = Stopwatch()
        self.detector = open_detector(runtime=runtime)
        self.detector.detect = self.stopwatch.wrap("face", self.detector.detect)
        self.engine = self._load(model)
        self.adapter = self.engine.adapter
        network = self.engine.network  # the adapter's, too
        network.read = self.stopwatch.wrap("network", network.read)
        self.begun: float | None = None
        self.denied = 0
        self.forget()

    def _load(self, model: str | Path) -> Engine:
        """Load the model with adaptation if it gives an embedding, else without."""
        load = partial(ratta.load, model, runtime=self.runtime, detector=self.detector, max_attempts=MANY)
        try:
            return load(adapt=True)
        except BundleError:
            return load()

    def forget(self) -> None:
        """Begin anew with the next frame."""
        self._session: Session | None = None
        self._last: ratta.Decision | None = None

    def step(self, frame: npt.NDArray[np.uint8], t: float) -> ratta.Decision:
        """Answer a frame; between two attempts the last answer stands, and a learner may learn."""
        self.begun = t if self.begun is None else self.begun
        if self._session is None or (self._last is not None and self._last.final and t - self._last.t >= REST_S):
            self._session = self.engine.session()
            self._last = None
        if self._last is not None and self._last.final:
            self.engine.idle(t, within_ms=IDLE_MS)
            return self._last
        self._last = self._session.step(frame, t=t, color="rgb")
        self.denied += self._last.final and self._last.adapted
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
        adaptation=adaptation(None),
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
        adaptation=adaptation(t),
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


def adaptation(t: float | None) -> dict[str, Any] | None:
    """Say what has been learnt, and how much of what learning may spend is spent; `None` if the engine does not adapt.

    `spent_share` is over what the budget has granted since the first frame, by its long-run rate.
    """
    adapter = watcher.adapter
    if adapter is None:
        return None
    budget = adapter.budget
    passed_s = 0.0 if t is None or watcher.begun is None else t - watcher.begun
    granted_ms = budget.time.refill_per_s * passed_s
    return {
        "adapted": adapter.adapted,
        "band": adapter.band.value,
        "counts": adapter.counts,
        "denied": watcher.denied,
        "threshold": adapter.anchor.threshold if math.isfinite(adapter.anchor.threshold) else None,
        "spent_ms": budget.spent_ms,
        "spent_share": budget.spent_ms / granted_ms if granted_ms > 0 else 0.0,
    }


def _rgb(pixels: Any, width: int, height: int) -> npt.NDArray[np.uint8]:
    rgba = np.empty((height, width, 4), np.uint8)
    pixels.assign_to(rgba.reshape(-1))
    return np.ascontiguousarray(rgba[..., :3])


def _stages(copy_s: float, answer_s: float) -> dict[str, float]:
    ms = watcher.stopwatch.ms
    return {"copy": 1e3 * copy_s, **ms, "rest": 1e3 * answer_s - sum(ms.values())}


def _json(**values: Any) -> str:
    return json.dumps(to_json(values))
