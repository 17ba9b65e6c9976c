"""A session's scores over time, a day of attempts, and the cost of a frame, each as an inline SVG."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from ratta.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.camera.day import Moment
    from ratta.camera.playback import StageTimes
    from ratta.records import Decision

WIDTH, HEIGHT = 400, 210
LEFT, RIGHT, TOP, BOTTOM = 30, 392, 12, 168
REFUSED_Y = 178
DAY_HEIGHT = 190


def score_chart(decisions: Sequence[Decision], *, spoof_threshold: float, live_threshold: float, title: str) -> str:
    """Draw each frame's score, the session's score, the verdict bands and the refused frames.

    Parameters
    ----------
    decisions : sequence of Decision
        At least one, in time.
    title : str
        For readers who do not see the picture.

    Returns
    -------
    str
        An `<svg>` element; its classes are the page's.
    """
    end_s = max(decisions[-1].t, 1.0)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_bands(spoof_threshold, live_threshold),
        *_axes(end_s),
        *_session_line(decisions, end_s),
        *(_mark(decision, end_s) for decision in decisions),
        *_final_mark(decisions, end_s),
        "</svg>",
    ]
    return "\n".join(parts)


def day_chart(moments: Sequence[Moment], *, threshold: float, title: str) -> str:
    """Draw a day: the evidence of drift as a line, every attempt's score as a dot, every commit as a broken line.

    Parameters
    ----------
    moments : sequence of Moment
        At least one.
    threshold : float
        From which score on an attempt's frames count as live.
    title : str
        For readers who do not see the picture.

    Returns
    -------
    str
        An `<svg>` element; its classes are the page's.
    """
    end = len(moments)
    parts = [
        f'<svg class="chart day" viewBox="0 0 {WIDTH} {DAY_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_bands(threshold, threshold),
        *(
            f'<text class="tick" x="{LEFT - 6}" y="{_y(v) + 3.5:.1f}" text-anchor="end">{v:g}</text>'
            for v in (0, 0.5, 1)
        ),
        *_day_phases(moments),
        *(_day_mark(moment, i, end) for i, moment in enumerate(moments)),
        "</svg>",
    ]
    return "\n".join(parts)


def cost_bar(stages: StageTimes) -> str:
    """Draw what one frame costs by stage, as one bar to scale.

    Returns
    -------
    str
        An `<svg>` element.
    """
    spent = {"perception": stages.perception_ms, "inference": stages.inference_ms, "decision": stages.decision_ms}
    known = {name: ms for name, ms in spent.items() if math.isfinite(ms)}
    total = sum(known.values()) or 1.0
    shape = f'viewBox="0 0 {WIDTH} 10" preserveAspectRatio="none"'
    parts = [f'<svg class="cost" {shape} role="img" aria-label="milliseconds per stage">']
    x = 0.0
    for name, ms in known.items():
        width = max(WIDTH * ms / total, 1.5)
        parts.append(f'<rect class="{name}" x="{x:.1f}" y="0" width="{width - 1:.1f}" height="10"/>')
        x += width
    return "\n".join([*parts, "</svg>"])


def _x(t: float, end_s: float) -> float:
    return LEFT + (RIGHT - LEFT) * t / end_s


def _y(score: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * score


def _bands(spoof: float, live: float) -> list[str]:
    bands = (("spoof", 0.0, spoof), ("uncertain", spoof, live), ("live", live, 1.0))
    place = f'x="{LEFT}" width="{RIGHT - LEFT}"'
    return [
        f'<rect class="band {name}" {place} y="{_y(high):.1f}" height="{_y(low) - _y(high):.1f}"/>'
        for name, low, high in bands
    ]


def _axes(end_s: float) -> list[str]:
    parts = [
        f'<text class="tick" x="{LEFT - 6}" y="{_y(v) + 3.5:.1f}" text-anchor="end">{v:g}</text>' for v in (0, 0.5, 1)
    ]
    step_s = 0.5 if end_s <= 3 else 1 if end_s <= 6 else 2
    for i in range(int(end_s / step_s + 1e-9) + 1):
        x = _x(i * step_s, end_s)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{i * step_s:g} s</text>')
    return parts


def _session_line(decisions: Sequence[Decision], end_s: float) -> list[str]:
    points = [f"{_x(d.t, end_s):.1f},{_y(d.session_score):.1f}" for d in decisions if math.isfinite(d.session_score)]
    return [f'<polyline class="session" points="{" ".join(points)}"/>'] if points else []


def _mark(decision: Decision, end_s: float) -> str:
    x = _x(decision.t, end_s)
    said = escape(f"{decision.t:.2f} s: {decision.verdict}, {decision.reason}")
    if math.isfinite(decision.live_score):
        place = f'cx="{x:.1f}" cy="{_y(decision.live_score):.1f}" r="2.6"'
        return f'<circle class="dot {decision.verdict}" {place}><title>{said}</title></circle>'
    place = f'x="{x - 1.5:.1f}" y="{REFUSED_Y - 4}" width="3" height="8" rx="1"'
    return f'<rect class="dot {Verdict.REFUSED}" {place}><title>{said}</title></rect>'


def _final_mark(decisions: Sequence[Decision], end_s: float) -> list[str]:
    final = next((d for d in decisions if d.final), None)
    if final is None:
        return []
    x, y = _x(final.t, end_s), (BOTTOM - 6 if final.session_score > 0.5 else TOP + 12)
    return [
        f'<line class="final" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}"/>',
        f'<text class="tick" x="{x - 5:.1f}" y="{y}" text-anchor="end">final</text>',
    ]


def _day_phases(moments: Sequence[Moment]) -> list[str]:
    """Put a number below each part of the day; its name would not fit on a phone and stands in the table."""
    parts, end, begins = [], len(moments), 0
    for number, phase in enumerate(dict.fromkeys(moment.phase for moment in moments), 1):
        ends = begins + sum(moment.phase is phase for moment in moments)
        x, middle = _x(begins, end), _x((begins + ends) / 2, end)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{BOTTOM}"/>')
        parts.append(
            f'<text class="part" x="{middle:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{number}'
            f"<title>{escape(phase.name)}</title></text>"
        )
        begins = ends
    return parts


def _day_mark(moment: Moment, index: int, end: int) -> str:
    kind = Verdict.LIVE if moment.species == "live" else Verdict.SPOOF
    said = escape(f"attempt {index + 1}: {moment.species}, score {moment.score:.2f}, source {moment.source_score:.2f}")
    x = f'cx="{_x(index + 0.5, end):.1f}"'
    dot = f'<circle class="dot {kind}" {x} cy="{_y(moment.score):.1f}" r="2.4"><title>{said}</title></circle>'
    if moment.score == moment.source_score:
        return dot
    return f'<circle class="ring" {x} cy="{_y(moment.source_score):.1f}" r="3.2"/>{dot}'
