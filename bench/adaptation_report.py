"""Tables of what `bench/adaptation.py` ran.

    python bench/adaptation_report.py runs/adaptation --write bench/results/adaptation --pages README.md

Every frame is answered before anything is learnt (prequential), `idle` is called after every frame, threshold: EER on
the source's development sessions, frozen. Differences to the source model are paired, their intervals over sessions.
Work is billed as calibrated, so that a run can be had again. Bias: see `bench/adaptation_sources.py`; sources and
targets come from one simulator.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from adaptation import ABLATED, CLEAN, CONFIRMING, GROUPS, PAUSE_S, TONE, WORST
from adaptation_variants import BASELINES, PARTS, TRUTH


@dataclass(frozen=True, eq=False)
class Figures:
    """Rates of one run, by session, for both networks."""

    record: dict
    phase: str = ""

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Count the passing frames of each session, (2, N) source and answered; and frames, (N,)."""
        r, ends = self.record, np.cumsum(self.record["frames"])
        passing = [
            [part.sum() for part in np.split(np.array(r[name]) >= r["threshold"], ends[:-1])]
            for name in ("source", "answered")
        ]
        keep = np.array([not self.phase or p == self.phase for p in r["phases"]])
        return np.array(passing)[:, keep], np.array(r["frames"])[keep]

    def rates(self, weights: np.ndarray) -> np.ndarray:
        """Worst APCER, BPCER, ACER, of source and answered, for session weights (R, N): (R, 2, 3)."""
        passing, frames = self.table()
        keep = [not self.phase or p == self.phase for p in self.record["phases"]]
        species = np.array(self.record["species"])[keep]
        by_kind = {}
        for kind in np.unique(species):
            of = weights * (species == kind)
            by_kind[str(kind)] = (of @ passing.T) / (of @ frames)[:, None]
        bpcer = 1 - by_kind.pop("live") if "live" in by_kind else np.full((len(weights), 2), np.nan)
        worst = np.max(list(by_kind.values()), axis=0) if by_kind else np.full((len(weights), 2), np.nan)
        return np.stack([worst, bpcer, (worst + bpcer) / 2], axis=-1)

    def sessions(self) -> int:
        return len(self.table()[1])

    def differences(self, resamples: int = 1000) -> tuple[np.ndarray, np.ndarray]:
        """Rates (2, 3) in points, and 95 % intervals of answered less source (2, 3), sessions resampled in pairs."""
        n = self.sessions()
        value = 100 * self.rates(np.ones((1, n)))[0]
        draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=resamples)
        with np.errstate(invalid="ignore"):
            rates = 100 * self.rates(draws)
        return value, np.nanquantile(rates[:, 1] - rates[:, 0], (0.025, 0.975), axis=0)

    def oracle(self) -> float:
        """ACER of the source at the best threshold for this very stream, in points: a ceiling."""
        r = self.record
        logits = np.array(r["source"])
        kinds = np.repeat(r["species"], r["frames"])
        best = 1.0
        for threshold in np.quantile(logits, np.linspace(0, 1, 201)):
            passing = {str(k): float((logits[kinds == k] >= threshold).mean()) for k in np.unique(kinds)}
            bpcer = 1 - passing.pop("live", np.nan)
            best = min(best, (max(passing.values(), default=np.nan) + bpcer) / 2)
        return 100 * best


def row(record: dict, phase: str = "") -> dict:
    figures = Figures(record, phase)
    value, interval = figures.differences()
    named = {}
    for place, name in enumerate(("apcer", "bpcer", "acer")):
        low, high = interval[:, place]
        named[name] = [round(float(x), 2) for x in (value[0, place], value[1, place], low, high)]
    return {
        "variant": record["job"][0], "source": record["job"][1], "change": record["job"][2], "stream": record["job"][3],
        "order": record["job"][4], "phase": phase, "sessions": figures.sessions(), **named,
        "oracle": round(figures.oracle(), 2) if not phase else None, "adapted": round(record["adapted"], 3),
        "commits": record["counts"]["commits"], "rollbacks": record["counts"].get("rollbacks", 0),
        "share_of_time": round(record.get("spent_ms", 0.0) / 1e3 / (len(record["frames"]) * (PAUSE_S + 1.2)), 6),
    }  # fmt: skip


