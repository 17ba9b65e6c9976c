"""What each part of the adaptation is worth: switched off one at a time, on the same streams.

    python bench/adaptation.py --parts FEATURES.npz --other OTHER.npz [--pool FOLDER ...] --model MODEL [--seeds 3]

FEATURES and OTHER are features of two cameras (`bench/feature_streams.py`); a pool is one of `ratta eval`, with crops,
so that augmented views can be asked. MODEL should have drift statistics (`bench/with_drift.py`). Every session is
answered before anything is learnt from it; figures are by session, of the whole stream. A part whose absence moves no
figure by more than half a point on any stream is named for deletion. `--output` gets `parts.json` and `parts.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
from feature_streams import (
    Answered,
    FeatureSession,
    PixelNetwork,
    Trial,
    pool_sessions,
    rates,
    read_sessions,
    reference_of,
    stream_of,
    write_results,
)

import ratta
from ratta.adaptation import anchors
from ratta.adaptation.budget import FIVE_PERCENT, Budget
from ratta.adaptation.drift import BettingDrift
from ratta.bundle import find_bundle, read_bundle
from ratta.records import logit

Turn = tuple[FeatureSession, bool, bool]
"""A session, whether it is confirmed where it was live, and whether it counts."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part, and what is left when it is switched off."""

    name: str
    settings: dict[str, object] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    change: Callable[[Trial], None] = lambda _: None
    confirming: bool = True
    drift: bool = True
    budget: bool = True


def _no_views(trial: Trial) -> None:
    trial.adapter.gate._doubt = lambda _attempt, _views: None
    trial.adapter._views_wanted = lambda _: False


def _fixed_level(trial: Trial) -> None:
    trial.adapter.anchor.rate = 0.0


def _no_rollback(trial: Trial) -> None:
    trial.adapter.monitor.significance = 0.0


def _no_margin(trial: Trial) -> None:
    trial.adapter.gate.margin = 0.0


PARTS = (
    Part("nothing switched off"),
    Part("drift: anchors may deny from the start", drift=False),
    Part("gate: augmented views", change=_no_views),
    Part("gate: margin above the live threshold", change=_no_margin),
    Part("gated evidence", {"gated": False}),
    Part("confirmed evidence", confirming=False),
    Part("adaptive level", change=_fixed_level),
    Part("prior: covariance of the sessions alone", constants={"PRIOR_SESSIONS": 0.01}),
    Part("sessions' covariance: the source's alone", constants={"PRIOR_SESSIONS": 1e9}),
    Part("logit term of the conformity", constants={"LOGIT_WEIGHT": 0.0}),
    Part("forgetting", constants={"MEMORY": 1_000_000}),
    Part("rollback monitor", change=_no_rollback),
    Part("budget: as much as it wants", budget=False),
)


@contextmanager
def constants(values: dict[str, float]) -> Iterator[None]:
    """Change constants of the anchors for a while."""
    with patch.multiple(anchors, **values) if values else patch.multiple(anchors, TINY=anchors.TINY):
        yield


class Streams:
    """The streams of the table, by name; the same for every part."""

    def __init__(self, features: Path, other: Path, pools: list[Path], model: str) -> None:
        self.model = model
        self.reference, self.policy = reference_of(model, "wide")
        self.webcam, self.other = read_sessions(features, "wide"), read_sessions(other, "wide")
        self.network = PixelNetwork(ratta.load(model).network)
        self.pools = {path.name: pool_sessions(path, self.network) for path in pools}

    def all(self, seed: int) -> Iterator[tuple[str, list[Turn], bool]]:
        """Give name, turns, and whether there are crops."""
        rng = np.random.default_rng(seed)
        mixed = stream_of(self.webcam, live=60, attacks=60, order="random", rng=rng)
        told = rng.random(len(mixed)) < 0.3
        yield "webcam 60:60, 30 % confirmed", [(s, bool(c), True) for s, c in zip(mixed, told, strict=True)], False
        many = stream_of(self.webcam, live=60, attacks=300, order="person", rng=rng)
        yield "webcam 60:300 by person, nobody confirms", [(s, False, True) for s in many], False
        yield "flood, then the owner, confirmed", list(self._flood(rng)), False
        yield "webcam, another camera, webcam, confirmed", list(self._change(rng)), False
        for name, sessions in self.pools.items():
            order = [sessions[i] for i in rng.permutation(len(sessions))]
            yield f"{name}, nobody confirms", [(s, False, True) for s in order], True

    def _flood(self, rng: np.random.Generator) -> Iterator[Turn]:
        sure = logit(self.policy.live_threshold) + 2
        for attack in self._shuffled([s for s in self.webcam if not s.is_live and np.median(s.logits) >= sure], rng):
            yield attack, False, False
        for live in self._shuffled([s for s in self.webcam if s.is_live], rng)[:20]:
            yield live, True, True

    def _change(self, rng: np.random.Generator) -> Iterator[Turn]:
        for leg, camera in enumerate((self.webcam, self.other, self.webcam)):
            live = self._shuffled([s for s in camera if s.is_live], rng)[:30]
            attacks = self._shuffled([s for s in camera if not s.is_live], rng)[:30]
            for session in self._shuffled([*live, *attacks], rng):
                yield session, True, leg > 0

    @staticmethod
    def _shuffled(sessions: list[FeatureSession], rng: np.random.Generator) -> list[FeatureSession]:
        return [sessions[i] for i in rng.permutation(len(sessions))]

    def trial(self, part: Part, seed: int, *, crops: bool) -> Trial:
        """Make an adapter as an engine has it, less the part."""
        drift = self.reference.drift if part.drift else None
        trial = Trial(
            self.reference,
            self.policy,
            seed=seed,
            network=self.network if crops else None,
            detector=BettingDrift(drift) if drift else None,
            **({"budget": Budget(watts=2.0, time=FIVE_PERCENT)} if part.budget else {}),
            **part.settings,
        )
        part.change(trial)
        return trial


