"""Plots as SVG text: no library, no script, nothing fetched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40
COLORS = (
    "#222222", "#d1495b", "#00798c", "#edae49", "#66a182", "#8d5fb0",
    "#2e4057", "#c97b3d", "#5b8fd6", "#9a9a3c", "#b35a8f",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its label, its ends, and ticks as (position, text)."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its points, in the units of the axes; `nan` breaks it."""

    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


def linear_axis(label: str, values: Sequence[float], *, low: float | None = None, high: float | None = None) -> Axis:
    """Make an axis that holds all finite values, with round ticks."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low = min(known) if low is None else low
    high = max(known) if high is None else high
    if high <= low:
        high = low + 1.0
    step = 10 ** math.floor(math.log10(high - low))
    step *= next(m for m in (0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / (m * step) <= 6)
    first = math.ceil(low / step - 1e-9)
    ticks = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(label, low, high, tuple((tick, f"{tick:.6g}") for tick in ticks))


def line_chart(series: Mapping[str, Series], *, x: Axis, y: Axis) -> str:
    """Draw lines over axes, with a legend below."""
    body = _frame(x, y)
    for i, one in enumerate(series.values()):
        # Past the last colour they begin again, dotted.
        dots = "5 4" if one.dashed else "2 2" if i >= len(COLORS) else ""
        dash = f' stroke-dasharray="{dots}"' if dots else ""
        color = COLORS[i % len(COLORS)]
        body += [
            f'<polyline fill="none" stroke="{color}" stroke-width="1.6"{dash} points="{points}"/>'
            for points in _runs(one, x, y)
        ]
    return _svg(body, list(series))


def dot_chart(dots: Mapping[str, tuple[float, float, float]], *, x: Axis) -> str:
    """Draw an estimate with its interval per name, one below the other, and a line at 0."""
    row = 24
    height = TOP + row * len(dots) + BOTTOM
    left = 205
    y_end = height - BOTTOM

    def at(value: float) -> float:
        return left + (min(max(value, x.low), x.high) - x.low) / (x.high - x.low) * (WIDTH - left - RIGHT)

    body = [
        f'<line x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="{TOP}" y2="{y_end}" stroke="#e3e3e3"/>'
        f'<text x="{at(tick):.1f}" y="{y_end + 14}" text-anchor="middle">{escape(text)}</text>'
        for tick, text in x.ticks
    ]
    if x.low <= 0 <= x.high:
        body.append(f'<line x1="{at(0):.1f}" x2="{at(0):.1f}" y1="{TOP}" y2="{y_end}" stroke="#222"/>')
    for i, (name, (value, low, high)) in enumerate(dots.items()):
        y, color = TOP + row * (i + 0.5), COLORS[i % len(COLORS)]
        body.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        if math.isfinite(low) and math.isfinite(high):
            body.append(
                f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{y}" y2="{y}" stroke="{color}" stroke-width="2"/>'
            )
        if math.isfinite(value):
            body.append(f'<circle cx="{at(value):.1f}" cy="{y}" r="4" fill="{color}"/>')
    body.append(f'<text x="{(left + WIDTH) / 2}" y="{height - 6}" text-anchor="middle">{escape(x.label)}</text>')
    return _svg(body, [], height=height)


def steps(edges: Sequence[float], heights: Sequence[float]) -> Series:
    """Make the outline of a histogram with `len(heights) + 1` edges."""
    x = np.repeat(np.asarray(edges, np.float64), 2)[1:-1]
    return Series(x.tolist(), np.repeat(np.asarray(heights, np.float64), 2).tolist())


def _runs(series: Series, x: Axis, y: Axis) -> list[str]:
    runs: list[list[str]] = [[]]
    for a, b in zip(series.x, series.y, strict=True):
        if math.isnan(a) or math.isnan(b):
            runs.append([])
            continue
        runs[-1].append(f"{_across(min(max(a, x.low), x.high), x):.1f},{_up(min(max(b, y.low), y.high), y):.1f}")
    return [" ".join(run) for run in runs if len(run) > 1]


def _across(value: float, axis: Axis) -> float:
    return LEFT + (value - axis.low) / (axis.high - axis.low) * (WIDTH - LEFT - RIGHT)


def _up(value: float, axis: Axis) -> float:
    return HEIGHT - BOTTOM - (value - axis.low) / (axis.high - axis.low) * (HEIGHT - TOP - BOTTOM)


def _frame(x: Axis, y: Axis) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    body = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#888"/>']
    for tick, text in x.ticks:
        at = _across(tick, x)
        body.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}" stroke="#eee"/>')
        body.append(f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{escape(text)}</text>')
    for tick, text in y.ticks:
        at = _up(tick, y)
        body.append(f'<line x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#eee"/>')
        body.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    body.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>')
    middle = (TOP + bottom) / 2
    body.append(f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{escape(y.label)}</text>')
    return body


def _svg(body: list[str], legend: list[str], *, height: int = HEIGHT) -> str:
    columns = 2
    rows = -(-len(legend) // columns)
    total = height + 18 * rows
    for i, name in enumerate(legend):
        left, top = LEFT + (i % columns) * 250, height + 18 * (i // columns) + 4
        body.append(f'<rect x="{left}" y="{top}" width="12" height="4" fill="{COLORS[i % len(COLORS)]}"/>')
        body.append(f'<text x="{left + 18}" y="{top + 7}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img">{"".join(body)}</svg>'
    )
