"""What a labelled camera profile is worth on people whom it has not seen, and whether a bad one is refused.

Reads features of a real webcam (`webcam.npz`: embeddings, log-odds, species, person, session), draws sessions of half
of the people, makes a profile of them and tests it on the other half. Development figures: the method was developed on
these features.

    python bench/labelled_profile.py --features webcam.npz --output bench/results/adaptation

EER and APCER at a BPCER of 5 % are of whole sessions (median of their frames), the threshold on the tested people
themselves for source and head alike, so that ranking alone is compared; what the product does is `taken` (its threshold
is chosen without the people it is tested on).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ratta.adaptation.source import SourceReference, Space
from ratta.bundle import find_bundle, read_bundle
from ratta.calibration.labelled import Features, Head, LabelledSession, fit, labelled_profile
from ratta.errors import DataError
from ratta.metrics import ScoreSet, apcer_by_species, choose_threshold, eer, paired_difference
from ratta.records import logit

COUNTS = (2, 5, 10, 20)
DRAWS, REFUSAL_DRAWS, OTHER_DRAWS = 8, 200, 60
CROPS = {"wide": ("wide",), "wide + tight": ("wide", "tight")}
PEOPLE_TRAINED = 8


def read_features(path: Path, crops: Sequence[str]) -> list[LabelledSession]:
    """Read sessions; with two crops, the features stand side by side and the log-odds are averaged."""
    with np.load(path, allow_pickle=False) as archive:
        held = {name: archive[name] for name in archive.files}
    embeddings = np.concatenate([held[f"embedding_{crop}"].astype(np.float32) for crop in crops], axis=1)
    logits = np.mean([held[f"live_logit_{crop}"] for crop in crops], axis=0).astype(np.float64)
    found = []
    for number in np.unique(held["session"]):
        rows = np.flatnonzero(held["session"] == number)
        live, species = bool(held["is_live"][rows[0]]), str(held["species"][rows[0]])
        person = f"p{held['person'][rows[0]]}"
        found.append(LabelledSession(f"s{number}", person, "" if live else species, embeddings[rows], logits[rows]))
    return found


def side_by_side(space: Space, crops: int) -> Space:
    """Return the space of so many crops, each whitened by itself."""
    return Space(np.tile(space.mean, crops), np.kron(np.eye(crops, dtype=np.float32), space.basis))


def drawn(
    sessions: Sequence[LabelledSession], count: int, rng: np.random.Generator
) -> tuple[list[LabelledSession], list[LabelledSession]]:
    """Draw so many sessions of either class of half of the people, and all sessions of the other half."""
    people = rng.permutation(sorted({one.person for one in sessions}))
    first = set(people[:PEOPLE_TRAINED].tolist())
    chosen: list[LabelledSession] = []
    for live in (True, False):
        some = [one for one in sessions if one.is_live is live and one.person in first]
        chosen += [some[i] for i in rng.permutation(len(some))[:count]]
    return chosen, [one for one in sessions if one.person not in first]


def scored(sessions: Sequence[LabelledSession], scores: Sequence[float]) -> ScoreSet:
    return ScoreSet(
        live_scores=scores,
        is_live=[one.is_live for one in sessions],
        species=[one.species for one in sessions],
        subjects=[one.person for one in sessions],
    )


def source_scores(sessions: Sequence[LabelledSession]) -> list[float]:
    return [float(np.median(one.logits)) for one in sessions]


def figures(scores: ScoreSet) -> dict[str, Any]:
    threshold = choose_threshold(scores, policy="bpcer=0.05", origin="the tested people").value
    return {"eer": eer(scores), "apcer": apcer_by_species(scores, threshold)}


def mean_figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average over draws, with the spread of the EER."""
    values = np.array([row["eer"] for row in rows])
    species = rows[0]["apcer"]
    return {
        "eer": round(float(values.mean()), 4),
        "eer sd": round(float(values.std(ddof=1)), 4),
        "apcer at bpcer 5 %": {
            kind: round(float(np.mean([row["apcer"][kind] for row in rows])), 3) for kind in species
        },
    }


def learning_curve(sessions: Sequence[LabelledSession], space: Space) -> dict[str, Any]:
    """Measure heads of 2 + 2 to 20 + 20 sessions on people left out, the source beside them."""
    found: dict[str, Any] = {}
    for count in COUNTS:
        ours, source = [], []
        for seed in range(DRAWS):
            chosen, tested = drawn(sessions, count, np.random.default_rng(seed))
            features = Features.of(chosen, space)
            head = fit(chosen, features)
            ours.append(figures(scored(tested, [head.score(one) for one in tested])))
            source.append(figures(scored(tested, source_scores(tested))))
        found[f"{count}+{count}"] = {"head": mean_figures(ours), "source": mean_figures(source)}
    return found


