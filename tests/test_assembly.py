"""What an engine that adapts is put together from."""

import pytest

import ratta
from ratta.adaptation import Adaptation
from ratta.adaptation.budget import FIVE_PERCENT, allowance_for
from ratta.assembly import LEAST_MS
from ratta.decision import Policy
from ratta.records import logit


def clock_of(*took_ms):
    """A clock by which one run after another takes so long."""
    now, ticks = 0.0, []
    for took in took_ms:
        ticks += [now, now + took]
        now += took + 100.0
    return iter(ticks).__next__


def test_a_run_is_timed_at_load(adaptable):
    """The median of five runs, by the clock that work is billed by."""
    adapter = ratta.load(adaptable, adapt=Adaptation(clock=clock_of(1.0, 3.0, 2.0, 900.0, 5.0))).adapter
    assert (adapter.inference_ms, adapter.budget.time) == (3.0, allowance_for(3.0))


def test_what_is_given_is_not_timed(adaptable):
    """No clock is asked, and an allowance that was given stays as it is."""
    settings = Adaptation(inference_ms=50.0, time=FIVE_PERCENT, clock=clock_of())
    adapter = ratta.load(adaptable, adapt=settings).adapter
    assert (adapter.inference_ms, adapter.budget.time) == (50.0, FIVE_PERCENT)


def test_a_coarse_clock_is_not_believed(adaptable):
    """No run takes no time, as some browsers' clocks would have it."""
    assert ratta.load(adaptable, adapt=Adaptation(clock=lambda: 0.0)).adapter.inference_ms == LEAST_MS


def test_settings_reach_the_parts(adaptable):
    """Each setting decides what it names."""
    settings = Adaptation(alpha=0.1, gated=False, drift=False, shadow=True, confirm_s=5.0, inference_ms=1.0)
    adapter = ratta.load(adaptable, adapt=settings).adapter
    assert (0.1, 0.1) == (adapter.anchor.alpha, adapter.monitor.alpha)
    assert (False, None, True, 5.0) == (adapter.gate.gated, adapter.detector, adapter.shadow, adapter.confirm_s)


def test_a_calibrated_reference_detects_drift(adaptable):
    """The detector is there, and a new engine finds itself in band IN."""
    adapter = ratta.load(adaptable, adapt=True).adapter
    assert adapter.detector is not None
    assert "in" == adapter.band


@pytest.mark.parametrize("inference_ms", [0.1, 2.0, 5.0, 1000.0])
@pytest.mark.parametrize("share", [0.01, 0.05])
def test_every_piece_of_work_can_be_paid(inference_ms, share):
    """Even where it costs a third more than it is taken for; the share is kept whatever the device."""
    allowance = allowance_for(inference_ms, share=share)
    assert 1.3 * 1.5 * inference_ms <= allowance.most
    assert allowance.refill_per_s == pytest.approx(1000 * share)


def test_a_policy_of_ones_own_decides_what_is_confident(adaptable):
    """The gate's and the anchors' live threshold is the policy's, not the bundle's."""
    policy = Policy(live_threshold=0.9, spoof_threshold=0.1)
    adapter = ratta.load(adaptable, adapt=Adaptation(inference_ms=1.0), policy=policy).adapter
    assert logit(0.9) == adapter.live_logit == adapter.gate.live_logit