def ours_of(rows: list[dict], names: tuple[str, ...], variant: str = "ratta") -> list[dict]:
    return [r for r in rows if r["variant"] == variant and r["source"] in names]


def mean_of(rows: list[dict], key: str) -> float:
    return float(np.mean([r[key][1] - r[key][0] for r in rows]))


def summary(rows: list[dict]) -> list[str]:
    """Say of each group of sources what the rule gave and what it cost.

    The highest rises are those of whole streams and of each phase of a stream. The oracle threshold is the best for the
    very stream, and "saves" something by chance where no camera has changed: the last column leaves that out.
    """
    lines = ["| sources | runs | highest ACER rise | highest worst-species APCER rise | tone shifts: mean ACER change"]
    lines[0] += " | of what the oracle threshold saves | beyond what it saves without a change |"
    lines.append("|---" * 7 + "|")
    for title, names in GROUPS.items():
        ours = ours_of(rows, names)
        if not ours:
            continue
        rises = [np.nanmax([r[k][1] - r[k][0] for r in ours]) for k in ("acer", "apcer")]
        ours = [r for r in ours if not r["phase"]]
        tone = [r for r in ours if r["change"] in TONE and r["stream"] == "sessions"]
        saved = sum(r["acer"][0] - r["acer"][1] for r in tone)
        could = sum(r["acer"][0] - r["oracle"] for r in tone)
        clean = [r["acer"][0] - r["oracle"] for r in ours if r["change"] == CLEAN and r["stream"] == "sessions"]
        beyond = could - len(tone) * float(np.mean(clean))
        cells = (f"{title} {', '.join(names)}", str(len(ours)), f"{rises[0]:+.1f}", f"{rises[1]:+.1f}")
        lines.append(
            f"| {' | '.join(cells)} | {-saved / len(tone):+.2f} | {saved / could:.0%} | {saved / beyond:.0%} |"
        )
    return lines


def page_table(rows: list[dict]) -> str:
    """Lay out the worst changes of tone for README and docs: first order of each source, group by group."""
    changes = (*WORST, CLEAN)
    lines = [f"| ACER %, source model -> adapting, difference [95 % over sessions] | {' | '.join(changes)} |"]
    lines.append("|---" * (len(changes) + 1) + "|")
    first: dict[tuple, dict] = {}
    for r in rows:
        if r["variant"] == "ratta" and r["stream"] == "sessions":
            first.setdefault((r["source"], r["change"]), r)
    for title, names in GROUPS.items():
        for name in sorted(names):
            found = [first.get((name, change)) for change in changes]
            lines.append(f"| {name} ({title.removesuffix(' on')}) | {' | '.join(_page_cell(r) for r in found)} |")
    return "\n".join([*lines, "", *summary(rows), "", *beside_table(rows)])


def beside_table(rows: list[dict]) -> list[str]:
    """Other methods and the two ceilings beside the rule: mean over the confirming sources, in points."""
    changes, names = (*WORST, CLEAN), CONFIRMING[:3]
    lines = [f"| ACER change, mean of {', '.join(names)} (worst-species APCER) | {' | '.join(changes)} |"]
    lines.append("|---" * (len(changes) + 1) + "|")

    def of(variant: str, change: str) -> list[dict]:
        where = (change, "sessions")
        return [r for r in ours_of(rows, names, variant) if (r["change"], r["stream"]) == where and r["order"] < 71]

    for variant in ("ratta", *BASELINES, TRUTH):
        found = [of(variant, change) for change in changes]
        cells = [f"{mean_of(f, 'acer'):+.1f} ({mean_of(f, 'apcer'):+.1f})" if f else "not run" for f in found]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    found = [of("ratta", change) for change in changes]
    cells = [f"{np.mean([r['oracle'] - r['acer'][0] for r in f]):+.1f}" if f else "not run" for f in found]
    return [*lines, f"| oracle threshold | {' | '.join(cells)} |"]


