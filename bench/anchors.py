"""Live anchors on features of real sessions: the product's own adapter and judge, prequentially.

python bench/anchors.py FEATURES.npz [--other OTHER.npz] [--output FILE.json] [--seeds 5]

FEATURES.npz holds, for N frames: `embedding_wide` and `embedding_tight (N, D)`, `live_logit_wide` and
`live_logit_tight (N,)`, `is_live`, `species`, `person`, `session`, `frame`. Every session is answered before anything
is learnt from it. Figures are of the sessions after the first third of a stream. There are no pictures, so that
augmented views cannot be asked: they count as agreeing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ratta.adaptation.budget import Allowance, Budget
from ratta.adaptation.controller import Controller
from ratta.adaptation.source import SourceReference, Space
from ratta.bundle import find_bundle, read_bundle
from ratta.calibration.live import LiveSession, live_profile
from ratta.decision import Judge, Policy
from ratta.records import Reading, Verdict, logit

FRAME_S, BETWEEN_S = 0.5, 120.0
PLENTY = Allowance(refill_per_s=1e3, capacity=1e6, per_session=1e6, per_hour=1e9, per_day=1e9)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSession:
    """One real session, as features."""

    embeddings: np.ndarray
    logits: np.ndarray
    is_live: bool
    species: str
    person: int


class FeatureNetwork:
    """Gives the reading it was told to; for augmented views, which features cannot give, one that agrees."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.agreeing = False

    def read(self, pixels: object) -> Reading:  # noqa: ARG002
        assert self.reading is not None
        if self.agreeing:
            return Reading(self.reading.logits, self.reading.embedding, None, 99.0)
        return self.reading


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
        sessions.append(
            FeatureSession(
                embedding[rows],
                logits[rows],
                bool(data["is_live"][first]),
                str(data["species"][first]),
                int(data["person"][first]),
            )
        )
    return sessions


def reference_of(model: str, crops: str) -> tuple[SourceReference, Policy]:
    """Take the source's space and thresholds; for two crops of one network, its space on each, half the directions."""
    bundle = read_bundle(find_bundle(model))
    policy = Policy(
        live_threshold=bundle.calibration.live_threshold,
        spoof_threshold=bundle.calibration.spoof_threshold,
        hold_slots=0,
    )
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
    """One adapter and one source beside it, over a stream of feature sessions."""

    def __init__(self, reference: SourceReference, policy: Policy, *, alpha: float = 0.05, gated: bool = True) -> None:
        self.policy = policy
        self.network = FeatureNetwork()
        self.adapter = Controller(
            self.network,
            SourceReference(reference.space, reference.prototypes),
            live_logit=logit(policy.live_threshold),
            budget=Budget(watts=1.0, time=PLENTY),
            clock=lambda: 0.0,
            alpha=alpha,
            gated=gated,
        )
        self.t = 1000.0
        self.granted = 0

    def answer(self, session: FeatureSession, *, confirm: bool) -> tuple[bool, bool]:
        """Answer a session, then learn; whether the source alone and the adapted engine end LIVE."""
        source, adapted = Judge(self.policy), Judge(self.policy)
        attempt = self.adapter.begin()
        for embedding, live_logit in zip(session.embeddings, session.logits.tolist(), strict=True):
            self.t += FRAME_S
            self.network.reading = Reading(np.zeros(2, np.float32), embedding, None, live_logit)
            self.network.agreeing = False
            reading = self.adapter.read(attempt, (), t=self.t)
            self.granted += reading.live_logit > live_logit
            source.update(live_logit, t=self.t, box=None)
            adapted.update(reading.live_logit, t=self.t, box=None)
        self.adapter.end(attempt, t=self.t)
        if confirm:
            self.adapter.confirm(attempt, is_live=session.is_live)
        self.network.agreeing = True
        self.t += BETWEEN_S
        self.adapter.idle(self.t)
        verdicts = source.verdict is Verdict.LIVE, adapted.verdict is Verdict.LIVE
        self.granted += verdicts[1] and not verdicts[0]
        return verdicts


Row = tuple[FeatureSession, bool, bool]


