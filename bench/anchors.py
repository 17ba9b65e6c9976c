"""Live anchors on features of real sessions: the product's own adapter and judge, prequentially.

python bench/anchors.py FEATURES.npz --model MODEL [--other OTHER.npz] [--output FOLDER] [--seeds 5]

Every session is answered before anything is learnt from it. Figures are of the sessions after the first third of a
stream, over all seeds; intervals are 95 % by 1,000 draws of people and of seeds. `--output` gets `anchors.json` and
`anchors.md`. What a features file is stands in `bench/feature_streams.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from feature_streams import (
    Answered,
    FeatureSession,
    Trial,
    rates,
    read_sessions,
    reference_of,
    stream_of,
    told,
    write_results,
)

from ratta.bundle import Bundle, find_bundle, read_bundle
from ratta.calibration.live import LiveSession, live_profile
from ratta.records import logit

CROPS = ("wide", "both")
CASES = (
    *(("confirmed", share, 60, alpha) for share in (1.0, 0.3) for alpha in (0.02, 0.05, 0.1)),
    ("confirmed", 1.0, 300, 0.05),
    *(("gated", 0.0, attacks, alpha) for attacks in (6, 60, 300) for alpha in (0.02, 0.05, 0.1)),
    ("both", 0.3, 60, 0.05),
    ("both", 1.0, 60, 0.05),
)
LEGS = ((0, 5), (5, 10), (10, 20), (20, 40))


def streams(path: Path, *, model: str, seeds: int) -> Iterator[dict[str, object]]:
    """Run every case on every crop rule and order."""
    for crops in CROPS:
        sessions, (reference, policy) = read_sessions(path, crops), reference_of(model, crops)
        for order, (evidence, share, attacks, alpha) in product(("random", "person"), CASES):
            answered: list[Answered] = []
            granted = 0
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                stream = stream_of(sessions, live=60, attacks=attacks, order=order, rng=rng)
                trial = Trial(reference, policy, seed=seed, alpha=alpha, gated=evidence != "confirmed")
                rows = [trial.answer(s, confirm=s.is_live and rng.random() < share) for s in stream]
                answered += rows[len(rows) // 3 :]
                granted += trial.granted
            row: dict[str, object] = {"crops": crops, "order": order, "evidence": evidence, "confirmed": share}
            row |= {"live": 60, "attacks": attacks, "alpha": alpha, "granted": granted, "n": len(answered)}
            row |= rates(answered)
            print(f"{crops:5} {order:6} {evidence:9} {share:3} 60:{attacks:<3} a={alpha}: {told(row)}, {granted=}")
            yield row


def profiles(path: Path, *, model: str, seeds: int) -> Iterator[dict[str, object]]:
    """Profiles of 10 and 20 live sessions, on the people who are not in them; nothing is learnt afterwards."""
    for crops, count in product(CROPS, (10, 20)):
        sessions, (reference, policy) = read_sessions(path, crops), reference_of(model, crops)
        answered: list[Answered] = []
        for seed in range(seeds):
            chosen, rest = split_people(sessions, count, np.random.default_rng(seed))
            live = [
                LiveSession(str(i), str(s.person), reference.space.project(s.embeddings), s.logits)
                for i, s in enumerate(chosen)
            ]
            profile = live_profile(live, reference.space, model_sha256="", live_logit=logit(policy.live_threshold))
            trial = Trial(reference, policy, seed=seed, learning=False)
            trial.adapter.use(profile.level, profile.anchor)
            answered += [trial.answer(s, confirm=False) for s in rest]
        row = {"crops": crops, "sessions": count, "draws": seeds, "n": len(answered), **rates(answered)}
        print(f"profile of {count} live sessions, {crops}: {told(row)}")
        yield row


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


def flood(path: Path, *, model: str, seeds: int) -> Iterator[dict[str, object]]:
    """Attacks that the source accepts with a margin, one after another; then live sessions of the owner's camera."""
    for crops, confirmed in product(CROPS, (False, True)):
        sessions, (reference, policy) = read_sessions(path, crops), reference_of(model, crops)
        sure = logit(policy.live_threshold) + 2
        attacks = [s for s in sessions if not s.is_live and np.median(s.logits) >= sure]
        live = [s for s in sessions if s.is_live]
        denied, source_denied = np.zeros((seeds, 40), bool), np.zeros((seeds, 40), bool)
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            trial = Trial(reference, policy)
            for index in rng.permutation(len(attacks)):
                trial.answer(attacks[index], confirm=False)
            for place, index in enumerate(rng.permutation(len(live))[:40]):
                row = trial.answer(live[index], confirm=confirmed)
                denied[seed, place], source_denied[seed, place] = not row.anchored, not row.source
        shares = {
            f"sessions {a} to {b}": [round(float(one[:, a:b].mean()), 4) for one in (denied, source_denied)]
            for a, b in LEGS
        }
        print(f"flood of {len(attacks)}, {crops}, {'confirmed' if confirmed else 'gated'}: BPCER, source {shares}")
        yield {"crops": crops, "attacks": len(attacks), "confirmed": confirmed, "seeds": seeds, "bpcer, source": shares}


def camera_change(path: Path, other: Path, *, model: str, seeds: int) -> Iterator[dict[str, object]]:
    """Live sessions of one camera, then of another, then of the first again."""
    for crops, confirmed in product(CROPS, (False, True)):
        reference, policy = reference_of(model, crops)
        cameras = [[s for s in read_sessions(p, crops) if s.is_live] for p in (path, other)]
        denied: dict[str, list[bool]] = {}
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            trial = Trial(reference, policy)
            for leg, which in enumerate((0, 1, 0)):
                for place, index in enumerate(rng.permutation(len(cameras[which]))[:40]):
                    row = trial.answer(cameras[which][index], confirm=confirmed)
                    name = f"leg {leg + 1}, {'first 10' if place < 10 else 'after'}"
                    denied.setdefault(name, []).append(not row.anchored)
                    denied.setdefault(f"{name}, source", []).append(not row.source)
        shares = {name: round(float(np.mean(values)), 4) for name, values in denied.items()}
        print(f"camera change, {crops}, {'confirmed' if confirmed else 'gated'}: BPCER {shares}")
        yield {"crops": crops, "confirmed": confirmed, "seeds": seeds, "bpcer": shares}


