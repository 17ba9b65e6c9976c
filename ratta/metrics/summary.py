"""Everything an accuracy claim needs, in one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ratta.metrics.curves import auc, eer
from ratta.metrics.intervals import Estimate, bootstrap, bootstrap_statistic, clopper_pearson
from ratta.metrics.rates import Counts, count

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from ratta.metrics.score_set import ScoreSet
    from ratta.metrics.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Rate:
    """`errors` of `n` with the exact (Clopper-Pearson) interval; all `nan` for `n = 0`."""

    errors: int
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one method on one set at one threshold, each with its interval.

    Attributes
    ----------
    samples, subjects : int
        Presentations, refused ones included, and people (0 if unknown).
    threshold : Threshold
        Value, policy and the set it was chosen on.
    apcer_by_species : dict of Rate
        Over answered attacks; sorted by species.
    worst_species : str
        The one that `apcer` is about, alphabetically first of equals; empty without an answered attack.
    apcer, bpcer : Rate
        Classification errors over answered presentations.
    apnrr, bpnrr, fta : Rate
        Refused attacks, refused bona fide presentations, and both together (failure to acquire).
    far, frr : Rate
        System errors over all presentations: a refused attack is rejected rightly, a refused live one wrongly.
    acer, hter : Estimate
        `(APCER + BPCER) / 2` and `(FAR + FRR) / 2`; bootstrap over subjects. Where no error was made the bootstrap has
        nothing to draw, and the ends are those of the two exact intervals at the joint (Bonferroni) level.
    auc, eer : Estimate
        Read off this very set: separability, not an operating point.
    confidence : float
        Of every interval.
    notes : tuple of str
        What is undefined, and why.
    """

    samples: int
    subjects: int
    threshold: Threshold
    apcer_by_species: dict[str, Rate]
    worst_species: str
    apcer: Rate
    bpcer: Rate
    apnrr: Rate
    bpnrr: Rate
    fta: Rate
    far: Rate
    frr: Rate
    acer: Estimate
    hter: Estimate
    auc: Estimate
    eer: Estimate
    confidence: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and numbers, for JSON; undefined figures are `nan`."""
        return asdict(self)


def summary(scores: ScoreSet, threshold: Threshold, *, seed: int = 0, confidence: float = 0.95) -> Summary:
    """Summarise a scored set at a threshold that was fixed elsewhere.

    Parameters
    ----------
    scores : ScoreSet
        N presentations, with species and subjects for a claim that can be compared.
    threshold : Threshold
        From `choose_threshold` on the development set.
    seed : int
        Of the bootstrap.
    confidence : float
        In (0, 1).

    Returns
    -------
    Summary
        Undefined figures are `nan` and `notes` says why.

    Examples
    --------
    >>> from ratta.metrics import ScoreSet, Threshold, summary
    >>> scores = ScoreSet(live_scores=[0.9, 0.4, 0.6, 0.1], is_live=[1, 1, 0, 0], subjects=["a", "b", "a", "b"])
    >>> s = summary(scores, Threshold(0.5, "eer", "development"))
    >>> s.acer.value, s.apcer.errors, s.apcer.n
    (0.5, 1, 2)
    """
    by_subject = count(scores, threshold.value)
    totals = by_subject.total()
    rates = _Rates(totals, confidence)
    species = {name: rates.classification(1 + i) for i, name in enumerate(totals.species)}
    answered = {name: rate for name, rate in species.items() if rate.n}
    worst = max(answered, key=lambda name: answered[name].value, default="")

    def compound(figure: Callable[[Counts], npt.NDArray[np.float64]], first: Rate, second: Rate) -> Estimate:
        estimate = bootstrap(figure, by_subject, seed=seed, confidence=confidence)
        return _without_errors(first, second, confidence) if estimate.value == 0 else estimate

    apcer = answered.get(worst) or rates.of(0, 0)
    bpcer, far, frr = rates.classification(0), rates.far(), rates.frr()
    return Summary(
        samples=len(scores),
        subjects=0 if scores.subjects is None else len(by_subject.presented),
        threshold=threshold,
        apcer_by_species=species,
        worst_species=worst,
        apcer=apcer,
        bpcer=bpcer,
        apnrr=rates.of(totals.refused[1:].sum(), totals.presented[1:].sum()),
        bpnrr=rates.of(totals.refused[0], totals.presented[0]),
        fta=rates.of(totals.refused.sum(), totals.presented.sum()),
        far=far,
        frr=frr,
        acer=compound(lambda c: c.acer, apcer, bpcer),
        hter=compound(lambda c: c.hter, far, frr),
        auc=bootstrap_statistic(auc, scores, seed=seed, confidence=confidence),
        eer=bootstrap_statistic(eer, scores, seed=seed, confidence=confidence),
        confidence=confidence,
        notes=_notes(scores, totals, threshold),
    )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Counts -> rates with exact intervals."""

    counts: Counts
    confidence: float

    def of(self, errors: float, n: float) -> Rate:
        low, high = clopper_pearson(round(errors), round(n), confidence=self.confidence)
        return Rate(round(errors), round(n), errors / n if n else float("nan"), low, high)

    def classification(self, kind: int) -> Rate:
        c = self.counts
        return self.of(c.errors[kind], c.presented[kind] - c.refused[kind])

    def far(self) -> Rate:
        return self.of(self.counts.errors[1:].sum(), self.counts.presented[1:].sum())

    def frr(self) -> Rate:
        return self.of(self.counts.errors[0] + self.counts.refused[0], self.counts.presented[0])


def _without_errors(first: Rate, second: Rate, confidence: float) -> Estimate:
    joint = 1 - (1 - confidence) / 2
    highs = [clopper_pearson(rate.errors, rate.n, confidence=joint)[1] for rate in (first, second)]
    return Estimate(0.0, 0.0, sum(highs) / 2)


def _notes(scores: ScoreSet, totals: Counts, threshold: Threshold) -> tuple[str, ...]:
    answered = totals.presented - totals.refused
    found = []
    if not answered[0]:
        found.append("no answered bona fide presentation: BPCER, ACER, AUC and EER are undefined")
    if not answered[1:].sum():
        found.append("no answered attack: APCER, ACER, AUC and EER are undefined")
    silent = [name for name, n in zip(totals.species, answered[1:], strict=True) if not n]
    found += [f"every {name} attack was refused: its APCER is undefined" for name in silent]
    if scores.subjects is None:
        found.append("no subjects given: intervals of compound figures are undefined")
    elif len(set(scores.subjects.tolist())) < 2:
        found.append("fewer than two subjects: intervals of compound figures are undefined")
    if threshold.value != threshold.value:
        found.append(f"the policy {threshold.policy} was undefined on {threshold.origin}: everything counts as attack")
    return tuple(found)
