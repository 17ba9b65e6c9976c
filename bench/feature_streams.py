"""Streams of real sessions that are known by their features only, the product's adapter and judge on them, and rates.

A features file (`.npz`) holds, for N frames: `embedding_wide` and `embedding_tight (N, D)`, `live_logit_wide` and
`live_logit_tight (N,)`, `is_live`, `species`, `person`, `session`, `frame`. There are no pictures, so that augmented
views cannot be asked: they count as agreeing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ratta.adaptation.budget import Allowance, Budget
from ratta.adaptation.controller import Controller
from ratta.adaptation.records import Attempt
from ratta.adaptation.source import SourceReference, Space
from ratta.bundle import Bundle, find_bundle, read_bundle
from ratta.decision import Judge, Policy
from ratta.evaluate import read_pool
from ratta.inference import Network
from ratta.records import Reading, Verdict, logit

FRAME_S, BETWEEN_S = 0.5, 120.0
PLENTY = Allowance(refill_per_s=1e3, capacity=1e6, per_session=1e6, per_hour=1e9, per_day=1e9)
DRAWS = 1000
WAYS = ("source", "anchored")


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSession:
    """One session, as features; where its crops `(n, S, S, 3)` are there, augmented views can be asked, too."""

    embeddings: np.ndarray
    logits: np.ndarray
    is_live: bool
    species: str
    person: int
    pixels: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a session in one seed's stream: whether the source, and the adapted engine, ended LIVE."""

    seed: int
    person: int
    is_live: bool
    species: str
    source: bool
    anchored: bool


class FeatureNetwork:
    """Gives the reading it was told to; for augmented views, which features cannot give, one that agrees."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.agreeing = False

    def read(self, pixels: object) -> Reading:  # noqa: ARG002
        assert self.reading is not None
        if self.agreeing:
            return Reading(self.reading.logits, self.reading.embedding, self.reading.cut, 99.0)
        return self.reading


class PixelNetwork:
    """Reads crops, each once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._seen: dict[bytes, Reading] = {}

    def read(self, pixels: tuple[np.ndarray, ...]) -> Reading:
        key = pixels[0].tobytes()
        if key not in self._seen:
            self._seen[key] = self.network.read(pixels)
        return self._seen[key]


def pool_sessions(folder: Path, network: PixelNetwork) -> list[FeatureSession]:
    """Read a pool of `ratta eval` by a network, one crop a frame; refused frames are left out."""
    pool = read_pool(folder)
    people = sorted({one.subject for one in pool})
    found = []
    for one in pool:
        pixels = np.asarray(one.pixels)[one.refusals == ""]
        if len(pixels):
            readings = [network.read((crop,)) for crop in pixels]
            features = np.stack([r.embedding for r in readings]), np.array([r.live_logit for r in readings])
            found.append(FeatureSession(*features, one.is_live, one.species, people.index(one.subject), pixels))
    return found


def read_sessions(path: Path, crops: str) -> list[FeatureSession]:
    """Read a features file; `crops` is wide, tight or both."""
    data = np.load(path, allow_pickle=False)
    names = ("wide", "tight") if crops == "both" else (crops,)
    embedding = np.concatenate([data[f"embedding_{name}"] for name in names], axis=1).astype(np.float32)
    logits = np.mean([data[f"live_logit_{name}"] for name in names], axis=0)
    sessions = []
    for number in np.unique(data["session"]):
        rows = np.flatnonzero(data["session"] == number)
        rows = rows[np.argsort(data["frame"][rows])]
        first = rows[0]
        kind = bool(data["is_live"][first]), str(data["species"][first]), int(data["person"][first])
        sessions.append(FeatureSession(embedding[rows], logits[rows], *kind))
    return sessions


def write_results(folder: Path, name: str, page: str, *, bundle: Bundle, note: str, **results: object) -> None:
    """Write a run's results, with the model they are of, and the page that lays them out."""
    folder.mkdir(parents=True, exist_ok=True)
    model = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    (folder / f"{name}.json").write_text(json.dumps({"note": note, "model": model, **results}, indent=1) + "\n")
    (folder / f"{name}.md").write_text(page)


