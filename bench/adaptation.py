"""Does adaptation help, and does it ever harm? Sources of known provenance, changes of camera of known size.

    python bench/adaptation_sources.py ...                                       # the corpus and the sources, first
    python bench/adaptation.py run --corpus adapt-corpus --sources adapt-sources --output runs/adaptation
    python bench/adaptation.py report --output runs/adaptation --write bench/results/adaptation --pages README.md

Every frame is answered before anything is learnt (prequential), `idle` is called after every frame, threshold: EER on
the source's development sessions, frozen. Differences to the source model are paired, their intervals over sessions.
Work is billed as calibrated, so that a run can be had again. Bias: see `bench/adaptation_sources.py`; sources and
targets come from one simulator.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from ratta.adaptation.adapter import Adapter
from ratta.adaptation.development import make_reference, read_development
from ratta.adaptation.guard import Arbiter, Finding
from ratta.adaptation.reference import Reference
from ratta.adaptation.settings import Early
from ratta.adaptation.tone_development import measure_tones
from ratta.adaptation.tones import ToneMatching
from ratta.adaptation.trials import Trials
from ratta.adaptation.views import Views
from ratta.assembly import make_source_model
from ratta.bundle import read_bundle
from ratta.engine import open_graph
from ratta.evaluate import read_pool
from ratta.evaluate.methods.ours import CalibratedBudget
from ratta.metrics import ScoreSet, choose_threshold
from ratta.records import sigmoid
from ratta.simulate import CHANGES, change_crops

CLEAN = "clean"
TONE = ("dark-1.5", "dark-2.2", "bright-0.7", "bright-0.5", "contrast-0.7", "contrast-0.5", "cast-mild", "cast-strong")
WORST = ("contrast-0.5", "cast-strong", "dark-2.2")
PAUSE_S, STEP_S = 30.0, 0.2
PARTS = ("no penalty", "no table", "no trial", "no arbiter", "moments", "no late")
SOURCES = ("weak-1", "weak-2", "strong-2", "weak-0", "strong-1", "strong-0")
"""On these the rule was chosen, before the people of `test`."""
CONFIRMING = ("weak-3", "strong-3", "weak-4", "strong-4")
"""These were looked at when it stood, before people that nobody had looked at."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One session of a stream."""

    pixels: np.ndarray
    species: str
    phase: str = "away"

    @property
    def is_live(self) -> bool:
        return self.species == "live"


class Source:
    """A source model with what adaptation must know of it, measured on the development pools."""

    def __init__(self, folder: Path, corpus: Path, cached: Path) -> None:
        self.name = folder.name
        bundle = read_bundle(folder)
        session = open_graph(bundle.graph, runtime="onnxruntime")
        model = make_source_model(bundle, session, open_graph=lambda graph: open_graph(graph, runtime="onnxruntime"))
        development = [(c, s.is_live, s.species, s.name) for s in read_pool(corpus / "dev") for c in s.pixels]
        path = cached / f"{folder.name}-{bundle.sha256[:12]}.npz"
        if path.is_file():
            with np.load(path) as archive:
                arrays = {name: archive[name] for name in archive.files}
            self.reference = Reference.from_arrays(arrays)
            self.model = replace(model, threshold_logit=float(arrays["threshold_logit"]))
            return
        logits = np.array([model.network.read(crop).live_logit for crop, *_ in development])
        scores = ScoreSet(
            live_scores=[sigmoid(logit) for logit in logits],
            is_live=[s[1] for s in development],
            species=[s[2] for s in development],
        )
        eer = choose_threshold(scores, policy="eer", origin="development").value
        self.model = replace(model, threshold_logit=float(np.log(eer / (1 - eer))))
        envelope = ((c, s.is_live, s.species, s.name) for s in read_pool(corpus / "envelope") for c in s.pixels)
        views, m = Views(model.size), self.model
        reference = make_reference(
            read_development(m.network, m.stem, views, development),
            read_development(m.network, m.stem, views, envelope),
            tail=m.tail,
            temperature=m.temperature,
            bias=m.bias,
            threshold_logit=m.threshold_logit,
        )
        tones = measure_tones(m.network, development, threshold_logit=m.threshold_logit)
        self.reference = replace(reference, tones=tones)
        cached.mkdir(parents=True, exist_ok=True)
        np.savez(path, **self.reference.to_arrays(), threshold_logit=m.threshold_logit)


# -- variants: the rule, and the rule with one part of it switched off


class Unpunished(ToneMatching):
    """Proposes without the penalty, wherever the change is a known one."""

    def propose(self):
        proposal = super().propose()
        if proposal.correction is None:
            return proposal
        return replace(proposal, correction=replace(proposal.correction, penalty=0.0))


class Unasked(Arbiter):
    """Lets a correction answer always."""

    nearer = True


