"""What a person sees in a console, a log or an editor: short lines without pixels, and no internals."""

import numpy as np
import pytest

import ratta
from ratta.engine import INTERNAL
from ratta.records import Box, Crop, Decision, Face, Reason, Verdict, short_repr


@pytest.fixture
def decision():
    return Decision(
        verdict=Verdict.LIVE,
        live_score=0.97123456,
        session_score=0.95,
        reason=Reason.STABLE,
        detail="",
        t=0.96,
        box=Box(1, 2, 3, 4),
        scored_frames=25,
        final=True,
    )


def test_engine_and_session_say_what_they_are(shipped):
    """Model, version and threshold; verdict, reason and frames."""
    assert f"<Engine ratta-mnv3s-128 {shipped.bundle.version}, live from 0." in repr(shipped)
    with shipped.session() as session:
        assert repr(session) == "<Session refused (no frames), 0 frames scored, open>"
    assert repr(session).endswith("closed>")
    assert repr(shipped.bundle).startswith("<Bundle ratta-mnv3s-128 ")


def test_a_decision_is_one_short_line(decision):
    """Scores with four digits."""
    assert repr(decision) == "<Decision live (stable) at t=0.96: live_score=0.9712, session_score=0.9500, final>"


def test_no_record_shows_pixels():
    """Arrays by shape and type, bytes by length, long texts cut."""
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    shown = repr(Crop((pixels,), Face(Box(0, 0, 2, 2), 0.9)))
    assert "pixels=(<(4, 4, 3) uint8>)" in shown
    assert "[" not in shown


def test_sources_and_their_frames_are_short(tmp_path):
    """A name, a number of frames, a rate; a frame by its shape."""
    pytest.importorskip("cv2")
    from ratta.camera import open_source
    from ratta.camera.recorder import encode_picture

    (tmp_path / "p.png").write_bytes(encode_picture(np.full((48, 64, 3), 90, np.uint8), ".png"))
    with open_source(tmp_path / "p.png") as source:
        assert repr(source).startswith("<Pictures ")
        assert repr(source).endswith("p.png, 1 frames>")
        assert "frame_bgr=<(48, 64, 3) uint8>" in repr(next(source))


def test_a_box_unpacks():
    """Into the order in which it was given."""
    x_min, y_min, x_max, y_max = Box(10, 20, 50, 80)
    assert (x_min, y_min, x_max, y_max) == (10, 20, 50, 80)


def test_an_engine_may_stand_in_a_with_statement(textured):
    """Leaving it forgets the stream and the failed attempts."""
    with ratta.load(runtime="numpy") as engine:
        engine.step(textured, t=1.0)
    assert engine.step(textured, t=0.0).reason == Reason.NO_FACE


def test_completion_offers_what_is_meant_for_users(shipped):
    """The facade's names, and an engine without what only sessions need."""
    assert set(dir(ratta)) == {*ratta.__all__, "__version__"}
    assert not INTERNAL & set(dir(shipped))
    assert {name for name in INTERNAL if not hasattr(shipped, name)} == set()
    assert {"step", "session", "score", "idle", "reset"} <= set(dir(shipped))


def test_adaptation_settings_are_a_name_of_the_facade():
    """Without being imported by those who do not adapt: see test_package.py."""
    from ratta.adaptation import Adaptation

    assert ratta.Adaptation is Adaptation
    with pytest.raises(AttributeError, match="no attribute 'Adaption'"):
        ratta.Adaption  # noqa: B018


def test_a_record_with_everything_is_shown_in_one_line():
    """Whatever its fields hold."""
    from dataclasses import make_dataclass

    record = make_dataclass("Odd", ["name", "data", "table", "many", "text"])
    odd = record("x", b"abc", {"a": 1}, (1, 2, 3, 4), "y" * 500)
    assert (
        short_repr(odd) == f"Odd(name='x', data=<3 bytes>, table=<1 entries>, many=(1, 2, 3, ...), text='{'y' * 99}...)"
    )