def made(chosen: Sequence[LabelledSession], space: Space, live_logit: float) -> tuple[str, Head | None]:
    """Make a profile as the product does: what became of it, and its head."""
    try:
        found = labelled_profile(chosen, space, model_sha256="0", live_logit=live_logit)
    except DataError as error:
        return f"refused: {error}", None
    if found.profile is None:
        return f"not taken: {found.report['why_not']}", None
    return "taken", Head(found.profile.head["head.weight"], float(found.profile.head["head.offset"]))


def refusals(sessions: Sequence[LabelledSession], space: Space, live_logit: float) -> dict[str, Any]:
    """Draw bad sets of sessions and good ones, and see what is made of them, and what that does to people left out."""
    harm = {
        "good": lambda chosen, _: chosen,
        "every label swapped": lambda chosen, _: [swapped(one) for one in chosen],
        "labels at random": lambda chosen, rng: at_random(chosen, rng),
        "one label in five wrong": lambda chosen, rng: [swapped(one) if rng.random() < 0.2 else one for one in chosen],
        "one class": lambda chosen, _: [one for one in chosen if one.is_live],
        "one person": lambda chosen, _: [replace(one, person="p") for one in chosen],
        "one session of each": lambda chosen, _: [chosen[0], chosen[-1]],
    }
    found: dict[str, Any] = {}
    for name, change in harm.items():
        outcomes: Counter[str] = Counter()
        sentences: dict[str, str] = {}
        worse, changes = 0, []
        for seed in range(REFUSAL_DRAWS if name == "good" else OTHER_DRAWS):
            rng = np.random.default_rng((7, seed))
            count = int(rng.choice(COUNTS[1:]))
            chosen, tested = drawn(sessions, count, rng)
            outcome, head = made(change(chosen, rng), space, live_logit)
            kind = outcome.partition(":")[0]
            outcomes[kind] += 1
            sentences.setdefault(kind, outcome)
            if head is not None:
                moved = [head.score(one) - live_logit for one in tested]
                source = [score - live_logit for score in source_scores(tested)]
                difference = paired_difference(scored(tested, moved), scored(tested, source), threshold=0.0, seed=seed)
                worse += difference.apcer.low > 0
                changes.append((difference.acer.value, difference.apcer.value, difference.bpcer.value))
        mean = np.mean(changes, axis=0).round(4).tolist() if changes else None
        print(name, dict(outcomes), worse, mean, flush=True)
        found[name] = {
            "outcomes": dict(outcomes),
            "worst species worse beyond the interval": worse,
            "mean change of acer, worst apcer, bpcer where taken": mean,
            "sentences": sentences,
        }
    return found


def swapped(one: LabelledSession) -> LabelledSession:
    return replace(one, species="" if one.species else "print")


def at_random(chosen: Sequence[LabelledSession], rng: np.random.Generator) -> list[LabelledSession]:
    kinds = [one.species for one in chosen]
    return [replace(one, species=kinds[i]) for one, i in zip(chosen, rng.permutation(len(kinds)), strict=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--model", default="ratta-mnv3s-128", help="whose embeddings they are")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--part", choices=("curve", "refusals", "all"), default="all")
    args = parser.parse_args(argv)
    if not args.features.is_file():
        print(f"SKIPPED: {args.features} is not here; nothing was measured", file=sys.stderr)
        return 0
    bundle = read_bundle(find_bundle(args.model))
    space = SourceReference.from_arrays(bundle.statistics, width=576).space
    results: dict[str, Any] = {"model": [bundle.name, bundle.version], "data": "real webcam, 15 people, development"}
    for name, crops in CROPS.items() if args.part != "refusals" else ():
        results[name] = learning_curve(read_features(args.features, crops), side_by_side(space, len(crops)))
        print(name, json.dumps(results[name], indent=1), flush=True)
    if args.part == "curve":
        return written(args.output, results)
    wide = read_features(args.features, ("wide",))
    results["refusals"] = refusals(wide, space, logit(bundle.calibration.live_threshold))
    print(json.dumps(results["refusals"], indent=1))
    return written(args.output, results)


def written(folder: Path, results: dict[str, Any]) -> int:
    """Put the results beside what is there of another part."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "labelled.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps(known | results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
