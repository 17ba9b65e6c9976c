"""From a few labelled sessions of one camera to its profile: a head that corrects the source, or a report why not.

The head may grant, not only deny: it is taken only where people whom it has not seen say that it is better.

1. *Fit.* A ridge logistic head on the whitened embedding and on what whitening leaves out, the source's log-odds as
   offset (`fit_head`). Live counts as much as all attacks together, every species as much as any other, every session
   as much as any other of its kind.
2. *Choose.* By leave-one-person-out: the head only if it loses less than the source with nothing but another
   threshold.
3. *Threshold.* For a stated policy, from the scores that people had who were left out.
4. *Judge.* Everybody's verdicts with head and threshold made of the others, against the source at its own threshold:
   taken only if it ranks them better than chance, the worst species' APCER does not rise, and the ACER falls below that
   of the source with another threshold, and below the source's with an interval (bootstrap over people) clear of zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.calibration.head import fit_head
from ratta.errors import DataError
from ratta.metrics import ScoreSet, choose_threshold, clopper_pearson, count, paired_difference
from ratta.profile import CameraProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ratta.adaptation.source import Space

    Doubles = npt.NDArray[np.float64]

RIDGE = 3e-4
"""With weights that sum to 1 and features of mean square length 2; choosing it each time cost more than it gained."""
LEAST_SESSIONS = 2
LEAST_PEOPLE = 3
ODD = 4.0
"""Log-odds against its label from which a session is named: look whether it is labelled right."""
CHANCE = 0.6
"""A left-out AUC must lie above it with 95 % confidence."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSession:
    """What the source said of one session whose class is known.

    Attributes
    ----------
    name, person : str
    species : str
        Of an attack; empty for live.
    embeddings : (n, D) float
        Of its frames.
    logits : (n,) float64
        Calibrated log-odds of the source.
    """

    name: str
    person: str
    species: str
    embeddings: npt.NDArray[np.floating[Any]]
    logits: Doubles

    @property
    def is_live(self) -> bool:
        """Whether it was bona fide."""
        return not self.species


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A correction of the source's log-odds: `logit + embedding @ weight + offset`."""

    weight: Doubles
    offset: float

    def score(self, session: LabelledSession) -> float:
        """Median corrected log-odds of a session."""
        return float(np.median(session.logits + session.embeddings @ self.weight + self.offset))


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """An affine map of the embedding: its whitened directions, and what they leave out, each of mean square length 1.

    Whitening brings out directions in which the source varies little; what lies outside its few directions can tell
    this camera's attacks as well.

    Attributes
    ----------
    mean : (D,) float64
    matrix : (K + D, D) float64
    """

    mean: Doubles
    matrix: Doubles

    @classmethod
    def of(cls, sessions: Sequence[LabelledSession], space: Space) -> Features:
        """Scale both parts by the sessions, whatever their labels."""
        basis, mean = space.basis.astype(np.float64), space.mean.astype(np.float64)
        spanned = np.linalg.qr(basis.T)[0]
        rest = np.eye(len(mean)) - spanned @ spanned.T
        rows = np.concatenate([one.embeddings for one in sessions]) - mean
        parts = [part / max(float(np.sqrt(np.mean(((rows @ part.T) ** 2).sum(1)))), 1e-9) for part in (basis, rest)]
        return cls(mean, np.concatenate(parts))

    def __call__(self, embeddings: npt.NDArray[np.floating[Any]]) -> Doubles:
        """Map embeddings (n, D) to features (n, K + D)."""
        return np.asarray((embeddings - self.mean) @ self.matrix.T, np.float64)

    def head(self, weight: Doubles, offset: float) -> Head:
        """Express a head on features as one on the embedding."""
        on_embedding = self.matrix.T @ weight
        return Head(on_embedding, offset - float(on_embedding @ self.mean))


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """What came of labelled sessions: a profile, or why there is none.

    Attributes
    ----------
    profile : CameraProfile or None
    report : dict
        Sessions, people, figures on people left out, and `why_not`, empty where the profile was taken.
    """

    profile: CameraProfile | None
    report: dict[str, Any]


