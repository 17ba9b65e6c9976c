"""Somebody means harm: a thousand sessions of each attack, on an adapting engine that knows nothing yet.

    python bench/attacks.py FEATURES.npz --model MODEL [--output bench/results/adaptation]

Two fifths of the people are held out. After every 25 sessions their sessions are answered, without learning, by the
engine as it then is. *Granted* counts frames whose log-odds were above the source's and sessions that ended LIVE where
the source's did not, in the attack, in the probes and after: the rule says 0. Then the owner comes: live sessions of
held-out people, each confirmed afterwards, or none. The anchors learn from gated sessions; augmented views count as
agreeing, which is the best case for an attacker. MODEL should have drift statistics (`bench/with_drift.py`).

Ten attacks are streams, or reach for the sealed state: after every session it is saved, touched and offered to the
engine again. The eleventh knows the rule, the anchor and the threshold at every moment, and chooses among all attacks
at hand the one that serves it best: to drag the anchor to its own attacks, to make it deny the owner. In a second form
it is not bound to any attack that exists: it puts features where it likes, and the source finds them live.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from feature_streams import BETWEEN_S, FeatureSession, Trial, read_sessions, reference_of, write_results

from ratta.adaptation.budget import FIVE_PERCENT, Budget
from ratta.adaptation.drift import BettingDrift
from ratta.bundle import find_bundle, read_bundle
from ratta.errors import StateError
from ratta.state import load_state, save_state

SESSIONS, EVERY, HELD_OUT = 1_000, 25, 0.4
RUSH_S = 0.1
KEY, SHA256 = bytes(range(32)), "0" * 64
OWNER = 20
Chosen = tuple[FeatureSession, float]


class Stage:
    """What an attacker has in hand, and what is held out."""

    def __init__(self, sessions: list[FeatureSession], trial: Trial, *, seed: int, count: int) -> None:
        self.rng, self.trial, self.count = np.random.default_rng(seed), trial, count
        people = self.rng.permutation(sorted({s.person for s in sessions})).tolist()
        kept = set(people[: round(HELD_OUT * len(people))])
        self.held_out = [s for s in sessions if s.person in kept]
        mine = [s for s in sessions if s.person not in kept]
        self.live, self.attacks = [s for s in mine if s.is_live], [s for s in mine if not s.is_live]
        sure = trial.adapter.gate.live_logit + trial.adapter.gate.margin
        self.accepted = [s for s in self.attacks if np.median(s.logits) >= sure]

    @property
    def owner(self) -> list[FeatureSession]:
        """Live sessions of people who are held out."""
        return [s for s in self.held_out if s.is_live]

    def z(self, sessions: list[FeatureSession]) -> np.ndarray:
        """Where sessions lie, in the middle of their frames."""
        return np.stack([self.trial.adapter.reference.space.project(s.embeddings).mean(axis=0) for s in sessions])

    def conformity(self, session: FeatureSession) -> float:
        """Tell what a white box knows: how the anchor would answer."""
        anchor, space = self.trial.adapter.anchor, self.trial.adapter.reference.space
        rows = zip(space.project(session.embeddings), session.logits.tolist(), strict=True)
        return float(np.median([anchor.conformity(z, live_logit) for z, live_logit in rows]))


def _paced(sessions: Iterator[FeatureSession], pause_s: float = BETWEEN_S) -> Iterator[Chosen]:
    return ((one, pause_s) for one in sessions)


def attack_flood(stage: Stage) -> Iterator[Chosen]:
    """One class: attacks alone."""
    return _paced(cycle(stage.attacks))


def live_flood(stage: Stage) -> Iterator[Chosen]:
    """One class: live faces alone."""
    return _paced(cycle(stage.live))


def alternate(stage: Stage) -> Iterator[Chosen]:
    """Eight live sessions that let it learn, eight attacks that poison it."""
    live, attacks = cycle(stage.live), cycle(stage.attacks)
    return _paced(one for turn in cycle((live, attacks)) for one in islice(turn, 8))


def ramp(stage: Stage) -> Iterator[Chosen]:
    """Attacks that the source finds more and more live, each a few times, between live sessions."""
    ranked = sorted(stage.attacks, key=lambda s: float(np.median(s.logits)))
    live, times = cycle(stage.live), -(-stage.count // (2 * len(ranked)))
    return _paced(one for attack in ranked for _ in range(times) for one in (attack, next(live)))


def replay_accepted(stage: Stage) -> Iterator[Chosen]:
    """Show the attack that the source finds most live, again and again, between live sessions."""
    best, live = max(stage.attacks, key=lambda s: float(np.median(s.logits))), cycle(stage.live)
    return _paced(one for _ in cycle((0,)) for one in (best, next(live)))


def drain(stage: Stage) -> Iterator[Chosen]:
    """Spend the budget without a pause; then show attacks between live sessions."""
    yield from _paced(islice(cycle([*stage.live, *stage.attacks]), 2 * stage.count // 3), RUSH_S)
    yield from alternate(stage)


def forced_refuse(stage: Stage) -> Iterator[Chosen]:
    """Live sessions, then attacks far from everything the source knows, then attacks as they are."""
    far = 60 * stage.rng.standard_normal(stage.attacks[0].embeddings.shape[1]) / 24
    away = [FeatureSession(s.embeddings + far, s.logits, False, s.species, s.person) for s in stage.attacks]
    yield from _paced(islice(cycle(stage.live), stage.count // 3))
    yield from _paced(islice(cycle(away), stage.count // 3))
    yield from attack_flood(stage)


def mixed(stage: Stage) -> Iterator[Chosen]:
    """Both classes as they come, again and again."""
    both = [*stage.live, *stage.attacks]
    return _paced(both[i] for _ in cycle((0,)) for i in stage.rng.permutation(len(both)).tolist())


def white_box_drag(stage: Stage) -> Iterator[Chosen]:
    """Of the attacks that count as evidence, always the one that brings the anchor nearest to the other attacks."""
    goal, places = stage.z(stage.attacks).mean(axis=0), stage.z(stage.accepted)
    while True:
        step = places - stage.trial.adapter.anchor._mean
        order = np.argsort(-step @ (goal - stage.trial.adapter.anchor._mean))
        yield stage.accepted[order[int(stage.rng.integers(min(3, len(order))))]], BETWEEN_S


def white_box_lock_out(stage: Stage) -> Iterator[Chosen]:
    """Of the attacks that count as evidence, always the one that conforms most: the threshold rises."""
    while True:
        ranked = sorted(stage.accepted, key=stage.conformity)
        yield ranked[-1 - int(stage.rng.integers(min(3, len(ranked))))], BETWEEN_S


def crafted_drag(stage: Stage) -> Iterator[Chosen]:
    """Features of attacks with log-odds that the source finds live beyond doubt: every one is evidence."""
    for one in cycle(stage.attacks):
        yield FeatureSession(one.embeddings, np.full(len(one.logits), 20.0), False, one.species, one.person), BETWEEN_S


def crafted_lock_out(stage: Stage) -> Iterator[Chosen]:
    """All features at one point that the source finds live beyond doubt: the threshold rises as high as it can."""
    point = stage.attacks[0].embeddings.mean(axis=0)
    while True:
        noise = 0.01 * stage.rng.standard_normal((5, len(point)))
        yield FeatureSession((point + noise).astype(np.float32), np.full(5, 20.0), False, "crafted", -1), BETWEEN_S


STREAMS = (attack_flood, live_flood, alternate, ramp, replay_accepted, drain, forced_refuse)
WHITE_BOX = (white_box_drag, white_box_lock_out, crafted_drag, crafted_lock_out)
STATE_ATTACKS = ("state-tampering", "state-replay", "state-replay-uncounted")
ATTACKS: dict[str, Callable[[Stage], Iterator[Chosen]]] = {
    **{one.__name__.replace("_", "-"): one for one in STREAMS},
    **dict.fromkeys(STATE_ATTACKS, mixed),
    **{one.__name__.replace("_", "-"): one for one in WHITE_BOX},
}


class Thief:
    """Whoever can write the file that an engine's state is kept in, but has not its key."""

    def __init__(self, attack: str, folder: Path) -> None:
        self.attack, self.path, self.rng = attack, folder / "state", np.random.default_rng(11)
        self.stolen: list[bytes] = []
        self.tried = self.refused = 0

    def after(self, trial: Trial, number: int) -> None:
        """Save the state of a session's end, touch it, and restart the engine from it; refused, it starts anew."""
        values, arrays = trial.adapter.export_state()
        save_state(self.path, key=KEY, model_sha256=SHA256, counter=number, values=values, arrays=arrays)
        self.stolen.append(self.path.read_bytes())
        self.path.write_bytes(self.touched())
        self.tried += 1
        try:
            at_least = 0 if self.attack == "state-replay-uncounted" else number
            state = load_state(self.path, key=KEY, model_sha256=SHA256, at_least=at_least)
            trial.adapter.restore_state(state.values, state.arrays)
        except StateError:
            self.refused += 1

    def touched(self) -> bytes:
        if self.attack != "state-tampering":
            return self.stolen[self.rng.integers(max(1, len(self.stolen) - 1))]
        state = bytearray(self.stolen[-1])
        state[self.rng.integers(len(state))] ^= int(self.rng.integers(1, 256))
        return bytes(state)


