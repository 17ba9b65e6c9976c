"""Does adaptation help, and does it ever harm? Sources of known provenance, changes of camera of known size.

    python bench/adaptation_sources.py ...                                       # the corpus and the sources, first
    python bench/adaptation.py --corpus adapt-corpus --sources adapt-sources --output runs/adaptation
    python bench/adaptation_report.py runs/adaptation --write bench/results/adaptation --pages README.md

What there is already is not run again. What the figures mean stands in `bench/adaptation_report.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from adaptation_variants import BASELINES, PARTS, TRUTH, answers_of, make_adapter, make_baseline
from ratta.adaptation.adapter import Adapter
from ratta.adaptation.development import make_reference, read_development
from ratta.adaptation.reference import Network, Reference
from ratta.adaptation.tone_development import measure_tones

from ratta.adaptation.views import Views
from ratta.assembly import make_source_model
from ratta.bundle import read_bundle
from ratta.engine import open_graph
from ratta.evaluate import read_pool
from ratta.metrics import ScoreSet, choose_threshold
from ratta.records import Reading, sigmoid
from ratta.simulate import CHANGES, change_crops

CLEAN = "clean"
TONE = ("dark-1.5", "dark-2.2", "bright-0.7", "bright-0.5", "contrast-0.7", "contrast-0.5", "cast-mild", "cast-strong")
WORST = ("contrast-0.5", "cast-strong", "dark-2.2")
SECOND = (*WORST, CLEAN, "bright-0.5", "cast-mild", "exposure-noise", "other-sensor", "infrared")
"""What a second order of sessions is played of."""
PAUSE_S, STEP_S = 30.0, 0.2
SOURCES = ("weak-1", "weak-2", "strong-2", "weak-0", "strong-1", "strong-0")
LOOKED_AT = ("weak-3", "strong-3", "weak-4", "strong-4")
CONFIRMING = ("weak-5", "strong-5", "weak-6", "strong-6")
"""On the first the rule was chosen, before the people of `test`; the second confirmed its eighth version, and were
looked at when the ninth was made; the last were looked at under the ninth, and again under the tenth, which asks for
both classes before late candidates too and lets a rollback forget its evidence. Both before people of their own."""
PEOPLE = {**dict.fromkeys(SOURCES, "test"), **dict.fromkeys(LOOKED_AT, "fresh"), **dict.fromkeys(CONFIRMING, "newest")}
GROUPS = {"rule chosen on": SOURCES, "looked at before": LOOKED_AT, "confirmed on": CONFIRMING}
MIXTURES = ("return", "live-only", "attack-only", "live-heavy", "attack-heavy")
ABLATED = "weak-1"
ANCHORS = 256


@dataclass(frozen=True, eq=False)
class Shown:
    """One session of a stream."""

    pixels: np.ndarray
    species: str
    phase: str = "away"

    @property
    def is_live(self) -> bool:
        return self.species == "live"


class Remembered:
    """The source, which reads each frame of the streams once: they show the same frames again and again."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.forget()

    def forget(self) -> None:
        """Begin anew, before the memory of streams that are over is given to others."""
        self._seen: dict[int, Reading | None] = {}

    def expect(self, stream: list[Shown]) -> None:
        """Say which frames stay where they are in memory; others are read every time."""
        for shown in stream:
            for pixels in shown.pixels:
                self._seen.setdefault(_place(pixels), None)

    def read(self, pixels: np.ndarray) -> Reading:
        place = _place(pixels)
        if place not in self._seen or not pixels.flags.c_contiguous:
            return self.network.read(pixels)
        self._seen[place] = self._seen[place] or self.network.read(pixels)
        return self._seen[place]


def _place(pixels: np.ndarray) -> int:
    return pixels.__array_interface__["data"][0]