def markdown(found: dict[str, list[dict[str, object]]], note: str) -> str:
    """Lay out what the pages show: every case at alpha 0.05, and the other levels where all are confirmed."""
    lines = ["# Live anchors on a real webcam", "", note]
    head = ("evidence", "live : attack", "alpha", "order", "ACER", "BPCER", "APCER", "worst species")
    for crops in CROPS:
        lines += ["", "Wide and tight crop:" if crops == "both" else "Wide crop:", ""]
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in found["streams"]:
            if row["crops"] == crops and (row["alpha"] == 0.05 or row["confirmed"] == 1):
                share = f"{row['evidence']}, {row['confirmed']:.0%}" if row["confirmed"] else "gated"
                cells = [share.replace("both", "gated and confirmed"), f"60 : {row['attacks']}", str(row["alpha"])]
                lines.append(f"| {' | '.join([*cells, str(row['order']), *_rates(row)])} |")
    granted = sum(int(row["granted"]) for row in found["streams"])
    lines += ["", f"Granted in all streams: {granted}. All cases: `anchors.json`."]
    head = ("profile of", "crops", "sessions tested", "ACER", "BPCER", "APCER", "worst species")
    lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in found["profiles"]:
        crops = "wide + tight" if row["crops"] == "both" else "wide"
        lines.append(f"| {row['sessions']} live sessions | {crops} | {row['n']:,} | {' | '.join(_rates(row))} |")
    return "\n".join([*lines, "", *_harm(found), ""])


def _rates(row: dict[str, object]) -> list[str]:
    """Source -> anchored, with the interval of the latter."""
    ends = row["95 %"]
    cells = []
    for name in ("acer", "bpcer", "apcer", "worst"):
        low, high = ends.get(f"anchored {name}", (None, None))
        span = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        cells.append(f"{row[f'source {name}']:.3f} -> {row[f'anchored {name}']:.3f}{span}")
    return cells


def _harm(found: dict[str, list[dict[str, object]]]) -> Iterator[str]:
    legs = [f"{a} to {b}" for a, b in LEGS]
    yield f"| BPCER of the owner, source -> anchored, after a flood | crops | {' | '.join(legs)} |"
    yield "|---" * (len(legs) + 2) + "|"
    for row in found["flood"]:
        cells = [f"{source:.3f} -> {anchored:.3f}" for anchored, source in row["bpcer, source"].values()]
        how = "every session confirmed" if row["confirmed"] else "nobody confirms"
        yield f"| {row['attacks']} attacks, {how} | {row['crops']} | {' | '.join(cells)} |"
    if "camera change" not in found:
        return
    yield ""
    legs = [f"leg {leg}, {part}" for leg, part in product((1, 2, 3), ("first 10", "after"))]
    yield f"| BPCER, source -> anchored, while cameras change | crops | {' | '.join(legs)} |"
    yield "|---" * (len(legs) + 2) + "|"
    for row in found["camera change"]:
        shares = row["bpcer"]
        cells = [f"{shares[f'{leg}, source']:.3f} -> {shares[leg]:.3f}" for leg in legs]
        how = "every session confirmed" if row["confirmed"] else "nobody confirms"
        yield f"| {how} | {row['crops']} | {' | '.join(cells)} |"


def note_of(path: Path, bundle: Bundle, seeds: int) -> str:
    """Say what the figures are of."""
    data = np.load(path, allow_pickle=False)
    people, sessions = len(np.unique(data["person"])), np.unique(data["session"], return_index=True)[1]
    live = int(data["is_live"][sessions].sum())
    return (
        f"Development figures, one real webcam that neither the model nor its authors had seen: {people} people, "
        f"{live} live sessions and {len(sessions) - live} attacks (prints, photographs and videos on a phone and a "
        f"tablet), up to five frames each, read by {bundle.name} {bundle.version}; threshold: the model's own, as "
        f"shipped. Prequential, {seeds} seeds, figures of the sessions after the first third of each stream; by "
        "session; 95 % intervals over people and seeds. Random: all people mixed; person: one person after the other, "
        "so that each is new. Source -> anchored. No pictures: augmented views count as agreeing. Some settings of the "
        "method were chosen on these people."
    )


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--other", type=Path, help="features of another camera")
    parser.add_argument("--model", required=True, help="the one that read the features")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="folder")
    parser.add_argument("--pages", action="store_true", help="only lay out what OUTPUT holds")
    args = parser.parse_args()
    if args.pages:
        found = json.loads((args.output / "anchors.json").read_text())
        (args.output / "anchors.md").write_text(markdown(found, found["note"]))
        return
    how = {"model": args.model, "seeds": args.seeds}
    found = {name: list(run(args.features, **how)) for name, run in (("profiles", profiles), ("flood", flood))}
    if args.other:
        found["camera change"] = list(camera_change(args.features, args.other, **how))
    found["streams"] = list(streams(args.features, **how))
    bundle = read_bundle(find_bundle(args.model))
    note = note_of(args.features, bundle, args.seeds)
    print(markdown(found, note))
    if args.output:
        write_results(args.output, "anchors", markdown(found, note), bundle=bundle, note=note, **found)


if __name__ == "__main__":
    main()