def play(attack: str, sessions: list[FeatureSession], model: str, *, count: int) -> dict[str, object]:
    """Run one attack, and the owner after it."""
    reference, policy = reference_of(model, "wide")
    thief: Thief | None = None
    found: dict[str, object] = {"attack": attack, "sessions": count}
    granted = 0
    for confirmed in (False, True):
        detector = BettingDrift(reference.drift) if reference.drift else None
        trial = Trial(reference, policy, budget=Budget(watts=2.0, time=FIVE_PERCENT), detector=detector)
        stage = Stage(sessions, trial, seed=7, count=count)
        with tempfile.TemporaryDirectory() as folder:
            thief = Thief(attack, Path(folder)) if attack in STATE_ATTACKS else None
            rounds = []
            for number, (session, pause_s) in enumerate(islice(ATTACKS[attack](stage), count), 1):
                trial.answer(session, confirm=False, between_s=pause_s)
                if thief:
                    thief.after(trial, number)
                if number % EVERY == 0:
                    rounds.append(probes(stage))
        found |= {"held-out attacks": len([s for s in stage.held_out if not s.is_live]), **summary(rounds)}
        found["confirmed" if confirmed else "gated"] = owner(stage, confirmed=confirmed)
        granted += trial.granted
    states = [thief.tried, thief.refused] if thief else None
    return found | {"granted": granted, "counts": trial.adapter.counts, "band": trial.adapter.band, "states": states}


