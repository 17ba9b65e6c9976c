"""Where the camera is far off, an engine that adapts lets nobody in whom the same engine without it keeps out."""

from itertools import islice

import numpy as np

import ratta
from ratta.adaptation import Adaptation, Allowance
from ratta.records import Box, Verdict

SIDE, FRAMES, SESSIONS = 256, 7, 13
FACE = Box(*(SIDE * np.array([0.315, 0.315, 0.685, 0.685])).round().tolist())
PLENTY = Allowance(refill_per_s=1e3, capacity=1e6, per_session=1e6, per_hour=1e9, per_day=1e9)


def test_no_decision_is_more_live_than_the_source_models(played):
    """Frame by frame, through whole engines: at night, with every session, attacks too, confirmed as live."""
    adapt = Adaptation(inference_ms=0.5, clock=lambda: 0.0, drift=False, time=PLENTY)
    plain, adapting = ratta.load(), ratta.load(adapt=adapt)
    now_s = 0.0
    adapting.idle(now_s)
    for crops, _, _ in islice(played(3, change="night", frames=FRAMES), SESSIONS):
        with plain.session() as one, adapting.session() as other:
            for crop in crops:
                frame = np.ascontiguousarray(crop.repeat(2, axis=0).repeat(2, axis=1)[..., ::-1])
                expected, got = (session.step(frame, t=now_s, box=FACE) for session in (one, other))
                assert np.isnan(got.live_score) or got.live_score <= expected.live_score
                assert got.verdict is not Verdict.LIVE or expected.verdict is Verdict.LIVE
                now_s += 0.25
        other.confirm(is_live=True)
        adapting.idle(now_s + 1)
        now_s += 60
    assert adapting.adapter.counts["studied"] > 0.8 * SESSIONS
