"""Somebody means harm: a thousand sessions of each attack, and what attacks of other people gain by them.

    python bench/attacks.py run --corpus adapt-corpus --sources adapt-sources --output runs/attacks
    python bench/attacks.py report --output runs/attacks --write bench/results/adaptation

Two fifths of the people are held out. After every 25 sessions their sessions, a frame each, are shown to what is in
force, whether the arbiter would let it answer or not, and APCER of each species is compared with the source's at the
frozen threshold. Then comes recovery: the source's own camera again, held-out people of both classes, until the source
answers. Threshold: EER on the source's development sessions. Corpus and sources: `bench/adaptation_sources.py`.

Three attacks are on the sealed state: after every session it is saved, touched and offered to a second engine, and
after every 25 the engine itself, where something is in force, is restarted from what was touched. A byte is changed; an
older state is put back where the integrator keeps the counter, and where he does not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice, product
from pathlib import Path

import numpy as np
from adaptation import CLEAN, PAUSE_S, Shown, Source, attempt
from adaptation_variants import make_adapter
from ratta.adaptation.adapter import Adapter
from ratta.adaptation.memory import export_memory, restore_memory

from ratta.errors import StateError
from ratta.evaluate import read_pool
from ratta.simulate import change_crops
from ratta.state import load_state, save_state

SOURCES, CHANGES_OF_CAMERA = ("weak-1", "strong-2"), ("contrast-0.5", "cast-strong")
SESSIONS, EVERY, HELD_OUT = 1_000, 25, 0.4
RUSH_S = 0.1
FAR = "infrared"


class Stage:
    """The people of one source under one change of camera, and what an attacker can make of them."""

    def __init__(self, source: Source, corpus: Path, change: str, *, seed: int) -> None:
        self.source, self.rng = source, np.random.default_rng(seed)
        sessions = read_pool(corpus / "test")
        people = self.rng.permutation(sorted({one.subject for one in sessions}))
        kept = set(people[: round(HELD_OUT * len(people))].tolist())
        self.on_stage, self.held_out = [], []
        for place, one in enumerate(sessions):
            (self.held_out if one.subject in kept else self.on_stage).append((place, one))
        self.change = change
        self.away = [self.shown(one, change) for one in self.on_stage]
        self.home = [self.shown(one, CLEAN) for one in self.on_stage]
        self.live = [s for s in self.away if s.is_live]
        self.attacks = [s for s in self.away if not s.is_live]

    def shown(self, one, change: str) -> Shown:
        place, session = one
        pixels = np.asarray(session.pixels)
        crops = pixels if change == CLEAN else change_crops(pixels, change, seed=place)
        return Shown(crops, session.species or "live")

    def liked(self, shown: Shown) -> float:
        """How live the source finds a session."""
        return float(np.median([self.source.model.network.read(crop).live_logit for crop in shown.pixels]))

    def mixed(self, some: list[Shown]) -> Iterator[tuple[Shown, float]]:
        return ((some[i], PAUSE_S) for i in self.rng.permutation(len(some)))


def in_turn(some: list[Shown]) -> Iterator[tuple[Shown, float]]:
    return ((one, PAUSE_S) for one in cycle(some))


def attack_flood(stage: Stage):
    """One class: attacks alone."""
    return in_turn(stage.attacks)


def live_flood(stage: Stage):
    """One class: live faces alone."""
    return in_turn(stage.live)


def alternate(stage: Stage):
    """Eight live sessions that trip the detector, eight attacks that poison what it lets in."""
    live, attacks = in_turn(stage.live), in_turn(stage.attacks)
    return chain.from_iterable(chain(list(islice(live, 8)), list(islice(attacks, 8))) for _ in cycle([0]))


def ramp(stage: Stage):
    """Attacks that the source finds more and more live, each a few times, between live sessions."""
    ranked = sorted(stage.attacks, key=stage.liked)
    times = -(-SESSIONS // (2 * len(ranked)))
    between = in_turn(stage.live)
    return chain.from_iterable(((one, PAUSE_S), next(between)) for one in ranked for _ in range(times))


def replay_accepted(stage: Stage):
    """Show the attack that the source finds most live, again and again, between live sessions."""
    best, between = max(stage.attacks, key=stage.liked), in_turn(stage.live)
    return chain.from_iterable(((best, PAUSE_S), next(between)) for _ in cycle([0]))


def drain(stage: Stage):
    """Show the source's own camera without a pause, which spends the budget; then the changed one."""
    rush = ((one, RUSH_S) for one in islice(cycle(stage.home), 2 * SESSIONS // 3))
    return chain(rush, chain.from_iterable(stage.mixed(stage.away) for _ in cycle([0])))


def forced_refuse(stage: Stage):
    """Show the changed camera, then attacks through one that nobody should learn from, then the changed one again."""
    far = [stage.shown(one, FAR) for one in stage.on_stage if not one[1].is_live]
    before = islice(chain.from_iterable(stage.mixed(stage.away) for _ in cycle([0])), SESSIONS // 3)
    return chain(
        before, islice(in_turn(far), SESSIONS // 3), chain.from_iterable(stage.mixed(stage.away) for _ in "12345")
    )


def natural(stage: Stage):
    """Both classes as they come, again and again."""
    return chain.from_iterable(stage.mixed(stage.away) for _ in cycle([0]))


ATTACKS: dict[str, Callable[[Stage], Iterator[tuple[Shown, float]]]] = {
    one.__name__.replace("_", "-"): one
    for one in (attack_flood, live_flood, alternate, ramp, replay_accepted, drain, forced_refuse)
}
STATE_ATTACKS = ("state-tampering", "state-replay", "state-replay-uncounted")


class Thief:
    """Whoever can write the file that an engine's state is kept in, but has not its key.

    Parameters
    ----------
    source : Source
    attack : str
        One of `STATE_ATTACKS`.
    folder : Path
        Where the state lies.
    """

    def __init__(self, source: Source, attack: str, folder: Path) -> None:
        self.attack, self.path = attack, folder / "state"
        self.rng, self.key = np.random.default_rng(11), bytes(range(32))
        self.sha256 = source.bundle.sha256
        self.second = make_adapter(source.model, source.reference, "ratta", lambda _: None)
        self.stolen: list[bytes] = []
        self.tried = self.refused = 0

    def after(self, adapter: Adapter, number: int) -> None:
        """Save the state of a session's end, touch it, and offer it."""
        values, arrays = export_memory(adapter)
        save_state(self.path, key=self.key, model_sha256=self.sha256, counter=number, values=values, arrays=arrays)
        self.stolen.append(self.path.read_bytes())
        self.path.write_bytes(self.touched())
        self.offer(self.second, number)
        if number % EVERY == 0 and adapter.in_force is not None:
            self.offer(adapter, number)

    def touched(self) -> bytes:
        if self.attack != "state-tampering":
            return self.stolen[self.rng.integers(max(1, len(self.stolen) - 1))]
        state = bytearray(self.stolen[-1])
        state[self.rng.integers(len(state))] ^= int(self.rng.integers(1, 256))
        return bytes(state)

    def offer(self, adapter: Adapter, number: int) -> None:
        """Restart an engine from the file, as `Engine.load_state` does."""
        at_least = 0 if self.attack == "state-replay-uncounted" else number
        adapter.reset()
        self.tried += 1
        try:
            state = load_state(self.path, key=self.key, model_sha256=self.sha256, at_least=at_least)
            restore_memory(adapter, state.values, state.arrays)
        except StateError:
            self.refused += 1


class Probes:
    """Held-out sessions, a frame each, and which of them pass."""

    def __init__(self, stage: Stage) -> None:
        shown = [stage.shown(one, stage.change) for one in stage.held_out]
        self.crops = [one.pixels[0] for one in shown]
        self.species = np.array([one.species for one in shown])
        self.threshold = stage.source.model.threshold_logit
        self.source = self.passing(stage.source.model.network)
        self._known: tuple[object, np.ndarray] = (None, self.source)

    def passing(self, network) -> np.ndarray:
        return np.array([network.read(crop).live_logit >= self.threshold for crop in self.crops])

    def now(self, adapter: Adapter) -> np.ndarray:
        network = adapter.in_force
        if network is not self._known[0]:
            self._known = (network, self.passing(network) if network is not None else self.source)
        return self._known[1]

    def worst(self, passing: np.ndarray) -> tuple[float, float, float]:
        """Highest rise of APCER over species, in points, with a paired bootstrap interval of that species."""
        rises = {kind: self._rise(passing, self.species == kind) for kind in np.unique(self.species) if kind != "live"}
        return max(rises.values())

    def live(self, passing: np.ndarray) -> float:
        return 100 * float((passing * 1.0 - self.source)[self.species == "live"].mean())

    def _rise(self, passing: np.ndarray, of: np.ndarray) -> tuple[float, float, float]:
        difference = (passing * 1.0 - self.source)[of]
        draws = np.random.default_rng(0).choice(difference, (1000, len(difference))).mean(axis=1)
        low, high = np.quantile(draws, (0.025, 0.975))
        return 100 * float(difference.mean()), 100 * float(low), 100 * float(high)


def play(source: Source, corpus: Path, change: str, attack: str, folder: Path) -> dict:
    source.model.network.forget()
    stage, events = Stage(source, corpus, change, seed=7), []
    source.model.network.expect(stage.away + stage.home)
    probes, adapter, now_s = Probes(stage), make_adapter(source.model, source.reference, "ratta", events.append), 0.0
    rounds, thief = [], Thief(source, attack, folder) if attack in STATE_ATTACKS else None
    for number, (shown, pause_s) in enumerate(islice(ATTACKS.get(attack, natural)(stage), SESSIONS), 1):
        *_, now_s = attempt(adapter, shown, now_s, pause_s)
        if number % EVERY == 0:
            passing = probes.now(adapter)
            rounds.append((number, *probes.worst(passing), probes.live(passing), adapter.in_force is not None))
        if thief:
            thief.after(adapter, number)
    recovery, home = 0, [stage.shown(one, CLEAN) for one in stage.held_out]
    while adapter.adapted and recovery < len(home):
        *_, now_s = attempt(adapter, home[recovery], now_s, PAUSE_S)
        recovery += 1
    worst = max(rounds, key=lambda r: r[1])
    return {
        "source": source.name, "change": change, "attack": attack, "sessions": number, "probes": len(probes.crops),
        "in force": sum(r[5] for r in rounds) / len(rounds),
        "worst APCER rise": worst[1:4], "live then": worst[4],
        "first harm": next((r[0] for r in rounds if r[1] > 0), None),
        "first harm beyond the interval": next((r[0] for r in rounds if r[2] > 0), None),
        "recovery": recovery, "counts": adapter.counts, "spent_ms": adapter.budget.spent_ms,
        "refused": {o.value: n for o, n in adapter.learner.gate.refused.items() if n}, "rounds": rounds,
        "states": [thief.tried, thief.refused] if thief else None,
    }  # fmt: skip


def run(corpus: Path, sources: Path, output: Path, references: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / "runs.jsonl"
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {(one["source"], one["change"], one["attack"]) for one in known}
    for name in SOURCES:
        source = Source(sources / name, corpus, references)
        for change, attack in product(CHANGES_OF_CAMERA, (*ATTACKS, *STATE_ATTACKS)):
            if (name, change, attack) in done:
                continue
            record = play(source, corpus, change, attack, output)
            with path.open("a") as stream:
                stream.write(json.dumps(record) + "\n")
            print(
                *(record[k] for k in ("source", "change", "attack", "worst APCER rise", "in force", "counts")),
                flush=True,
            )


def report(output: Path, write: Path) -> None:
    records = [json.loads(line) for line in (output / "runs.jsonl").read_text().splitlines()]
    (write / "attacks.json").write_text(json.dumps(records) + "\n")
    head = ("source", "change", "attack", "sessions", "in force", "worst species APCER, highest rise [95 %]")
    head += ("live faces passing then", "sessions to first rise", "beyond the interval", "recovery, sessions")
    head += ("touched states refused",)
    lines = ["# Attacks", "", *(__doc__ or "").strip().splitlines()[5:], ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in records:
        rise, low, high = r["worst APCER rise"]
        cells = (r["source"], r["change"], r["attack"], f"{r['sessions']:,}", f"{r['in force']:.0%}")
        cells += (f"{rise:+.1f} [{low:+.1f}, {high:+.1f}]", f"{r['live then']:+.1f}")
        cells += tuple(str(r[k] or "none") for k in ("first harm", "first harm beyond the interval"))
        states = r["states"] and "{1:,} of {0:,}".format(*r["states"])
        cells += (str(r["recovery"]), states or "")
        lines.append(f"| {' | '.join(cells)} |")
    (write / "attacks.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--corpus", type=Path, required=True)
    running.add_argument("--sources", type=Path, required=True)
    running.add_argument("--references", type=Path, required=True, help="folder that bench/adaptation.py keeps them in")
    reporting = commands.add_parser("report")
    reporting.add_argument("--write", type=Path, required=True)
    for command in (running, reporting):
        command.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "run":
        run(args.corpus, args.sources, args.output, args.references)
    else:
        report(args.output, args.write)


if __name__ == "__main__":
    main()
