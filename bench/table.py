"""Make the README's table of measured figures from the committed results, or check that it is up to date.

Example::

    python bench/table.py            # prints the table
    python bench/table.py --write    # puts it between the markers in README.md
    python bench/table.py --check    # status 1 when README.md holds another one
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import peers_builders
from peers import PeersResult, Row, lead, read_peers

from ratta.bench.report import swap_line
from ratta.bench.result import Result, Target, read_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.bench.device import Device

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def tables(results: Path) -> str:
    """Return Markdown for every device's folder: targets from `ratta.json`, peers from `peers.json`."""
    parts = []
    for folder in sorted(path for path in results.iterdir() if (path / "ratta.json").is_file()):
        parts.append(targets_table(read_result(folder / "ratta.json"), folder.name))
        if (folder / "peers.json").is_file():
            parts.append(peers_table(read_peers(folder / "peers.json"), folder.name))
    return "\n\n".join(parts)


def targets_table(result: Result, name: str) -> str:
    """Return the design's limits beside what one device measured."""
    settings = result.settings
    lines = [
        f"{describe(result.device)}; {settings.threads} thread, {settings.frame} frames, face {settings.face_px:.0f} "
        f"px, {result.model.name} ([`ratta.json`](bench/results/{name}/ratta.json)). Ratios are by CPU time over the "
        "bare run, one `session.run` of the same network in the same process.",
        "",
        *markdown(("quantity", "measured", "target", ""), [_target_row(target) for target in result.targets]),
        "",
        f"`{swap_line(result.swap)}`",
    ]
    return "\n".join(lines)


def peers_table(result: PeersResult, name: str) -> str:
    """Return the peers of one run as ratios to ratta's bare run."""
    bare = next(row for row in result.rows if row.name == "ratta: bare run")
    lines = [
        f"Interleaved in one run, {result.rounds} rounds, each in a process of its own; 1x is ratta's bare run, "
        f"{bare.cpu_ms.p50:.2f} ms ([`peers.json`](bench/results/{name}/peers.json)).",
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
    virtual = " (virtual)" if device.hypervisor else ""
    versions = ", ".join(
        f"{name} {device.versions[name]}" for name in ("numpy", "onnxruntime") if name in device.versions
    )
    cpu = device.cpu or device.architecture
    return f"{cpu}{virtual}, {device.cores} cores, {device.system}, {device.python}, {versions}"


def replaced(text: str, table: str) -> str:
    """Put a table between the markers.

    Raises
    ------
    SystemExit
        If the markers are not there, once each and in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md: expected the markers {BEGIN} and {END}, found them not; add them")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    arguments = parser.parse_args(argv)
    table = tables(arguments.results)
    if not (arguments.write or arguments.check):
        print(table)
        return 0
    text = arguments.readme.read_text(encoding="utf-8")
    wanted = replaced(text, table)
    if arguments.write:
        arguments.readme.write_text(wanted, encoding="utf-8")
        return 0
    if wanted != text:
        print("README.md: the table is not that of bench/results; run python bench/table.py --write", file=sys.stderr)
    return int(wanted != text)


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