def labelled_profile(
    sessions: Sequence[LabelledSession],
    space: Space,
    *,
    model_sha256: str,
    live_logit: float,
    policy: str = "bpcer=0.05",
    seed: int = 0,
) -> Labelled:
    """Train a camera profile and judge it on people left out.

    Parameters
    ----------
    sessions : sequence of LabelledSession
        Of both classes, two or more of each, of three or more people.
    space : Space
        In which the source's embeddings are white.
    model_sha256 : str
        Of the bundle.
    live_logit : float
        The source's live threshold, in log-odds.
    policy : str
        `bpcer=R` or `apcer=R`, or another of `ratta.metrics.choose_threshold`.
    seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        If something is missing: the message says what.
    """
    check(sessions, live_logit)
    features = Features.of(sessions, space)
    scores = left_out_scores(sessions, features)
    losses = losses_of(sessions, scores, features)
    moved = choose_threshold(_score_set(sessions, scores), policy=policy, origin="people left out").value
    if not np.isfinite(moved):
        raise DataError(f"labelled profile: expected a policy that these sessions can meet, got {policy!r}")
    margins = _margins_left_out(sessions, scores, policy)
    report = _report(sessions, margins, live_logit, policy, seed) | {"ridge": RIDGE, "loss": losses}
    report["look_at"] = _contradicting(sessions, scores)
    report["auc"] = [round(value, 4) for value in _auc(_score_set(sessions, scores))]
    plain = _margins_left_out(sessions, left_out_scores(sessions, features, np.inf), policy)
    report["acer_of_threshold_alone"] = round(float(count(_score_set(sessions, plain), 0.0).total().acer), 4)
    report["why_not"] = _why_not(losses, report)
    if report["why_not"]:
        return Labelled(None, report)
    head = fit(sessions, features)
    # The engine's thresholds stay: what is learnt moves the scores to where the live threshold is theirs.
    arrays: dict[str, npt.NDArray[Any]] = {
        "head.weight": head.weight.astype(np.float32),
        "head.offset": np.array(head.offset - moved + live_logit),
    }
    profile = CameraProfile(model_sha256=model_sha256, level=0.0, anchor={}, head=arrays, made_from=report)
    return Labelled(profile, report)


def check(sessions: Sequence[LabelledSession], live_logit: float) -> None:
    """Refuse sessions of which no profile can be made, and say what is missing.

    Raises
    ------
    DataError
        If a class has fewer than two sessions, there are fewer than three people, a class hangs on one person, a value
        is not finite, or the labels say the opposite of the model.
    """
    kinds = Counter(one.is_live for one in sessions)
    if min(kinds[True], kinds[False]) < LEAST_SESSIONS:
        raise DataError(
            f"labelled profile: expected {LEAST_SESSIONS} or more sessions of living faces and as many of attacks, got "
            f"{kinds[True]} and {kinds[False]}; record the missing class, or use --live, which needs no attacks"
        )
    people = {kind: {one.person for one in sessions if one.is_live is kind} for kind in (True, False)}
    everybody = people[True] | people[False]
    if len(everybody) < LEAST_PEOPLE or min(map(len, people.values())) < 2:
        raise DataError(
            f"labelled profile: expected {LEAST_PEOPLE} or more people, two or more in each class, got "
            f"{len(everybody)} ({len(people[True])} live, {len(people[False])} attacked): one is no sample"
        )
    for one in sessions:
        if not len(one.logits) or not (np.isfinite(one.embeddings).all() and np.isfinite(one.logits).all()):
            raise DataError(f"labelled profile: session {one.name}: expected frames with finite features, got others")
    source = _score_set(sessions, [float(np.median(one.logits)) for one in sessions])
    agreement, low, high = _auc(source)
    if high < 0.5:
        raise DataError(
            f"labelled profile: expected labels that the model agrees with more often than not, got an AUC of "
            f"{agreement:.2f} [{low:.2f}, {high:.2f}] at a threshold of {live_logit:.2f}; are live and attack swapped?"
        )


def _auc(scores: ScoreSet) -> tuple[float, float, float]:
    """AUC and its 95 % interval by the placements of each session (DeLong et al. 1988)."""
    live, attack = scores.live_scores[scores.is_live][:, None], scores.live_scores[~scores.is_live]
    above = (live > attack) + 0.5 * (live == attack)
    spread = above.mean(1).var(ddof=1) / len(live) + above.mean(0).var(ddof=1) / len(attack)
    half = 1.96 * max(float(np.sqrt(spread)), 0.5 / min(len(live), len(attack)))
    value = float(above.mean())
    return value, value - half, value + half


def fit(sessions: Sequence[LabelledSession], features: Features, ridge: float = RIDGE) -> Head:
    """Fit the head to sessions, or, with an infinite ridge, nothing but its intercept."""
    lengths = [len(one.logits) for one in sessions]
    weights = np.repeat(session_weights(sessions) / np.array(lengths), lengths)
    is_live = np.repeat([one.is_live for one in sessions], lengths)
    embeddings, logits = (np.concatenate([getattr(one, name) for one in sessions]) for name in ("embeddings", "logits"))
    if np.isinf(ridge):
        _, offset = fit_head(np.zeros((len(logits), 1)), logits, is_live, weights, ridge=1.0)
        return Head(np.zeros(embeddings.shape[1]), offset)
    return features.head(*fit_head(features(embeddings), logits, is_live, weights, ridge=ridge))


def session_weights(sessions: Sequence[LabelledSession]) -> Doubles:
    """Return weights that sum to 1: half for live, half shared alike by the species, within each by the sessions."""
    counts = Counter(one.species for one in sessions)
    attacks = max(1, len(counts) - ("" in counts))
    share = {kind: (0.5 if kind == "" else 0.5 / attacks) / number for kind, number in counts.items()}
    weights = np.array([share[one.species] for one in sessions])
    return np.asarray(weights / weights.sum())