def play(streams: Streams, part: Part, *, seeds: int) -> tuple[dict[str, dict[str, object]], int]:
    """Play every stream without the part; the rates, and what was granted."""
    answered: dict[str, list[Answered]] = {}
    granted = 0
    for seed in range(seeds):
        for name, turns, crops in streams.all(seed):
            with constants(part.constants):
                trial = streams.trial(part, seed, crops=crops)
                rows = [trial.answer(s, confirm=part.confirming and told and s.is_live) for s, told, _ in turns]
            answered.setdefault(name, []).extend(r for r, (_, _, counts) in zip(rows, turns, strict=True) if counts)
            granted += trial.granted
    return {name: rates(rows, intervals=False) for name, rows in answered.items()}, granted


def markdown(found: dict[str, dict[str, dict[str, object]]], note: str) -> str:
    """Lay out BPCER and APCER, source first, then each part's absence."""
    names = list(next(iter(found.values())))
    whole = found[PARTS[0].name]
    lines = ["# Parts of the adaptation", "", note, "", f"| BPCER / APCER without | {' | '.join(names)} |"]
    lines += ["|---" * (len(names) + 1) + "|", _line("(the source alone)", whole, names, "source")]
    lines += [_line(part, rows, names, "anchored") for part, rows in found.items()]
    idle = [part for part, rows in found.items() if part != PARTS[0].name and moved(rows, whole) <= 0.005]
    return "\n".join([*lines, "", f"Moves nothing: {', '.join(idle) or 'none'}.", ""])


def _line(part: str, rows: dict[str, dict[str, object]], names: list[str], way: str) -> str:
    cells = []
    for name in names:
        bpcer, apcer = rows[name][f"{way} bpcer"], rows[name][f"{way} apcer"]
        cells.append(f"{bpcer:.3f} / {apcer:.3f}" if apcer == apcer else f"{bpcer:.3f}")
    return f"| {part} | {' | '.join(cells)} |"


def moved(rows: dict[str, dict[str, object]], whole: dict[str, dict[str, object]]) -> float:
    """Greatest difference of a rate on any stream."""
    keys = ("anchored bpcer", "anchored apcer")
    return float(np.nanmax([abs(rows[name][key] - whole[name][key]) for name in whole for key in keys]))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, required=True, metavar="FEATURES")
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--pool", type=Path, nargs="*", default=[])
    parser.add_argument("--model", required=True, help="the one that read the features")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    streams, bundle = Streams(args.parts, args.other, args.pool, args.model), read_bundle(find_bundle(args.model))
    found, granted = {}, {}
    for part in PARTS:
        found[part.name], granted[part.name] = play(streams, part, seeds=args.seeds)
        print(
            part.name,
            granted[part.name],
            {n: (r["anchored bpcer"], r["anchored apcer"]) for n, r in found[part.name].items()},
            flush=True,
        )
    note = (
        f"{bundle.name} {bundle.version} at its own thresholds, drift statistics "
        f"{'of simulated people' if streams.reference.drift else 'none'}; development figures, by session, "
        f"{args.seeds} seeds. Granted, over all rows: {sum(granted.values())}."
    )
    print(markdown(found, note))
    if args.output:
        page = markdown(found, note)
        write_results(args.output, "parts", page, bundle=bundle, note=note, granted=granted, parts=found)


if __name__ == "__main__":
    main()
