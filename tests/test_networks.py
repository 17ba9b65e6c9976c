"""From a bundle to the network that answers, with a labelled profile's head behind it."""

import numpy as np
import pytest

import ratta
from ratta.errors import BundleError
from ratta.profile import CameraProfile, read_profile, write_profile
from ratta.records import logit

BOX = (170, 68, 284, 182)


@pytest.fixture
def profile(shipped, tmp_path):
    """`profile(weight, offset)`: a labelled profile of the shipped model, written."""

    def make(weight, offset):
        head = {"head.weight": np.asarray(weight, np.float32), "head.offset": np.array(float(offset))}
        made = CameraProfile(
            model_sha256=shipped.bundle.sha256, level=0.0, anchor={}, head=head, made_from={"kind": "labelled"}
        )
        write_profile(tmp_path / "profile", made)
        return tmp_path / "profile"

    return make


def width_of(shipped):
    size = shipped.bundle.contract.size
    grey = tuple(np.full((size, size, 3), 127, np.uint8) for _ in shipped.bundle.crops)
    return shipped.network.read(grey).embedding.size


def test_a_labelled_profile_moves_the_score(shipped, portrait, profile):
    """It may grant as well as deny, needs no adaptation, and goes with the engine that loads it."""
    before = logit(shipped.score(portrait, box=BOX).live_score)
    for offset in (2.0, -3.0):
        engine = ratta.load(profile=profile(np.zeros(width_of(shipped)), offset))
        assert engine.adapter is None
        assert logit(engine.score(portrait, box=BOX).live_score) == pytest.approx(before + offset, abs=1e-4)
    assert logit(shipped.score(portrait, box=BOX).live_score) == pytest.approx(before)


def test_anchors_stand_on_a_labelled_profile(shipped, portrait, profile):
    """The adapter answers by the corrected network."""
    place = profile(np.zeros(width_of(shipped)), 1.5)
    engine = ratta.load(profile=place, adapt=True)
    decision = engine.session().step(portrait, t=0.0, box=BOX)
    before = shipped.score(portrait, box=BOX).live_score
    assert logit(decision.live_score) == pytest.approx(logit(before) + 1.5, abs=1e-4)


def test_what_is_written_is_read(shipped, profile):
    """The head beside no anchor."""
    found = read_profile(profile([1.0, 2.0], 0.5), model_sha256=shipped.bundle.sha256)
    assert ([1.0, 2.0], 0.5, {}) == (found.head["head.weight"].tolist(), float(found.head["head.offset"]), found.anchor)


@pytest.mark.parametrize(
    ("weight", "offset", "message"),
    [([1.0, 2.0], 0.0, "got one for 2"), (np.full(3, np.nan), 0.0, "finite"), ([[1.0]], 0.0, "head.weight")],
)
def test_a_head_that_does_not_fit_is_refused(profile, weight, offset, message):
    """At load, not at the first face."""
    with pytest.raises(BundleError, match=message):
        ratta.load(profile=profile(weight, offset))
