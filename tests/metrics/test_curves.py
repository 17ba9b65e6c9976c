"""Curves against scikit-learn on random scores with ties, and against small tables."""

import math
from types import ModuleType

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.metrics import ScoreSet, auc, bpcer_at_apcer, curve, eer, probit

NAN = float("nan")


@pytest.fixture
def sklearn() -> ModuleType:
    return pytest.importorskip("sklearn.metrics")


def random_scores(seed: int, *, decimals: int, n: int = 300) -> ScoreSet:
    """Overlapping classes; few decimals make many ties, and some presentations are refused."""
    rng = np.random.default_rng(seed)
    is_live = rng.random(n) < 0.4
    scores = np.round(rng.normal(is_live * 1.0, 1.0), decimals)
    scores[rng.random(n) < 0.05] = NAN
    return ScoreSet(live_scores=scores, is_live=is_live, species=rng.choice(["print", "replay", "mask"], n))


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("seed", range(5))
def test_auc_parity(sklearn: ModuleType, seed: int, decimals: int) -> None:
    """The rank statistic is scikit-learn's area, ties included."""
    s = random_scores(seed, decimals=decimals)
    known = ~s.refused
    assert pytest.approx(sklearn.roc_auc_score(s.is_live[known], s.live_scores[known]), abs=1e-12) == auc(s)


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("seed", range(5))
def test_curve_parity(sklearn: ModuleType, seed: int, decimals: int) -> None:
    """Every operating point is a point of scikit-learn's ROC curve, and there are equally many."""
    s = random_scores(seed, decimals=decimals)
    known = ~s.refused
    fpr, tpr, _ = sklearn.roc_curve(s.is_live[known], s.live_scores[known], drop_intermediate=False)
    ours = curve(s)
    np.testing.assert_allclose(ours.apcer[::-1], fpr, atol=1e-12)
    np.testing.assert_allclose(1 - ours.bpcer[::-1], tpr, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_eer_lies_where_the_curve_crosses(sklearn: ModuleType, seed: int) -> None:
    """The EER differs from the interpolated crossing of scikit-learn's curve by no more than one step of the curve."""
    s = random_scores(seed, decimals=8)
    known = ~s.refused
    fpr, tpr, _ = sklearn.roc_curve(s.is_live[known], s.live_scores[known], drop_intermediate=False)
    i = int(np.argmax(fpr >= 1 - tpr))
    step = max(fpr[i] - fpr[i - 1], tpr[i] - tpr[i - 1])
    low, high = sorted((max(fpr[i - 1], 1 - tpr[i]), min(fpr[i], 1 - tpr[i - 1])))
    assert low - step <= eer(s) <= high + step


def test_eer_by_hand() -> None:
    """With one of four live below one of four attacks both rates meet at a quarter."""
    s = ScoreSet(live_scores=[0.35, 0.7, 0.8, 0.9, 0.1, 0.2, 0.3, 0.6], is_live=[1] * 4 + [0] * 4)
    assert 0.25 == eer(s)


def test_worst_species_curve_lies_above_the_pooled_one() -> None:
    """At every threshold the worst species is at least as bad as the mean, and is one of the species."""
    s = random_scores(0, decimals=1)
    pooled, worst = curve(s), curve(s, worst_species=True)
    assert bool(np.all(worst.apcer >= pooled.apcer - 1e-12))
    middle = len(worst.thresholds) // 2
    each = [
        (s.live_scores[(s.species == name) & ~s.refused] >= worst.thresholds[middle]).mean()
        for name in s.attack_species
    ]
    assert pytest.approx(max(each)) == worst.apcer[middle]


def test_thresholds_between_neighbouring_floats() -> None:
    """Where no float lies between two scores, the threshold is the higher one, so that the lower is rejected."""
    low = 0.3
    high = float(np.nextafter(low, 1))
    c = curve(ScoreSet(live_scores=[low, high], is_live=[0, 1]))
    assert (high, 0.0, 0.0) == (c.thresholds[1], c.apcer[1], c.bpcer[1])


def test_infinite_scores() -> None:
    """Infinite scores are scores: the thresholds stay ordered and the rates right."""
    c = curve(ScoreSet(live_scores=[-np.inf, 0.0, np.inf], is_live=[0, 0, 1]))
    assert ([1.0, 0.5, 0.0], [0.0, 0.0, 0.0]) == (c.apcer.tolist()[:3], c.bpcer.tolist()[:3])


def test_bpcer_at_apcer_by_hand() -> None:
    """To reject the attack at 0.6 of the rarer species, two of four live at 0.5 and 0.55 must go."""
    s = ScoreSet(
        live_scores=[0.5, 0.55, 0.7, 0.9] + [0.6] + [0.1] * 99,
        is_live=[1] * 4 + [0] * 100,
        species=[""] * 4 + ["mask"] + ["print"] * 99,
    )
    assert (0.5, 0.5, 0.0) == (bpcer_at_apcer(s, 0.05), bpcer_at_apcer(s, 0.0), bpcer_at_apcer(s, 1.0))


def test_bpcer_at_apcer_wants_a_share() -> None:
    """A percentage is refused."""
    with pytest.raises(InputError, match=r"0\.05 gives BPCER20"):
        bpcer_at_apcer(random_scores(0, decimals=1), 5)


@pytest.mark.parametrize("scores", [([], []), ([0.5], [1]), ([0.5], [0]), ([NAN, 0.5], [1, 0])])
def test_undefined(scores: tuple[list[float], list[int]]) -> None:
    """Empty and single-class sets have no AUC, no EER and no BPCER at an APCER."""
    s = ScoreSet(live_scores=scores[0], is_live=scores[1])
    assert all(math.isnan(value) for value in (auc(s), eer(s), bpcer_at_apcer(s, 0.05)))


def test_all_scores_tied() -> None:
    """A constant model has AUC one half and EER one half."""
    s = ScoreSet(live_scores=[0.5] * 4, is_live=[1, 1, 0, 0])
    assert (0.5, 0.5) == (auc(s), eer(s))


def test_probit() -> None:
    """The axis of a DET curve: 97.725 % lies two deviations up."""
    assert pytest.approx(2.0, abs=1e-4) == probit(np.array([0.97725]))[0]