class Source:
    """A source model with what adaptation must know of it, measured on the development pools."""

    def __init__(self, folder: Path, corpus: Path, cached: Path, *, development: Sequence[str] = ("dev",)) -> None:
        self.name = folder.name
        self.bundle = bundle = read_bundle(folder)
        session = open_graph(bundle.graph, runtime="onnxruntime")
        model = make_source_model(bundle, session, open_graph=lambda graph: open_graph(graph, runtime="onnxruntime"))
        model = replace(model, network=Remembered(model.network))
        path = cached / f"{folder.name}-{'-'.join(development)}-{bundle.sha256[:12]}.npz"
        if path.is_file():
            with np.load(path) as archive:
                arrays = {name: archive[name] for name in archive.files}
            self.reference = Reference.from_arrays(arrays)
            self.model = replace(model, threshold_logit=float(arrays["threshold_logit"]))
            return
        sessions = [one for pool in development for one in read_pool(corpus / pool)]
        samples = [(c, s.is_live, s.species, s.name) for s in sessions for c in s.pixels]
        logits = np.array([model.network.read(crop).live_logit for crop, *_ in samples])
        scores = ScoreSet(
            live_scores=[sigmoid(logit) for logit in logits],
            is_live=[s[1] for s in samples],
            species=[s[2] for s in samples],
        )
        eer = choose_threshold(scores, policy="eer", origin="development").value
        self.model = replace(model, threshold_logit=float(np.log(eer / (1 - eer))))
        envelope = ((c, s.is_live, s.species, s.name) for s in read_pool(corpus / "envelope") for c in s.pixels)
        views, m = Views(model.size), self.model
        reference = make_reference(
            read_development(m.network, m.stem, views, samples),
            read_development(m.network, m.stem, views, envelope),
            tail=m.tail,
            temperature=m.temperature,
            bias=m.bias,
            threshold_logit=m.threshold_logit,
        )
        tones = measure_tones(m.network, samples, threshold_logit=m.threshold_logit)
        self.reference = replace(reference, tones=tones)
        cached.mkdir(parents=True, exist_ok=True)
        np.savez(path, **self.reference.to_arrays(), threshold_logit=m.threshold_logit)


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
    worst, changes = (*WORST, CLEAN), (*WORST, CLEAN, *(c for c in CHANGES if c not in WORST))
    everyone = (*CONFIRMING, *SOURCES, *LOOKED_AT)
    yield from orders("ratta", SOURCES, worst, 11)
    yield from orders("ratta", CONFIRMING, changes, 61)
    yield from orders("ratta", CONFIRMING, SECOND, 71)
    for change, kind, name in product(WORST[:2], MIXTURES, CONFIRMING[:2]):
        yield "ratta", name, change, kind, 5
    yield from orders("ratta", LOOKED_AT, worst, 31)
    yield from orders(TRUTH, CONFIRMING, WORST, 61)
    for variant in BASELINES:
        yield from orders(variant, CONFIRMING[:3], (*WORST[:2], CLEAN), 61)
    for variant in PARTS:
        yield from orders(variant, (ABLATED,), WORST[:2], 11)
    for variant in ("ratta", *PARTS):
        yield variant, ABLATED, WORST[0], "attack-only", 5
    yield from orders(TRUTH, SOURCES, WORST, 11)
    yield from orders("ratta", SOURCES, changes[4:], 11)
    yield from orders("ratta", everyone, worst, 51)


def jobs_of_more_development() -> Iterator[tuple[str, str, str, str, int]]:
    """Whether it is the number of development people that limits the rule."""
    for first in (61, 71):
        yield from orders("ratta", CONFIRMING, SECOND, first)


def orders(variant: str, names: tuple[str, ...], changes: tuple[str, ...], first: int):
    """Sessions in an order that differs from source to source."""
    for change, (place, name) in product(changes, enumerate(names)):
        yield variant, name, change, "sessions", first + place


def attempt(
    adapter: Adapter, shown: Shown, now_s: float, pause_s: float, *, confirmed: bool | None = None
) -> tuple[list[float], list[bool], float]:
    """One session: log-odds that were answered, whether by something else than the source, and when the next begins."""
    one, answers, adapted = adapter.begin(), [], []
    one.confirmed = confirmed
    for pixels in shown.pixels:
        answers.append(adapter.read(one, pixels, t=now_s).live_logit)
        adapted.append(adapter.adapted)
        now_s += STEP_S
        adapter.idle(now_s)
    adapter.end(one, t=now_s)
    adapter.idle(now_s + min(0.5, pause_s / 2))
    return answers, adapted, now_s + pause_s