def rates(rows: list[Row]) -> dict[str, float]:
    """BPCER, APCER and the worst species' APCER, of the source and of the adapted engine."""
    live = [r for r in rows if r[0].is_live]
    attacks = [r for r in rows if not r[0].is_live]
    found: dict[str, float] = {}
    for name, which in (("source", 1), ("anchored", 2)):
        bpcer = float(np.mean([not r[which] for r in live]))
        apcer = float(np.mean([r[which] for r in attacks]))
        species = {r[0].species for r in attacks}
        worst = max(float(np.mean([r[which] for r in attacks if r[0].species == s])) for s in species)
        found |= {
            f"{name} bpcer": bpcer,
            f"{name} apcer": apcer,
            f"{name} worst": worst,
            f"{name} acer": (bpcer + apcer) / 2,
        }
    return found


CASES = (
    *(("confirmed", share, 60, alpha) for share in (1.0, 0.3) for alpha in (0.02, 0.05, 0.1)),
    *(("gated", 0.0, attacks, alpha) for attacks in (6, 60, 300) for alpha in (0.02, 0.05, 0.1)),
    ("both", 0.3, 60, 0.05),
    ("both", 1.0, 60, 0.05),
)


def table(path: Path, *, model: str, seeds: int) -> list[dict[str, object]]:
    """Run every case on every crop rule and order."""
    rows: list[dict[str, object]] = []
    for crops in ("wide", "both"):
        sessions, (reference, policy) = read_sessions(path, crops), reference_of(model, crops)
        for order in ("random", "person"):
            for evidence, share, attacks, alpha in CASES:
                figures, granted = [], 0
                for seed in range(seeds):
                    rng = np.random.default_rng(seed)
                    stream = stream_of(sessions, live=60, attacks=attacks, order=order, rng=rng)
                    trial = Trial(reference, policy, alpha=alpha, gated=evidence != "confirmed")
                    answered = [(s, *trial.answer(s, confirm=s.is_live and rng.random() < share)) for s in stream]
                    granted += trial.granted
                    figures.append(rates(answered[len(answered) // 3 :]))
                mean = {key: round(float(np.mean([f[key] for f in figures])), 4) for key in figures[0]}
                row = {
                    "crops": crops,
                    "order": order,
                    "evidence": evidence,
                    "confirmed": share,
                    "live": 60,
                    "attacks": attacks,
                    "alpha": alpha,
                    "granted": granted,
                    **mean,
                }
                rows.append(row)
                print(
                    f"{crops:5} {order:6} {evidence:9} {share:3} 60:{attacks:<3} a={alpha}: {told(mean)}, "
                    f"granted {granted}",
                    flush=True,
                )
    return rows


def profiles(path: Path, *, model: str, seeds: int) -> list[dict[str, object]]:
    """Profiles of 10 and 20 live sessions, on the people who are not in them; nothing is learnt afterwards."""
    rows: list[dict[str, object]] = []
    for crops in ("wide", "both"):
        sessions, (reference, policy) = read_sessions(path, crops), reference_of(model, crops)
        for count in (10, 20):
            answered: list[Row] = []
            for seed in range(seeds):
                chosen, rest = split_people(sessions, count, np.random.default_rng(seed))
                profile = live_profile(
                    [
                        LiveSession(str(i), str(s.person), reference.space.project(s.embeddings), s.logits)
                        for i, s in enumerate(chosen)
                    ],
                    reference.space,
                    model_sha256="",
                    live_logit=logit(policy.live_threshold),
                )
                trial = Trial(reference, policy)
                trial.adapter.learning = False
                trial.adapter.use(profile.level, profile.anchor)
                answered += [(s, *trial.answer(s, confirm=False)) for s in rest]
            mean = {key: round(value, 4) for key, value in rates(answered).items()}
            rows.append({"crops": crops, "sessions": count, "draws": seeds, "tested": len(answered), **mean})
            print(f"profile of {count} live sessions, {crops}: {told(mean)}", flush=True)
    return rows


def split_people(
    sessions: list[FeatureSession], count: int, rng: np.random.Generator
) -> tuple[list[FeatureSession], list[FeatureSession]]:
    """Live sessions of as few people as give `count`, and all sessions of the others."""
    chosen: list[FeatureSession] = []
    people = set()
    for person in rng.permutation(sorted({s.person for s in sessions})).tolist():
        if len(chosen) >= count:
            break
        people.add(person)
        chosen += [s for s in sessions if s.person == person and s.is_live]
    return chosen[:count], [s for s in sessions if s.person not in people]


def flood(path: Path, *, model: str, seeds: int) -> list[dict[str, object]]:
    """Attacks that the source accepts with a margin, one after another; then live sessions of the owner's camera."""
    rows: list[dict[str, object]] = []
    for crops in ("wide", "both"):
        sessions, (reference, policy) = read_sessions(path, crops), reference_of(model, crops)
        sure = logit(policy.live_threshold) + 2
        for confirmed in (False, True):
            denied, source_denied = np.zeros((seeds, 40), bool), np.zeros((seeds, 40), bool)
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                attacks = [s for s in sessions if not s.is_live and np.median(s.logits) >= sure]
                live = [s for s in sessions if s.is_live]
                trial = Trial(reference, policy)
                for index in rng.permutation(len(attacks)):
                    trial.answer(attacks[index], confirm=False)
                for place, index in enumerate(rng.permutation(len(live))[:40]):
                    by_source, adapted = trial.answer(live[index], confirm=confirmed)
                    denied[seed, place], source_denied[seed, place] = not adapted, not by_source
            shares = {
                f"sessions {a} to {b}": (
                    round(float(denied[:, a:b].mean()), 4),
                    round(float(source_denied[:, a:b].mean()), 4),
                )
                for a, b in ((0, 5), (5, 10), (10, 20), (20, 40))
            }
            rows.append({"crops": crops, "attacks": len(attacks), "confirmed": confirmed, "bpcer, source": shares})
            print(
                f"flood of {len(attacks)}, {crops}, {'confirmed' if confirmed else 'gated'}: BPCER, source {shares}",
                flush=True,
            )
    return rows


def camera_change(path: Path, other: Path, *, model: str, seeds: int) -> list[dict[str, object]]:
    """Live sessions of one camera, then of another, then of the first again."""
    rows: list[dict[str, object]] = []
    for crops in ("wide", "both"):
        reference, policy = reference_of(model, crops)
        cameras = [[s for s in read_sessions(p, crops) if s.is_live] for p in (path, other)]
        for confirmed in (False, True):
            denied: dict[str, list[bool]] = {}
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                trial = Trial(reference, policy)
                for leg, which in enumerate((0, 1, 0)):
                    for place, index in enumerate(rng.permutation(len(cameras[which]))[:40]):
                        by_source, adapted = trial.answer(cameras[which][index], confirm=confirmed)
                        name = f"leg {leg + 1}, {'first 10' if place < 10 else 'after'}"
                        denied.setdefault(name, []).append(not adapted)
                        denied.setdefault(f"{name}, source", []).append(not by_source)
            shares = {name: round(float(np.mean(values)), 4) for name, values in denied.items()}
            rows.append({"crops": crops, "confirmed": confirmed, "bpcer": shares})
            print(f"camera change, {crops}, {'confirmed' if confirmed else 'gated'}: BPCER {shares}", flush=True)
    return rows


def told(mean: dict[str, float]) -> str:
    """Source and anchored figures in a line."""
    return ", ".join(
        f"{name.upper()} {mean[f'source {name}']:.3f} -> {mean[f'anchored {name}']:.3f}"
        for name in ("acer", "bpcer", "apcer", "worst")
    )


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--other", type=Path, help="features of another camera")
    parser.add_argument("--model", default="ratta-mnv3s-128")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    found: dict[str, object] = {"model": args.model}
    found["profiles"] = profiles(args.features, model=args.model, seeds=args.seeds)
    found["flood"] = flood(args.features, model=args.model, seeds=args.seeds)
    if args.other:
        found["camera change"] = camera_change(args.features, args.other, model=args.model, seeds=args.seeds)
    found["streams"] = table(args.features, model=args.model, seeds=args.seeds)
    if args.output:
        args.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
