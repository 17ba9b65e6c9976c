"""A result as text: the table of a run, and two runs side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.bench.device import Device
    from ratta.bench.memory import Phases
    from ratta.bench.result import Result, Swap, Target, Timing
    from ratta.bench.timing import Ratio


def render(result: Result) -> str:
    """Return the result as plain text for a terminal of 100 columns."""
    device, settings, model = result.device, result.settings, result.model
    versions = ", ".join(f"{name} {version}" for name, version in device.versions.items())
    ran = f"{settings.runtime}, {settings.threads} thread(s), {settings.frame} frames, face {settings.face_px:.0f} px"
    lines = [
        device_line(device),
        f"system    {device.system} {device.release}, {device.python}; {versions}",
        f"model     {model.name} {model.version} ({model.sha256[:12]}), {model.input_px} px, "
        f"{model.graph_bytes / 1e6:.2f} MB",
        f"run       {ran}, {result.created}",
        *busy_lines(device, threads=settings.threads),
        "",
        *_timing_lines(result.timings),
        "",
        *_scene_lines(result),
        "",
        *(target_line(target) for target in result.targets),
        "",
        swap_line(result.swap),
    ]
    return "\n".join(line.rstrip() for line in lines)


def device_line(device: Device) -> str:
    """Say in one line what was measured on."""
    cores = f"{_shown(device.usable_cores)} of {_shown(device.cores)} cores"
    return (
        f"device    {device.cpu or device.architecture}, {cores}, governor {device.governor or 'not readable'}, "
        f"load {_number(device.load_1min)}"
    )


def target_line(target: Target) -> str:
    """Return one limit with what was measured and whether it was met."""
    verdict = ("met" if target.met else "missed") + (" (within noise)" if target.unsure else "")
    interval = "" if math.isnan(target.low) else f" [{target.low:.3g}, {target.high:.3g}]"
    limit = f"{target.limit:g} {target.unit}" + (f" ({target.clock})" if target.clock else "")
    return f"target    {target.quantity}: {target.measured:.3g}{interval} <= {limit}: {verdict}"


def swap_line(swap: Swap) -> str:
    """Return the one line to compare models by.

    Examples
    --------
    >>> from ratta.bench.result import Swap
    >>> swap_line(Swap(ms=2.0, mb=4.5, acer=0.031, mj=float("nan"), mj_measured=False))
    'SWAP      2.00 ms | 4.50 MB | ACER 3.1 % | n/a mJ'
    """
    acer = "n/a" if math.isnan(swap.acer) else f"{100 * swap.acer:.1f} %"
    energy = _number(swap.mj) + ("" if math.isnan(swap.mj) or swap.mj_measured else " (modelled)")
    return f"SWAP      {swap.ms:.2f} ms | {swap.mb:.2f} MB | ACER {acer} | {energy} mJ"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows as text: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]


def compare(a: Result, b: Result) -> str:
    """Return a text that sets result `b` beside result `a`.

    Milliseconds compare only on the same quiet device; the change of the ratio to the bare run holds elsewhere too.
    """
    names = [name for name in a.timings if name in b.timings]
    rows = [(name, *_row(a.timings[name], b.timings[name])) for name in names]
    lines = [f"A  {_title(a)}", f"B  {_title(b)}", *_warnings(a, b), ""]
    lines += table(("p50 ms", "A", "B", "B / A", "A x bare", "B x bare", "B / A"), rows)
    only = [name for name in (*a.timings, *b.timings) if name not in names]
    lines += [f"only in one of them: {', '.join(only)}"] if only else []
    return "\n".join([*lines, "", f"A {swap_line(a.swap)}", f"B {swap_line(b.swap)}"])


def _timing_lines(timings: dict[str, Timing]) -> list[str]:
    head = ("ms", "p50", "p95", "p99", "min", "cpu p50", "x bare run [95 %]", "by cpu [95 %]")
    rows = []
    for name, timing in timings.items():
        wall = timing.wall_ms
        times = (wall.p50, wall.p95, wall.p99, wall.min, timing.cpu_ms.p50)
        ratios = (_ratio(timing.wall_ratio), _ratio(timing.cpu_ratio))
        rows.append((name, *(f"{time:.3f}" for time in times), *ratios))
    return table(head, rows)


def busy_lines(device: Device, *, threads: int) -> list[str]:
    """Say so where other work had the processors; nothing where it had not, or where that is not known."""
    load, cores = device.load_1min, device.usable_cores or device.cores
    if load is None or cores is None or load + threads <= cores:
        return []
    return [f"!         busy: load {load:.1f} on {cores} cores; wall times hold waiting, trust the ratios by cpu"]


def _scene_lines(result: Result) -> list[str]:
    lines, cold, rate, steady, energy = [], result.cold_start, result.throughput, result.sustained, result.energy
    if cold is not None:
        lines.append(
            f"cold      {_start(cold.wall_ms)}; by cpu {_start(cold.cpu_ms)} (median of {cold.repeats} processes)"
        )
        lines.append(
            f"memory    {_number(cold.rss_import_mb)} MB after imports, {_number(cold.rss_load_mb)} after load, "
            f"{_number(cold.rss_run_mb)} after 30 frames, peak {_number(cold.peak_mb)}"
        )
    if rate is not None:
        lines.append(
            f"rate      {rate.reached_fps:.1f} of {rate.target_fps:.0f} frames/s, {100 * rate.late:.1f} % late, "
            f"answer p95 {rate.answer_ms.p95:.2f} ms, {100 * rate.cpu_share:.0f} % of a core"
        )
    if steady is not None:
        lines.append(
            f"sustained {steady.frames} frames in {steady.seconds:.1f} s, last third {steady.drift:.3f} x first third, "
            f"{_number(steady.start_c)} -> {_number(steady.end_c)} degrees C"
        )
    if energy is not None:
        kind = "measured" if energy.measured else "modelled"
        lines.append(f"energy    {energy.mj_per_frame:.2f} mJ/frame, {kind}: {energy.source}, {energy.scope}")
    else:
        lines.append("energy    n/a: no meter can be read here, or not in so short a run (docs/benchmarks.md)")
    return lines


def _start(phases: Phases) -> str:
    return (
        f"imports {phases.base_import:.0f} ms + ratta {phases.ratta_import:.1f}, load {phases.load:.1f}, "
        f"first answer {phases.first_answer:.1f}"
    )


def _ratio(ratio: Ratio | None) -> str:
    return "1" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _number(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.3g}"


def _shown(value: object) -> str:
    return "?" if value is None else str(value)


def _row(a: Timing, b: Timing) -> tuple[str, ...]:
    a_ratio = a.wall_ratio.value if a.wall_ratio else 1.0
    b_ratio = b.wall_ratio.value if b.wall_ratio else 1.0
    ms = (a.wall_ms.p50, b.wall_ms.p50, _over(b.wall_ms.p50, a.wall_ms.p50))
    return tuple(f"{value:.3f}" for value in (*ms, a_ratio, b_ratio, _over(b_ratio, a_ratio)))


def _warnings(a: Result, b: Result) -> list[str]:
    lines = []
    if (a.device.cpu, a.device.architecture) != (b.device.cpu, b.device.architecture):
        lines.append("!  not the same device: compare the ratios, not the milliseconds")
    if a.model.sha256 != b.model.sha256:
        lines.append("!  not the same model")
    if (a.settings.runtime, a.settings.threads) != (b.settings.runtime, b.settings.threads):
        lines.append("!  not the same runtime and threads")
    return lines


def _title(result: Result) -> str:
    device, model = result.device, result.model
    return (
        f"{result.created}  {device.cpu or device.architecture}  {model.name} {model.version} ({model.sha256[:12]})  "
        f"{result.settings.runtime} x{result.settings.threads}"
    )


def _over(upper: float, lower: float) -> float:
    return upper / lower if lower else math.nan
