"""Thresholds by policy, on a set whose operating points can be counted."""

import math

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.metrics import ScoreSet, Threshold, apcer, bpcer, choose_threshold, curve, eer

# live: .35 .5 .7 .9   print: .1 .2 .3 .4   replay: .0 .6
SCORES = ScoreSet(
    live_scores=[0.35, 0.5, 0.7, 0.9, 0.1, 0.2, 0.3, 0.4, 0.0, 0.6],
    is_live=[1] * 4 + [0] * 6,
    species=[""] * 4 + ["print"] * 4 + ["replay"] * 2,
)


@pytest.mark.parametrize(
    ("policy", "value"),
    [
        ("eer", 0.45),  # 1/6 of the attacks and 1/4 of the live: nearest
        ("apcer=0", 0.65),
        ("apcer=0.5", 0.325),  # replay 1/2 and print 1/4 above it; lower, more live are accepted, but there are none
        ("bpcer=0", 0.325),
        ("bpcer=0.25", 0.45),
        ("bpcer=0.5", 0.65),
        ("cost=0.99", 0.65),
        ("cost=0.01", 0.325),
        ("cost=0.5", 0.65),  # (0 + 1/2) / 2 ties with (1/2 + 0) / 2 and goes to security
        ("fixed=0.5", 0.5),
    ],
)
def test_policies(policy: str, value: float) -> None:
    """Each policy gives the operating point counted by hand, midway between neighbouring scores."""
    assert pytest.approx(value) == choose_threshold(SCORES, policy=policy, origin="dev").value


def test_threshold_remembers_policy_and_origin() -> None:
    """A threshold carries what it was chosen by and on."""
    assert Threshold(0.5, "fixed=0.5", "dev of NUAA") == choose_threshold(
        SCORES, policy="fixed=0.5", origin="dev of NUAA"
    )


@pytest.mark.parametrize("seed", range(20))
def test_policies_keep_their_promise(seed: int) -> None:
    """On random tied scores: the promised rate holds, and one step further it would not."""
    rng = np.random.default_rng(seed)
    is_live = rng.random(200) < 0.5
    scores = ScoreSet(live_scores=np.round(rng.normal(is_live, 1.0), 1), is_live=is_live)
    at_apcer = choose_threshold(scores, policy="apcer=0.05", origin="").value
    at_bpcer = choose_threshold(scores, policy="bpcer=0.05", origin="").value
    thresholds = curve(scores).thresholds.tolist()
    higher = thresholds[thresholds.index(at_bpcer) + 1]
    better = [t for t in thresholds if bpcer(scores, t) < bpcer(scores, at_apcer)]
    assert apcer(scores, at_apcer) <= 0.05
    assert all(apcer(scores, t) > 0.05 for t in better)
    assert bpcer(scores, at_bpcer) <= 0.05 < bpcer(scores, higher)


def test_eer_threshold_gives_the_eer() -> None:
    """At the EER threshold the mean of both rates on the set is its EER."""
    at = choose_threshold(SCORES, policy="eer", origin="").value
    pooled = ScoreSet(live_scores=SCORES.live_scores, is_live=SCORES.is_live)
    assert eer(SCORES) == (apcer(pooled, at) + bpcer(pooled, at)) / 2


@pytest.mark.parametrize("policy", ["eer", "apcer=0.05", "bpcer=0.05", "cost=0.5"])
@pytest.mark.parametrize("is_live", [[1, 1], [0, 0]])
def test_single_class_is_undefined(policy: str, is_live: list[int]) -> None:
    """One class alone gives no threshold rather than an arbitrary one."""
    scores = ScoreSet(live_scores=[0.2, 0.8], is_live=is_live)
    assert math.isnan(choose_threshold(scores, policy=policy, origin="").value)


@pytest.mark.parametrize("policy", ["", "eer=1", "apcer", "apcer=5", "cost=1", "fixed=nan", "hter=0.1"])
def test_unknown_policy(policy: str) -> None:
    """A policy that does not exist, or a percentage, is refused with the list of those that do."""
    with pytest.raises(InputError, match=r"policy: expected 'eer', 'apcer=0\.05'"):
        choose_threshold(SCORES, policy=policy, origin="")