def parts_table(rows: list[dict]) -> list[str]:
    """Show the rule with one part switched off, on one source: differences to the source model, in points."""
    places = [(change, "sessions", "") for change in WORST[:2]]
    places += [(WORST[0], "attack-only", "flood")]
    titles = [f"{change}, {stream}{f', {phase}' if phase else ''}" for change, stream, phase in places]
    lines = [
        f"| {ABLATED}: ACER change (worst-species APCER) | {' | '.join(titles)} |",
        "|---" * (len(places) + 1) + "|",
    ]
    for variant in ("ratta", *PARTS):
        cells = []
        for change, stream, phase in places:
            key = (change, stream, phase)
            these = [
                r
                for r in ours_of(rows, (ABLATED,), variant)
                if (r["change"], r["stream"], r["phase"]) == key and r["order"] in (5, 11)
            ]
            cells.append(" ".join(f"{_points(r, 'acer')} ({_points(r, 'apcer')})" for r in these[:1]) or "not run")
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return lines


def _points(r: dict, key: str) -> str:
    change = r[key][1] - r[key][0]
    return "-" if np.isnan(change) else f"{change:+.1f}" if change else "0"


def _page_cell(r: dict | None) -> str:
    if r is None:
        return "not run"
    before, after, low, high = r["acer"]
    if before == after:
        return f"{before:.1f}, same"
    return f"{before:.1f} -> {after:.1f}, {after - before:+.1f} [{low:+.1f}, {high:+.1f}]"


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page."""
    begin, end = "<!-- adaptation:begin -->", "<!-- adaptation:end -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def report(runs: list[Path], write: Path, pages: list[Path]) -> None:
    records = [json.loads(line) for path in runs for line in (path / "runs.jsonl").read_text().splitlines()]
    rows = []
    for record in records:
        rows.append(row(record))
        rows += [row(record, phase) for phase in dict.fromkeys(record["phases"]) if len(set(record["phases"])) > 1]
    write.mkdir(parents=True, exist_ok=True)
    (write / "adaptation.json").write_text(json.dumps(rows, indent=0) + "\n")
    lines = ["# Adaptation against the source model", "", *(__doc__ or "").strip().splitlines()[-4:], ""]
    head = ("variant", "source", "change", "stream", "sessions", "APCER %", "BPCER %", "ACER %")
    head += ("ACER difference (95 %)", "oracle threshold", "adapted")
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in rows:
        shown = [f"{r[k][0]:.1f} -> {r[k][1]:.1f}" for k in ("apcer", "bpcer", "acer")]
        change = r["acer"][1] - r["acer"][0]
        where = f"{r['stream']}{', ' + r['phase'] if r['phase'] else ''}"
        lines.append(
            f"| {r['variant']} | {r['source']} | {r['change']} | {where} | {r['sessions']} | {' | '.join(shown)} | "
            f"{change:+.1f} [{r['acer'][2]:+.1f}, {r['acer'][3]:+.1f}] | {r['oracle'] or ''} | {r['adapted']:.0%} |"
        )
    lines[7:7] = [*summary(rows), "", *beside_table(rows), "", *parts_table(rows), ""]
    (write / "adaptation.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-len(rows) :]))
    for page in pages:
        put_into(page, page_table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders that bench/adaptation.py wrote")
    parser.add_argument("--write", type=Path, required=True)
    parser.add_argument(
        "--pages", type=Path, nargs="*", default=[], help="Markdown with marks to put the table between"
    )
    args = parser.parse_args()
    report(args.runs, args.write, args.pages)


if __name__ == "__main__":
    main()