def probes(stage: Stage) -> tuple[float, float, float, float]:
    """Held-out sessions: APCER and BPCER, of the source and of the engine as it is."""
    rows = [stage.trial.probe(s) for s in stage.held_out]
    attacks, live = [r for r in rows if not r.is_live], [r for r in rows if r.is_live]
    apcer = [float(np.mean([getattr(r, way) for r in attacks])) for way in ("source", "anchored")]
    return *apcer, *(float(np.mean([not getattr(r, way) for r in live])) for way in ("source", "anchored"))


def summary(rounds: list[tuple[float, float, float, float]]) -> dict[str, object]:
    """Tell what the probes met at worst and at last."""
    table = np.round(rounds, 4)
    names = ("source apcer", "apcer", "source bpcer", "bpcer")
    found: dict[str, object] = {name: float(table[-1, i]) for i, name in enumerate(names)}
    return found | {"highest apcer": float(table[:, 1].max()), "highest bpcer": float(table[:, 3].max())}


def owner(stage: Stage, *, confirmed: bool) -> dict[str, list[float]]:
    """Live sessions after the attack: share that is turned away by the engine, and by the source."""
    rows = [stage.trial.answer(one, confirm=confirmed) for one in islice(cycle(stage.owner), OWNER)]
    return {
        f"{a} to {b}": [
            round(float(np.mean([not getattr(r, way) for r in rows[a:b]])), 4) for way in ("anchored", "source")
        ]
        for a, b in ((0, 5), (5, 10), (10, OWNER))
    }


def markdown(rows: list[dict[str, object]], note: str) -> str:
    """Lay out the table."""
    head = (
        "attack",
        "granted",
        "APCER of held-out attacks, source",
        "at the end",
        "at most",
        "BPCER, source",
        "at the end",
    )
    head += ("at most", "owner's BPCER after, sessions 0-5 / 5-10 / 10-20, nobody confirms", "the same, confirmed")
    lines = ["# Attacks on the anchors", "", note, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in rows:
        cells = [str(r["attack"]), str(r["granted"])]
        cells += [
            f"{r[k]:.3f}" for k in ("source apcer", "apcer", "highest apcer", "source bpcer", "bpcer", "highest bpcer")
        ]
        cells += [" / ".join(f"{share:.2f}" for share, _ in r[how].values()) for how in ("gated", "confirmed")]
        lines.append(f"| {' | '.join(cells)} |")
    states = ", ".join(f"{r['attack']}: {r['states'][1]:,} of {r['states'][0]:,}" for r in rows if r["states"])
    return "\n".join([*lines, "", f"Touched states refused: {states}.", ""])


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--model", required=True, help="the one that read the features")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of each attack")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    sessions, bundle = read_sessions(args.features, "wide"), read_bundle(find_bundle(args.model))
    rows = []
    for attack in ATTACKS:
        rows.append(play(attack, sessions, args.model, count=args.sessions))
        print(json.dumps(rows[-1]), flush=True)
    note = (
        f"{args.sessions:,} sessions of each, development figures on features of one real webcam "
        f"({len(sessions)} sessions of {len({s.person for s in sessions})} people, two fifths of them held out), "
        f"{bundle.name} {bundle.version} at its own thresholds, one order of sessions. Gated evidence, drift "
        f"{'on' if reference_of(args.model, 'wide')[0].drift else 'off'}, the budget's 5 %."
    )
    print(markdown(rows, note))
    if args.output:
        write_results(args.output, "attacks", markdown(rows, note), bundle=bundle, note=note, rows=rows)


if __name__ == "__main__":
    main()
