"""What speaks for one contract and against another, when a network is tried on pictures whose class is known.

Three things tell a right input from a wrong one:

- *Normalisations.* A batch normalisation that was not folded remembers mean and variance of its input in training.
  Under a right input they are met, under another range, colour order or layout they are missed. The *misfit* is the
  median over channels of the divergence of the Gaussian seen from the one remembered. It needs no label.
- *Spread.* A network whose log-odds hardly move, or run into the hundreds, does not see what it was trained on.
- *Ranking.* Under a right input live faces score above attacks more often (AUC; the difference of two is held against
  its standard error for the same pictures: DeLong et al. 1988), and fall on the right side of even odds more often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.contract import OutputRule
from ratta.inference import OrtSession
from ratta.inference.network import Feed, live_margin

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.contract import InputRule
    from ratta.wrap.examples import Examples
    from ratta.wrap.foreign import Foreign

    Floats = npt.NDArray[np.float64]

MISFIT_FACTOR = 1.28
"""A misfit so many times another's speaks as loudly as an AUC that lies one-sidedly beyond 95 % of chance."""
STILL, WILD = 0.3, 60.0
"""Standard deviation and median size of log-odds below and above which a network does not see what it knows."""
MOST_FOR_MISFIT = 48
MOST_ERRORS = 20.0
"""Standard errors beyond which more says no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the examples say of one property of a contract.

    Attributes
    ----------
    what : str
        "layout", "range", "colour order" or "class order".
    used, other : str
        What the contract says, and the best alternative.
    weight : float
        Of the evidence for what is used against the alternative: above 1 it holds, below -1 the alternative does.
    given : bool
        Whether the user said so, or it was found.
    """

    what: str
    used: str
    other: str
    weight: float
    given: bool

    @property
    def swapped(self) -> bool:
        """Whether the alternative looks right."""
        return self.weight <= -1

    def __str__(self) -> str:
        if self.swapped:
            return (
                f"{self.what}: LOOKS SWAPPED: {self.used} was given, {self.other} fits ({-self.weight:.1f} against 1)"
            )
        if self.weight < 1:
            return f"{self.what}: {self.used}; these pictures cannot tell it from {self.other}"
        return (
            f"{self.what}: {self.used}{'' if self.given else ', found'} (not {self.other}: {self.weight:.1f} against 1)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a network said under one input rule: scores (N, C), and the misfit of its normalisations, nan without."""

    scores: Floats
    misfit: float


class Examiner:
    """Tries a network on examples under one input rule after another.

    Parameters
    ----------
    network : Foreign
    scores : str
        The output with the scores.
    kind : str
    examples : Examples
    """

    def __init__(self, network: Foreign, *, scores: str, kind: str, examples: Examples) -> None:
        self.kind = kind
        self.examples = examples
        self._normalisations = [one for one in network.normalisations() if one[0] != network.input]
        names = dict.fromkeys(name for name, *_ in self._normalisations)
        self._names = [scores, *names]
        self._session = OrtSession(network.with_outputs(*self._names), name=network.name)
        self._looks: dict[InputRule, Look] = {}

    def look(self, rule: InputRule) -> Look:
        """Try one input rule; what was tried is known."""
        if rule not in self._looks:
            self._looks[rule] = self._try(rule)
        return self._looks[rule]

    def _try(self, rule: InputRule) -> Look:
        feed = Feed(rule, len(self.examples.pixels[0]))
        scores, moments = [], [_Moments() for _ in self._names]
        every = max(1, len(self.examples.pixels) // MOST_FOR_MISFIT)
        for number, crop in enumerate(self.examples.pixels):
            found = self._session.run({rule.name: feed((crop,))})
            scores.append(found[0].ravel().astype(np.float64))
            if number % every == 0:
                for held, value in zip(moments, found, strict=True):
                    held.add(value)
        seen = dict(zip(self._names, moments, strict=True))
        misfits = [seen[name].divergence(mean, var) for name, mean, var in self._normalisations]
        return Look(np.stack(scores), float(np.median(misfits)) if misfits else math.nan)

    def margins(self, rule: InputRule, classes: tuple[str, ...]) -> Floats:
        """Log-odds of live of every example, under this order of classes."""
        outputs = OutputRule(kind=self.kind, classes=classes)
        return np.array([live_margin(values, outputs) for values in self.look(rule).scores.tolist()])

    def weigh(self, used: tuple[InputRule, tuple[str, ...]], other: tuple[InputRule, tuple[str, ...]]) -> float:
        """Weigh the evidence for one input and class order against another: above 1 it is better, below -1 worse."""
        weight = 0.0
        one, two = self.look(used[0]), self.look(other[0])
        if math.isfinite(one.misfit) and math.isfinite(two.misfit) and used[0] != other[0]:
            weight += math.log(two.misfit / one.misfit) / math.log(MISFIT_FACTOR)
        ours, theirs = self.margins(*used), self.margins(*other)
        weight += 2.0 * (_odd(theirs) - _odd(ours))
        # Where one input is odd, its ranking means nothing.
        if not (_odd(theirs) or _odd(ours)):
            is_live = self.examples.is_live
            told = gain(ours, theirs, is_live) + rightness(ours, theirs, is_live)
            weight += told / (math.sqrt(2) * 1.645)
        return float(np.clip(weight, -99, 99))


class _Moments:
    """Mean and variance of every channel over what is added; channels are axis 1."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(1), np.zeros(1)

    def add(self, value: npt.NDArray[np.float32]) -> None:
        rows = np.moveaxis(value.astype(np.float64), 1, -1).reshape(-1, value.shape[1])
        self._count += len(rows)
        self._sum, self._squares = self._sum + rows.sum(0), self._squares + (rows**2).sum(0)

    def divergence(self, mean: Floats, var: Floats) -> float:
        """Median over channels of the divergence of the Gaussian seen from the one remembered."""
        seen = self._sum / self._count
        share = np.maximum(self._squares / self._count - seen**2, 1e-12) / (var + 1e-5)
        distance = (seen - mean) ** 2 / (var + 1e-5)
        return float(np.median(0.5 * (distance + share - 1 - np.log(share)))) + 1e-6


def _odd(margins: Floats) -> bool:
    finite = margins[np.isfinite(margins)]
    return len(finite) < len(margins) or float(finite.std()) < STILL or float(np.median(np.abs(finite))) > WILD


def gain(first: Floats, second: Floats, is_live: npt.NDArray[np.bool_]) -> float:
    """By how many standard errors the AUC of `first` lies above that of `second`, on the same examples.

    Examples
    --------
    >>> live = np.array([True, True, False, False])
    >>> gain(np.array([2.0, 1.5, 0.0, 1.0]), np.array([0.0, 1.0, 2.0, 1.5]), live) > 1
    True
    """
    parts = [_placements(scores, is_live) for scores in (first, second)]
    difference = parts[0][0].mean() - parts[1][0].mean()
    live, attack = (parts[0][side] - parts[1][side] for side in (0, 1))
    return _in_errors(difference, live, attack)


def rightness(first: Floats, second: Floats, is_live: npt.NDArray[np.bool_]) -> float:
    """By how many standard errors `first` is right at even odds more often than `second`, classes counting alike.

    Where both rank live faces above attacks without error, this tells the class that is live from one that is merely
    less unlike it.
    """
    better = ((first >= 0) == is_live).astype(float) - ((second >= 0) == is_live)
    live, attack = better[is_live], better[~is_live]
    return _in_errors(float(live.mean() + attack.mean()), live, attack)


def _in_errors(difference: float, live: Floats, attack: Floats) -> float:
    error = math.sqrt(live.var() / len(live) + attack.var() / len(attack))
    return float(np.clip(difference / max(error, 1e-2), -MOST_ERRORS, MOST_ERRORS))


def _placements(scores: Floats, is_live: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return for every live example the share of attacks below, and for every attack the share of live ones above."""
    live, attack = scores[is_live][:, None], scores[~is_live]
    above = (live > attack) + 0.5 * (live == attack)
    return above.mean(1), above.mean(0)