def reference_of(model: str, crops: str) -> tuple[SourceReference, Policy]:
    """Take the source's space and thresholds; for two crops of one network, its space on each, half the directions."""
    bundle = read_bundle(find_bundle(model))
    policy = replace(bundle.policy, hold_slots=0)
    single = SourceReference.from_arrays(bundle.statistics, width=576)
    if crops != "both":
        return single, policy
    half = single.space.basis[: single.space.directions // 2]
    basis = np.zeros((2 * len(half), 2 * half.shape[1]), np.float32)
    basis[: len(half), : half.shape[1]] = half
    basis[len(half) :, half.shape[1] :] = half
    return SourceReference(Space(np.tile(single.space.mean, 2), basis)), policy


def stream_of(
    sessions: list[FeatureSession], *, live: int, attacks: int, order: str, rng: np.random.Generator
) -> list[FeatureSession]:
    """Draw a stream: in random order, or person by person."""
    kinds = [[s for s in sessions if s.is_live], [s for s in sessions if not s.is_live]]
    drawn = [
        kind[i]
        for kind, count in zip(kinds, (live, attacks), strict=True)
        for i in rng.choice(len(kind), min(count, len(kind)), replace=False)
    ]
    drawn = [drawn[i] for i in rng.permutation(len(drawn))]
    if order == "random":
        return drawn
    people = rng.permutation(sorted({s.person for s in drawn})).tolist()
    return [s for person in people for s in drawn if s.person == person]


class Trial:
    """One adapter and one source beside it, over a stream of feature sessions.

    `settings` go to the controller: `alpha`, `gated`, `budget`, `detector` and others. With all the budget it may want
    and without a detector, unless given.
    """

    def __init__(
        self,
        reference: SourceReference,
        policy: Policy,
        *,
        seed: int = 0,
        network: PixelNetwork | None = None,
        **settings: object,
    ) -> None:
        self.policy, self.seed = policy, seed
        self.network = network or FeatureNetwork()
        self.adapter = Controller(
            self.network,
            reference,
            live_logit=logit(policy.live_threshold),
            clock=lambda: 0.0,
            **{"budget": Budget(watts=1.0, time=PLENTY), **settings},
        )
        self.t = 1000.0
        self.granted = 0

    def answer(self, session: FeatureSession, *, confirm: bool, between_s: float = BETWEEN_S) -> Answered:
        """Answer a session by the source and by the adapted engine, then learn."""
        attempt = self.adapter.begin()
        answered = self._decide(session, attempt)
        self.adapter.end(attempt, t=self.t)
        if confirm:
            self.adapter.confirm(attempt, is_live=session.is_live)
        self.t += between_s
        if isinstance(self.network, FeatureNetwork):
            self.network.agreeing = True
        self.adapter.idle(self.t)
        return answered

    def probe(self, session: FeatureSession) -> Answered:
        """Answer a session, and learn nothing of it."""
        t = self.t
        answered = self._decide(session, Attempt())
        self.t = t
        return answered

    def _decide(self, session: FeatureSession, attempt: Attempt) -> Answered:
        source, adapted = Judge(self.policy), Judge(self.policy)
        for place, live_logit in enumerate(session.logits.tolist()):
            self.t += FRAME_S
            reading = self.adapter.read(attempt, self._crops(session, place), t=self.t)
            self.granted += reading.live_logit > live_logit
            source.update(live_logit, t=self.t, box=None)
            adapted.update(reading.live_logit, t=self.t, box=None)
        verdicts = tuple(judge.final and judge.verdict is Verdict.LIVE for judge in (source, adapted))
        self.granted += verdicts[1] and not verdicts[0]
        return Answered(self.seed, session.person, session.is_live, session.species, *verdicts)

    def _crops(self, session: FeatureSession, place: int) -> tuple[np.ndarray, ...]:
        """Give a frame's crops; without any, say beforehand what the network will read."""
        if isinstance(self.network, PixelNetwork):
            assert session.pixels is not None
            return (session.pixels[place],)
        nothing = np.zeros(0, np.float32)
        self.network.reading = Reading(nothing, session.embeddings[place], nothing, float(session.logits[place]))
        self.network.agreeing = False
        return ()


def rates(rows: Sequence[Answered], *, intervals: bool = True) -> dict[str, object]:
    """BPCER, APCER, their mean and the worst species' APCER, of the source and of the adapted engine.

    With 95 % intervals: 1,000 draws of people and of seeds, with replacement.
    """
    counts = _counts(rows)
    found: dict[str, object] = {name: round(float(v), 4) for name, v in _figures(counts.sum((0, 1))).items()}
    for way in WAYS:
        species = {r.species for r in rows if not r.is_live}
        shares = [[getattr(r, way) for r in rows if r.species == one and not r.is_live] for one in species]
        found[f"{way} worst"] = round(max((float(np.mean(share)) for share in shares), default=float("nan")), 4)
    if intervals:
        rng = np.random.default_rng(0)
        seeds, people = (rng.multinomial(n, np.full(n, 1 / n), DRAWS) for n in counts.shape[:2])
        drawn = np.einsum("ds,dp,spc->dc", seeds, people, counts)
        ends = {name: np.nanquantile(v, (0.025, 0.975)).round(4).tolist() for name, v in _figures(drawn).items()}
        found["95 %"] = ends
    return found


def _counts(rows: Sequence[Answered]) -> np.ndarray:
    """By seed and person: sessions of each class, and errors on them of the source and the adapted engine."""
    seeds, people = (sorted({getattr(r, name) for r in rows}) for name in ("seed", "person"))
    counts = np.zeros((len(seeds), len(people), 6))
    for r in rows:
        errors = [answer != r.is_live for answer in (r.source, r.anchored)]
        counts[seeds.index(r.seed), people.index(r.person), 0 if r.is_live else 3 :][:3] += (1, *errors)
    return counts


def _figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """From counts `(..., 6)` to rates."""
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for place, way in enumerate(WAYS, start=1):
            bpcer, apcer = (counts[..., start + place] / counts[..., start] for start in (0, 3))
            found |= {f"{way} bpcer": bpcer, f"{way} apcer": apcer, f"{way} acer": (bpcer + apcer) / 2}
    found["acer difference"] = found["anchored acer"] - found["source acer"]
    return found


def told(mean: dict[str, object]) -> str:
    """Source and anchored figures in a line."""
    return ", ".join(
        f"{name.upper()} {mean[f'source {name}']:.3f} -> {mean[f'anchored {name}']:.3f}"
        for name in ("acer", "bpcer", "apcer", "worst")
    )
