"""Where the camera is far off, an engine that may adapt is the engine that may not: bit for bit."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import ratta
from ratta.adaptation import Adaptation
from ratta.adaptation.drift import Band
from ratta.records import Box

SIDE, FRAMES, SESSIONS = 256, 6, 30
FACE = Box(*(SIDE * np.array([0.315, 0.315, 0.685, 0.685])).round().tolist())


@pytest.mark.parametrize("change", ["infrared", "night"])
def test_every_decision_is_the_source_models(played, change):
    """But for the band that it tells; every session is studied, and nothing is in force at the end.

    `bench/far.py` asks the same of two thousand frames of many people.
    """
    free = Adaptation(inference_ms=0.5, clock=lambda: 0.0)  # a busy machine must not be what keeps it from learning
    plain, adapting = ratta.load(), ratta.load(adapt=free)
    bands, now_s = Counter(), 0.0
    for crops, _, _ in islice(played(3, change=change, frames=FRAMES), SESSIONS):
        with plain.session() as one, adapting.session() as other:
            for crop in crops:
                frame = np.ascontiguousarray(crop.repeat(2, axis=0).repeat(2, axis=1)[..., ::-1])
                expected, got = (session.step(frame, t=now_s, box=FACE) for session in (one, other))
                assert repr(replace(got, band="")) == repr(expected)
                bands[got.band] += not np.isnan(got.live_score)
                now_s += 0.2
                adapting.idle(now_s)
        adapting.idle(now_s + 1)
        now_s += 30
    assert adapting.adapter.in_force is None
    assert adapting.adapter.counts["studied"] > 0.8 * SESSIONS
    assert adapting.adapter.band is not Band.IN, bands
    assert bands.total() > 100