class Untried(Trials):
    """Lets every proposal of tone pass."""

    def tone(self, correction, recent):
        trial = yield from super().tone(correction, recent)
        sample = recent.sample(1)
        if trial.network is not None or not sample:
            return trial
        network = self.model.open(trial.snapshot, sample[0][0].pixels)
        return replace(trial, finding=Finding(True, "not asked", {}), network=network)


def make_adapter(source: Source, variant: str, on_event) -> Adapter:
    model, reference = source.model, source.reference
    parts = {"early": Early.MOMENTS if variant == "moments" else Early.TONE, "late": variant != "no late"}
    if variant in ("no penalty", "no table"):
        kind, least = (Unpunished, 0.04) if variant == "no penalty" else (Unpunished, -1.0)
        parts["tones"] = kind(reference.tones, threshold_logit=model.threshold_logit, min_gain=least)
    if variant == "no trial":
        parts["trials"] = Untried(model, reference)
    if variant == "no arbiter":
        parts["arbiter"] = Unasked()
    return Adapter(
        model,
        reference,
        budget=CalibratedBudget(watts=2.0),
        clock=lambda: 0.0,
        inference_ms=2.0,
        shadow=variant == "shadow",
        on_event=on_event,
        **parts,
    )


# -- streams


@cache
def sessions_of(corpus: Path, people: str, change: str) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            np.asarray(s.pixels) if change == CLEAN else change_crops(np.asarray(s.pixels), change, seed=place),
            s.species or "live",
        )
        for place, s in enumerate(read_pool(corpus / people))
    )


def stream_of(corpus: Path, people: str, change: str, kind: str, order: int) -> list[Shown]:
    rng = np.random.default_rng(order)
    away, home = (list(sessions_of(corpus, people, name)) for name in (change, CLEAN))
    away, home = ([some[i] for i in rng.permutation(len(some))] for some in (away, home))
    live, attacks = [s for s in away if s.is_live], [s for s in away if not s.is_live]
    mixed = {"live-heavy": live * 2 + attacks[:24], "attack-heavy": live[:48] + attacks}
    if kind in mixed:
        return [mixed[kind][i] for i in rng.permutation(len(mixed[kind]))]
    if kind == "sessions":
        return away
    parts = {
        "return": (("home", home[:60]), ("away", away[60:240]), ("return", home[240:])),
        "live-only": (("flood", live * 2), ("rest", home[:120])),
        "attack-only": (("flood", attacks), ("rest", home[:120])),
    }
    return [replace(s, phase=phase) for phase, some in parts[kind] for s in some]


def jobs() -> Iterator[tuple[str, str, str, str, int]]:
    """Variant, source, change, stream, order: what decides most comes first."""
    changes = (*WORST, CLEAN, *(c for c in CHANGES if c not in WORST))
    everyone = list(enumerate((*CONFIRMING, *SOURCES)))
    for change, (place, name) in product(changes[:4], enumerate(SOURCES)):
        yield "ratta", name, change, "sessions", 11 + place
    for change, (place, name) in product(changes, enumerate(CONFIRMING)):
        yield "ratta", name, change, "sessions", 31 + place
    for change, (place, name) in product(changes[:4], everyone):
        yield "ratta", name, change, "sessions", 51 + place
    kinds = ("return", "live-only", "attack-only", "live-heavy", "attack-heavy")
    for name, change, kind in product(("weak-3", "strong-3"), ("contrast-0.5", "cast-strong"), kinds):
        yield "ratta", name, change, kind, 5
    for variant, change in product(PARTS, (*WORST, "infrared")):
        yield variant, "weak-1", change, "sessions", 11
    for change, (place, name) in product(changes[4:], enumerate(SOURCES)):
        yield "ratta", name, change, "sessions", 11 + place
    for change, (place, name) in product(changes[4:], everyone):
        yield "ratta", name, change, "sessions", 51 + place


def attempt(adapter: Adapter, shown: Shown, now_s: float, pause_s: float) -> tuple[list[float], list[bool], float]:
    """One session: log-odds that were answered, whether by something else than the source, and when the next begins."""
    one, answers, adapted = adapter.begin(), [], []
    for pixels in shown.pixels:
        answers.append(adapter.read(one, pixels, t=now_s).live_logit)
        adapted.append(adapter.adapted)
        now_s += STEP_S
        adapter.idle(now_s)
    adapter.end(one, t=now_s)
    adapter.idle(now_s + min(0.5, pause_s / 2))
    return answers, adapted, now_s + pause_s


def play(adapter: Adapter, stream: list[Shown]) -> tuple[np.ndarray, np.ndarray]:
    """Play a stream; as `attempt`, for all frames."""
    now_s, answers, adapted = 0.0, [], []
    for shown in stream:
        some, by_others, now_s = attempt(adapter, shown, now_s, PAUSE_S)
        answers += some
        adapted += by_others
    return np.array(answers), np.array(adapted)


