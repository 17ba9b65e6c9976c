"""`ratta-bench budget`: what learning costs here, piece by piece, and the settings that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ratta.adaptation.anchors import LEAST_SESSIONS
from ratta.adaptation.budget import Allowance, allowance_for
from ratta.adaptation.records import VIEWED_FRAMES
from ratta.adaptation.views import VIEWS
from ratta.bench.device import Device, read_device
from ratta.bench.energy import find_meter, meter_loop
from ratta.bench.frames import Stream, portrait_frames
from ratta.bench.rehearsal import PIECES, READ, REFIT, STUDY, VIEW, rehearse
from ratta.bench.report import busy_lines, device_line, table
from ratta.bench.scenarios import STREAM_FPS, Answering, check_scored
from ratta.bench.timing import Contestant, Spread, race, spread
from ratta.errors import InputError
from ratta.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = "ratta-budget/1"
PIPELINE = "a camera's frame, answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """When something can be learnt at the earliest.

    Attributes
    ----------
    attempts : int
        Live sessions needed: by the rules, and by what may be spent in a session.
    work_ms : float
        All of the work.
    seconds : float
        Until the allowance has granted that much.
    """

    attempts: int
    work_ms: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was measured, and the settings of `Adaptation` that follow from it.

    Attributes
    ----------
    pieces : dict of str to Spread
        Wall milliseconds: what learning is billed by.
    inference_ms : float
        The least by which no piece is expected (95th percentile) to cost more than the budget takes it for.
    time : Allowance
    watts : float or None
        Of one busy core; `None` without a meter.
    watts_source : str
    within_ms : float
        What a camera's frame leaves at `STREAM_FPS` (95th percentile); at or below zero, nothing.
    goals : dict of str to Goal
    """

    schema: str
    created: str
    device: Device
    model: str
    sha256: str
    runtime: str
    threads: int
    share: float
    pieces: dict[str, Spread]
    inference_ms: float
    time: Allowance
    watts: float | None
    watts_source: str
    within_ms: float
    goals: dict[str, Goal]