def play(adapter: Adapter, stream: list[Shown], *, told: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Play a stream; as `attempt`, for all frames. `told` confirms every session as what it is."""
    now_s, answers, adapted = 0.0, [], []
    for shown in stream:
        confirmed = shown.is_live if told else None
        some, by_others, now_s = attempt(adapter, shown, now_s, PAUSE_S, confirmed=confirmed)
        answers += some
        adapted += by_others
    return np.array(answers), np.array(adapted)


def play_ours(source: Source, variant: str, stream: list[Shown]) -> dict:
    events = []
    adapter = make_adapter(source.model, source.reference, variant, events.append)
    answered, adapted = play(adapter, stream, told=variant == TRUTH)
    return {
        "answered": answered,
        "adapted": float(adapted.mean()),
        "counts": adapter.counts,
        "spent_ms": adapter.budget.spent_ms,
        "refused": {o.value: n for o, n in adapter.learner.gate.refused.items() if n},
        "bands": {b: sum(e.kind == "drift" and e.reason == b for e in events) for b in ("in", "adapt", "refuse")},
        "events": [(round(e.t), e.kind, e.reason) for e in events if e.kind in ("commit", "rollback", "reset")],
        "proposals": sorted({e.reason for e in events if e.kind in ("proposal", "trial")}),
    }


def play_baseline(source: Source, name: str, stream: list[Shown], corpus: Path) -> dict:
    """Answers of another method, at the source's threshold: log-odds of the same temperature and bias."""
    crops = [crop for one in read_pool(corpus / "dev") for crop in one.pixels]
    anchors = np.stack([crops[i] for i in np.random.default_rng(0).permutation(len(crops))[:ANCHORS]])
    method = make_baseline(name, source.bundle, anchors)
    answered = np.array(list(answers_of(method, [crop for shown in stream for crop in shown.pixels])))
    return {"answered": answered, "adapted": 1.0, "counts": {"commits": int(method.state()["updates"])}}


def run(
    corpus: Path, sources: Path, output: Path, *, shard: int = 0, shards: int = 1, development: Sequence[str] = ("dev",)
) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / "runs.jsonl"
    done = {tuple(json.loads(line)["job"]) for line in path.read_text().splitlines()} if path.is_file() else set()
    opened: dict[str, Source] = {}
    wanted = jobs() if tuple(development) == ("dev",) else jobs_of_more_development()
    for job in list(dict.fromkeys(wanted))[shard::shards]:
        variant, name, change, kind, order = job
        if job in done:
            continue
        if name not in opened:
            opened[name] = Source(sources / name, corpus, output / "references", development=development)
        source = opened[name]
        stream = stream_of(corpus, PEOPLE[name], change, kind, order)
        source.model.network.expect(stream)
        before = np.array([source.model.network.read(p).live_logit for s in stream for p in s.pixels])
        began = time.process_time()
        if variant in BASELINES:
            played = play_baseline(source, variant, stream, corpus)
        else:
            played = play_ours(source, variant, stream)
        record = {
            "job": job,
            "threshold": source.model.threshold_logit,
            "source": before.round(4).tolist(),
            "species": [s.species for s in stream],
            "phases": [s.phase for s in stream],
            "frames": [len(s.pixels) for s in stream],
            "cpu_s": time.process_time() - began,
            **played,
            "answered": played["answered"].round(4).tolist(),
        }
        with path.open("a") as stream_out:
            stream_out.write(json.dumps(record) + "\n")
        print(*job, f"adapted {played['adapted']:.2f}", played["counts"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "sources", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument(
        "--shard", type=int, nargs=2, default=(0, 1), metavar=("K", "N"), help="every Nth job from K on"
    )
    parser.add_argument(
        "--development",
        nargs="+",
        default=("dev",),
        metavar="POOL",
        help="pools to calibrate on; with more than dev only the confirming sources are run",
    )
    args = parser.parse_args()
    shard, shards = args.shard
    run(args.corpus, args.sources, args.output, shard=shard, shards=shards, development=args.development)


if __name__ == "__main__":
    main()