def losses_of(sessions: Sequence[LabelledSession], scores: Sequence[float], features: Features) -> dict[str, float]:
    """Return what everybody's scores lose, and what the source with nothing but another threshold loses."""
    weights, is_live = session_weights(sessions), np.array([one.is_live for one in sessions])
    plain = left_out_scores(sessions, features, np.inf)
    return {
        "head": round(_loss(np.array(scores), is_live, weights), 5),
        "source": round(_loss(np.array(plain), is_live, weights), 5),
    }


def _loss(scores: Doubles, is_live: npt.NDArray[np.bool_], weights: Doubles) -> float:
    """Logistic loss under the best scale and offset: what a head knows, not how sure it is of it."""
    column = ((scores - scores.mean()) / max(float(scores.std()), 1e-9))[:, None]
    scale, offset = fit_head(column, np.zeros(len(scores)), is_live, weights, ridge=1e-3)
    margins = column @ scale + offset
    return float((weights * (np.logaddexp(0, margins) - is_live * margins)).sum())


def left_out_scores(sessions: Sequence[LabelledSession], features: Features, ridge: float = RIDGE) -> list[float]:
    """Score everybody's sessions under a head that was fitted to everybody else's."""
    scores = [0.0] * len(sessions)
    for person in dict.fromkeys(one.person for one in sessions):
        head = fit([one for one in sessions if one.person != person], features, ridge)
        for index, one in enumerate(sessions):
            if one.person == person:
                scores[index] = head.score(one)
    return scores


def _margins_left_out(sessions: Sequence[LabelledSession], scores: Sequence[float], policy: str) -> Doubles:
    """Return how far each score lies above a threshold that was chosen on the other people's scores."""
    margins = np.empty(len(sessions))
    known = _score_set(sessions, scores)
    people = np.array([one.person for one in sessions])
    for person in np.unique(people):
        others = known.take(people != person)
        margins[people == person] = choose_threshold(others, policy=policy, origin="others").value
    return np.asarray(np.asarray(scores) - margins)


def _score_set(sessions: Sequence[LabelledSession], scores: Sequence[float] | Doubles) -> ScoreSet:
    return ScoreSet(
        live_scores=scores,
        is_live=[one.is_live for one in sessions],
        species=[one.species for one in sessions],
        subjects=[one.person for one in sessions],
    )


def _report(
    sessions: Sequence[LabelledSession], margins: Doubles, live_logit: float, policy: str, seed: int
) -> dict[str, Any]:
    """Hold the head against the source, each at its own threshold, on people left out."""
    ours = _score_set(sessions, margins)
    source = _score_set(sessions, [float(np.median(one.logits)) - live_logit for one in sessions])
    difference = paired_difference(ours, source, threshold=0.0, seed=seed)
    figures = {name: count(scores, 0.0).total() for name, scores in (("profile", ours), ("source", source))}
    species = count(ours, 0.0).species
    rejected, lives = int((margins[ours.is_live] < 0).sum()), int(ours.is_live.sum())
    low, high = clopper_pearson(rejected, lives)
    rows = {
        name: {
            "bpcer": round(float(total.bpcer), 4),
            "apcer": {kind: round(float(total.apcer_by_species[i]), 4) for i, kind in enumerate(species)},
            "acer": round(float(total.acer), 4),
        }
        for name, total in figures.items()
    }
    return {
        "kind": "labelled",
        "sessions": {"live": lives, **Counter(one.species for one in sessions if one.species)},
        "people": len({one.person for one in sessions}),
        "policy": policy,
        "left_out": "person",
        **rows,
        "bpcer_interval_95": [round(low, 4), round(high, 4)],
        "acer_difference": [round(v, 4) for v in (difference.acer.value, difference.acer.low, difference.acer.high)],
        "worst_apcer_difference": round(difference.apcer.value, 4),
    }


def _why_not(losses: dict[str, float], report: dict[str, Any]) -> str:
    """Say why a head is not taken; empty where it is."""
    (value, _, high), (ranked, low, _) = report["acer_difference"], report["auc"]
    alone, ours = report["acer_of_threshold_alone"], report["profile"]["acer"]
    if low <= CHANCE:
        return (
            f"the head ranks people left out with an AUC of {ranked:.2f}, at least {low:.2f} with 95 % confidence: too "
            "near to chance; are the labels right, and are there enough sessions?"
        )
    if ours >= alone:
        return (
            f"the model with another threshold reaches an ACER of {alone:.3f} on people left out, the head {ours:.3f}"
        )
    if losses["head"] >= losses["source"]:
        return "on people left out, the head predicts no better than the source with another threshold"
    if report["worst_apcer_difference"] > 0:
        return f"the worst species' APCER rises by {report['worst_apcer_difference']:.3f} on people left out"
    if not high < 0:
        return (
            f"ACER changes by {value:+.3f} on people left out, but by up to {high:+.3f} within the 95 % interval; "
            "record more sessions, of more people"
        )
    return ""


def _contradicting(sessions: Sequence[LabelledSession], scores: Sequence[float]) -> list[str]:
    """Name sessions that people left out make look like the other class."""
    odd = [(-score if one.is_live else score, one.name) for one, score in zip(sessions, scores, strict=True)]
    return [name for against, name in sorted(odd, reverse=True) if against > ODD][:10]