def run(corpus: Path, sources: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / "runs.jsonl"
    done = {tuple(json.loads(line)["job"]) for line in path.read_text().splitlines()} if path.is_file() else set()
    opened: dict[str, Source] = {}
    for job in jobs():
        variant, name, change, kind, order = job
        if job in done:
            continue
        source = opened.setdefault(name, None) or Source(sources / name, corpus, output / "references")
        opened[name] = source
        people = "fresh" if name in CONFIRMING else "test"
        stream, events = stream_of(corpus, people, change, kind, order), []
        before = np.array([source.model.network.read(p).live_logit for s in stream for p in s.pixels])
        adapter, began = make_adapter(source, variant, events.append), time.process_time()
        after, adapted = play(adapter, stream)
        record = {
            "job": job,
            "threshold": source.model.threshold_logit,
            "source": before.round(4).tolist(),
            "answered": after.round(4).tolist(),
            "species": [s.species for s in stream],
            "phases": [s.phase for s in stream],
            "frames": [len(s.pixels) for s in stream],
            "adapted": float(adapted.mean()),
            "counts": adapter.counts,
            "spent_ms": adapter.budget.spent_ms,
            "cpu_s": time.process_time() - began,
            "refused": {o.value: n for o, n in adapter.learner.gate.refused.items() if n},
            "bands": {b: sum(e.kind == "drift" and e.reason == b for e in events) for b in ("in", "adapt", "refuse")},
            "events": [(round(e.t), e.kind, e.reason) for e in events if e.kind in ("commit", "rollback", "reset")],
            "proposals": sorted({e.reason for e in events if e.kind in ("proposal", "trial")}),
        }
        with path.open("a") as stream_out:
            stream_out.write(json.dumps(record) + "\n")
        print(*job, f"adapted {adapted.mean():.2f}", adapter.counts, flush=True)


# -- the report


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
        "commits": record["counts"]["commits"], "rollbacks": record["counts"]["rollbacks"],
        "share_of_time": round(record["spent_ms"] / 1e3 / (len(record["frames"]) * (PAUSE_S + 1.2)), 6),
    }  # fmt: skip


def summary(rows: list[dict]) -> list[str]:
    """Say of the sources that the rule was chosen on, and of those it was confirmed on, what it gave and what it cost.

    The highest rises are those of whole streams and of each phase of a stream.
    """
    lines = ["| sources | runs | highest ACER rise | highest worst-species APCER rise | tone shifts: mean ACER change"]
    lines[0] += " | of what the oracle threshold saves |"
    lines.append("|---" * 6 + "|")
    for title, names in (("rule chosen on", SOURCES), ("confirmed on", CONFIRMING)):
        ours = [r for r in rows if r["variant"] == "ratta" and r["source"] in names]
        if not ours:
            continue
        rises = [np.nanmax([r[k][1] - r[k][0] for r in ours]) for k in ("acer", "apcer")]
        ours = [r for r in ours if not r["phase"]]
        tone = [r for r in ours if r["change"] in TONE and r["stream"] == "sessions"]
        saved = sum(r["acer"][0] - r["acer"][1] for r in tone)
        could = sum(r["acer"][0] - r["oracle"] for r in tone)
        cells = (f"{title} {', '.join(names)}", str(len(ours)), f"{rises[0]:+.1f}", f"{rises[1]:+.1f}")
        lines.append(f"| {' | '.join(cells)} | {-saved / len(tone):+.2f} | {saved / could:.0%} |")
    return lines


def page_table(rows: list[dict]) -> str:
    """Lay out the worst changes of tone for README and docs: sources that the rule was chosen on, then the others."""
    changes = (*WORST, CLEAN)
    lines = [f"| ACER %, source model -> adapting, difference [95 % over sessions] | {' | '.join(changes)} |"]
    lines.append("|---" * (len(changes) + 1) + "|")
    first = {}
    for r in rows:
        if r["variant"] == "ratta" and r["stream"] == "sessions":
            first.setdefault((r["source"], r["change"]), r)
    for group, names in (("rule chosen here", sorted(SOURCES)), ("confirmed here", sorted(CONFIRMING))):
        for name in names:
            found = [first.get((name, change)) for change in changes]
            lines.append(f"| {name} ({group}) | {' | '.join(_page_cell(r) for r in found)} |")
    return "\n".join([*lines, "", *summary(rows)])


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


def report(output: Path, write: Path, pages: list[Path]) -> None:
    records = [json.loads(line) for line in (output / "runs.jsonl").read_text().splitlines()]
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
    lines[7:7] = [*summary(rows), ""]
    (write / "adaptation.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-len(rows) :]))
    for page in pages:
        put_into(page, page_table(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--corpus", type=Path, required=True)
    running.add_argument("--sources", type=Path, required=True)
    reporting = commands.add_parser("report")
    reporting.add_argument("--write", type=Path, required=True)
    reporting.add_argument(
        "--pages", type=Path, nargs="*", default=[], help="Markdown with marks to put the table between"
    )
    for command in (running, reporting):
        command.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "run":
        run(args.corpus, args.sources, args.output)
    else:
        report(args.output, args.write, args.pages)


if __name__ == "__main__":
    main()