def advise(
    *,
    model: str,
    runtime: str = "onnxruntime",
    threads: int = 1,
    seconds: float = 10.0,
    share: float = 0.05,
    calibration: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Advice:
    """Rehearse every piece of learning on this device for about `seconds`, and suggest settings.

    Parameters
    ----------
    model, runtime, threads, calibration, say
        As in `ratta.bench.command.measure`.
    seconds : float
        A meter, where there is one, takes as long again, and an idle run.
    share : float
        Of the time that learning may take.

    Raises
    ------
    InputError
        If `share` or `seconds` is out of range.
    BundleError
        If the network gives no embedding.
    """
    if not 0 < share <= 1 or not 0 < seconds <= 3600:
        raise InputError(f"budget: expected share in (0, 1] and seconds in (0, 3600], got {share} and {seconds}")
    scene = portrait_frames()
    rehearsal, engine = rehearse(model, scene, runtime=runtime, threads=threads)
    frame = Answering(Session(engine, open_ended=True).step, Stream(scene, fps=STREAM_FPS), with_box=False)
    check_scored(frame)
    say("pieces of learning, in turns")
    contestants = [*rehearsal.contestants(), Contestant(PIPELINE, frame, calls=round(STREAM_FPS / 2))]
    pieces = {name: spread(samples.wall_ms) for name, samples in race(contestants, seconds=seconds).items()}
    inference_ms = max(pieces[name].p95 for name in PIECES)
    allowance = allowance_for(inference_ms, share=share)
    say("energy")
    watts, watts_source = _watts(frame, seconds=seconds, calibration=calibration)
    return Advice(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        device=read_device(),
        model=engine.bundle.name,
        sha256=engine.bundle.sha256,
        runtime=runtime,
        threads=threads,
        share=share,
        pieces=pieces,
        inference_ms=inference_ms,
        time=allowance,
        watts=watts,
        watts_source=watts_source,
        within_ms=1e3 / STREAM_FPS - pieces[PIPELINE].p95,
        goals=goals(pieces, allowance),
    )


def goals(pieces: dict[str, Spread], allowance: Allowance) -> dict[str, Goal]:
    """Reckon when the first threshold can be had, from confirmed sessions and from gated ones."""
    ms = {name: piece.mean for name, piece in pieces.items()}
    confirmed_ms = ms[STUDY] + ms[REFIT]
    gated_ms = confirmed_ms + VIEWED_FRAMES * VIEWS * ms[VIEW]
    return {
        "a first threshold, sessions confirmed": _goal(LEAST_SESSIONS, confirmed_ms, allowance),
        "a first threshold, sessions gated": _goal(LEAST_SESSIONS, gated_ms, allowance),
    }


def _goal(attempts: int, attempt_ms: float, allowance: Allowance) -> Goal:
    work_ms = attempts * attempt_ms
    return Goal(
        attempts=max(attempts, math.ceil(work_ms / allowance.per_session)),
        work_ms=work_ms,
        seconds=work_ms / allowance.refill_per_s,
    )


def _watts(frame: Answering, *, seconds: float, calibration: Path | None) -> tuple[float | None, str]:
    """Watts of one core that is busy all the time, net of idle, and where they come from, or why there are none."""
    meter = find_meter(calibration=calibration)
    if meter is None:
        return None, "no meter can be read here"
    energy = meter_loop(meter, frame, seconds=seconds, idle_seconds=max(2.0, seconds / 4))
    if energy is None or energy.mj_per_frame <= 0:
        return None, f"{meter.source} gave no reading; it needs {meter.seconds_needed:g} s at least"
    return energy.mj_per_frame * energy.frames / 1e3 / energy.seconds, f"{energy.source}, {energy.scope}"


def render_advice(advice: Advice) -> str:
    """Return the advice as plain text for a terminal of 100 columns."""
    a = advice.time
    amounts = f"per_session={a.per_session:.0f}, per_hour={a.per_hour:.0f}, per_day={a.per_day:.0f}"
    watts = "" if advice.watts is None else f", watts={advice.watts:.2f}"
    lines = [
        device_line(advice.device),
        f"model     {advice.model} ({advice.sha256[:12]}), {advice.runtime}, {advice.threads} thread(s)",
        *busy_lines(advice.device, threads=advice.threads),
        "",
        *table(("learning, wall ms", "p50", "p95", "runs"), _rows(advice)),
        "",
        f"suggested Adaptation(inference_ms={advice.inference_ms:.2f}{watts},",
        f"            time=Allowance(refill_per_s={a.refill_per_s:g}, capacity={a.capacity:.0f}, {amounts}))",
        f"          {100 * advice.share:g} % of the time; `adapt=True` alone times a run itself and takes 5 %",
        _idle_line(advice),
        _watts_line(advice),
    ]
    for what, goal in advice.goals.items():
        lines.append(f"to learn  {what}: {goal.attempts} live sessions,")
        lines.append(f"            {goal.work_ms:.0f} ms of work, granted within {_time(goal.seconds)}")
    return "\n".join(lines)


def _rows(advice: Advice) -> list[tuple[str, ...]]:
    run = advice.pieces[READ].p50
    return [
        (name, f"{piece.p50:.2f}", f"{piece.p95:.2f}", f"{piece.p50 / run:.2f}")
        for name, piece in advice.pieces.items()
    ]


def _idle_line(advice: Advice) -> str:
    if advice.within_ms <= 0:
        return (
            f"idle      a camera's frame leaves nothing at {STREAM_FPS:g} a second: call engine.idle between attempts"
        )
    return f"idle      engine.idle(t, within_ms={advice.within_ms:.0f}): what a frame leaves at {STREAM_FPS:g} a second"


def _watts_line(advice: Advice) -> str:
    if advice.watts is None:
        return f"watts     n/a: {advice.watts_source}; energy is billed by time, its cap says no more than that of time"
    return f"watts     {advice.watts:.2f} of one busy core: {advice.watts_source}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
