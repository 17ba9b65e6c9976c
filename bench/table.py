"""Fill README and docs with measured figures from the committed results, or check that they are up to date.

Example::

    python bench/table.py            # lists every block and figure, with the model it was measured with
    python bench/table.py --write    # fills them all
    python bench/table.py --check    # status 1 if a page differs from the results, or README names another model

Markers are described in `bench/pages.py`. In README.md every figure must be of the shipped model; in docs an older one
is allowed, because its block says so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import peers_builders
from pages import Place, Results, Stamp, filled, open_results, places, remember_models
from peers import PeersResult, Row, lead, read_peers

from ratta.bench.report import swap_line
from ratta.bench.result import Result, Target, read_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.bench.device import Device

ROOT = Path(__file__).resolve().parent.parent
STRICT = "README.md"


def devices(results: Results) -> tuple[str, list[Stamp]]:
    """Lay out every device's targets, each from its `ratta.json`."""
    parts, stamps = [], []
    for name in device_names(results, "ratta.json"):
        result = read_result(results.folder / name / "ratta.json")
        stamp = results.stamp(f"{name}/ratta.json")
        parts.append(targets_table(result, name, results.describe(stamp)))
        stamps.append(stamp)
    return "\n\n".join(parts), stamps


def peers(results: Results) -> tuple[str, list[Stamp]]:
    """Lay out every device's comparison with other software, each from its `peers.json`."""
    parts, stamps = [], []
    for name in device_names(results, "peers.json"):
        stamp = results.stamp(f"{name}/peers.json")
        parts.append(peers_table(read_peers(results.folder / name / "peers.json"), name, results.describe(stamp)))
        stamps.append(stamp)
    return "\n\n".join(parts), stamps


def cost(results: Results) -> tuple[str, list[Stamp]]:
    """Milliseconds of a frame on every device, and megabytes that have to be there: a table for the README."""
    rows, stamps = [], []
    for name in device_names(results, "ratta.json"):
        result = read_result(results.folder / name / "ratta.json")
        stamps.append(results.stamp(f"{name}/ratta.json"))
        step, pipeline = (result.timings[key].cpu_ms.p50 for key in ("step, box given", "pipeline"))
        needed = (result.model.bundle_bytes + result.model.detector_bytes) / 1e6
        rows.append((describe_short(result.device), f"{pipeline:.2f}", f"{step:.2f}", f"{needed:.1f}"))
    head = ("one thread, 640x480", "ms a frame", "ms, face box given", "MB on the device")
    return "\n".join(markdown(head, rows)), stamps


GENERATORS = {"devices": devices, "peers": peers, "cost": cost}


def device_names(results: Results, file: str) -> list[str]:
    """Return the folders of devices that have a result of that name."""
    return sorted(path.parent.name for path in results.folder.glob(f"*/{file}"))


def targets_table(result: Result, name: str, model: str) -> str:
    """Return the design's limits beside what one device measured."""
    settings = result.settings
    lines = [
        f"### {describe_short(result.device)}\n\n{describe(result.device)}; {settings.threads} thread, "
        f"{settings.frame} frames, face {settings.face_px:.0f} px, {result.model.name}, {model}, "
        f"{result.created[:10]} ([`ratta.json`](../bench/results/{name}/ratta.json)).",
        "",
        *markdown(("quantity", "measured", "target", ""), [_target_row(target) for target in result.targets]),
        "",
        f"`{swap_line(result.swap)}`",
    ]
    return "\n".join(lines)


def peers_table(result: PeersResult, name: str, model: str) -> str:
    """Return the peers of one run as ratios to ratta's bare run."""
    bare = next(row for row in result.rows if row.name == "ratta: bare run")
    lines = [
        f"### {describe_short(result.device)}\n\nInterleaved in one run, {result.rounds} rounds, each in a process of "
        f"its own; 1x is ratta's bare run, {bare.cpu_ms.p50:.2f} ms; {result.model}, {model}, {result.created[:10]} "
        f"([`peers.json`](../bench/results/{name}/peers.json)).",
        "",
    ]
    rows: list[Sequence[str]] = []
    for group in peers_builders.GROUPS:
        rows.append((f"**{group}**", "", "", ""))
        rows += [_peer_row(row) for row in result.rows if row.group == group]
    lines += markdown(("", "CPU ms, p50", "x bare run, by CPU", "memory"), rows)
    target = lead(result)
    if target is not None:
        verdict = "met" if target.met else "missed"
        lines.append(f"\n{target.quantity}: {target.measured:.3f}x; the target is at most a third: {verdict}.")
    lines += [f"\nNot run: {', '.join(skipped.name for skipped in result.skipped)}."] if result.skipped else []
    return "\n".join(lines)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a Markdown table, figures to the right."""
    align = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (head, align, *rows)]


def describe(device: Device) -> str:
    """Return one device in words."""
    versions = ", ".join(
        f"{name} {device.versions[name]}" for name in ("numpy", "onnxruntime") if name in device.versions
    )
    return f"{describe_short(device)}, {device.cores} cores, {device.system}, {device.python}, {versions}"


def describe_short(device: Device) -> str:
    """Return the processor in words."""
    return (device.cpu or device.architecture) + (" (virtual)" if device.hypervisor else "")


def pages_of(root: Path) -> list[Path]:
    """Return the pages that may hold figures."""
    return [root / STRICT, *sorted((root / "docs").glob("*.md"))]


def complaints(found: Sequence[Place]) -> list[str]:
    """Say what is wrong: stale content, and another model than the shipped one where that is not allowed."""
    lines = [
        f"{place.page}:{place.line}: {place.name}: not what the results say; run python bench/table.py --write"
        for place in found
        if place.stale
    ]
    for place in found:
        says_so = place.page != STRICT and "#" not in place.name
        if not place.shipped and not says_so:
            lines.append(f"{place.page}:{place.line}: {place.name}: measured with {place.model}; measure again")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    arguments = parser.parse_args(argv)
    root: Path = arguments.root
    results = open_results(root)
    every: list[Place] = []
    broken: list[str] = []
    for page in pages_of(root):
        text = page.read_text(encoding="utf-8")
        try:
            found = list(places(page, text, results, GENERATORS))
        except SystemExit as error:  # the other pages are done all the same
            broken.append(str(error))
            continue
        every += found
        if arguments.write and any(place.stale for place in found):
            page.write_text(filled(text, {(p.line, p.name): p.wanted for p in found}), encoding="utf-8")
    if not (arguments.write or arguments.check):
        for place in every:
            print(f"{place.page}:{place.line}: {place.name}: {place.model}{', stale' if place.stale else ''}")
        print("\n".join(broken), file=sys.stderr) if broken else None
        return int(bool(broken))
    wrong = [*broken, *complaints(every)]
    if arguments.write:
        remember_models(results)
        wrong = [line for line in wrong if "--write" not in line]
    print("\n".join(wrong), file=sys.stderr) if wrong else None
    return int(bool(wrong))


def _target_row(target: Target) -> tuple[str, str, str, str]:
    unit = "x" if target.unit == "x" else f" {target.unit}"
    verdict = ("met" if target.met else "missed") + (", within noise" if target.unsure else "")
    return target.quantity, f"{target.measured:.3g}{unit}", f"<= {target.limit:g}{unit}", verdict


def _peer_row(row: Row) -> tuple[str, str, str, str]:
    ratio = row.cpu_ratio
    memory = "" if row.rss_mb is None else f"{row.rss_mb:.0f} MB"
    return row.name, f"{row.cpu_ms.p50:.2f}", f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]", memory


if __name__ == "__main__":
    sys.exit(main())
