"""Streams: the order of sessions each kind promises."""

from itertools import pairwise

import numpy as np
import pytest

from ratta.errors import DataError, InputError
from ratta.evaluate.streams import KINDS, PAUSE_S, RUSH_S, build_stream


@pytest.fixture
def make(corpus):
    """Build a stream of any kind from two cameras of five people each."""
    home, away = corpus(5, camera="home"), corpus(5, camera="away")

    def build(kind, seed=0, **more):
        given = {"home": home, "away": away, "rank": lambda s: float(s.pixels.mean()), **more}
        return build_stream(kind, seed=seed, **given)

    return build


def names(stream, phase=None):
    """Names of the sessions, of one phase or of all."""
    return [one.session.name for one in stream.sessions if phase in (None, one.phase)]


@pytest.mark.parametrize("kind", list(KINDS))
def test_seeded(make, kind) -> None:
    """Same seed, same stream; another seed, another order."""
    assert names(make(kind)) == names(make(kind))
    assert names(make(kind)) != names(make(kind, seed=1))


@pytest.mark.parametrize("kind", list(KINDS))
def test_time_goes_forward(make, kind) -> None:
    """Sessions follow each other without overlap."""
    stream = make(kind)
    starts = [one.start_s for one in stream.sessions]
    ends = [one.start_s + float(one.session.t[-1]) for one in stream.sessions]
    assert all(end < start for end, start in zip(ends[:-1], starts[1:], strict=True))


@pytest.mark.parametrize("kind", ["iid", "sessions", "sudden", "gradual", "return"])
def test_every_frame_once(make, kind) -> None:
    """Nothing is lost and nothing comes twice in the kinds that only order."""
    stream = make(kind)
    cameras = 1 if kind in ("iid", "sessions") else 2
    assert (cameras * 80, len(names(stream))) == (len(stream), len(set(names(stream))))


def test_iid_is_single_frames(make) -> None:
    """Every frame is a session of its own, and neighbours are rarely of one session."""
    stream = make("iid")
    origins = [name.partition("#")[0] for name in names(stream)]
    neighbours = np.mean([a == b for a, b in pairwise(origins)])
    assert (80, 1) == (len(stream.sessions), len(stream.sessions[0].session))
    assert neighbours < 0.2


def test_change_and_return(make) -> None:
    """Sudden: home then away. Return: home, away and the other half of home."""
    sudden = [one.session.camera for one in make("sudden").sessions]
    assert ["home"] * 20 + ["away"] * 20 == sudden
    back = make("return")
    assert ("home", "away", "home again") == back.phases
    assert [10, 20, 10] == [len(names(back, phase)) for phase in back.phases]


def test_gradual_change(make) -> None:
    """The first quarter is home, the last nearly all away, and in between both come."""
    cameras = np.array([one.session.camera == "away" for one in make("gradual").sessions])
    assert 0.0 == cameras[:10].mean()
    assert cameras[-8:].mean() > 0.7
    assert 0.2 < cameras[10:30].mean() < 0.8


@pytest.mark.parametrize(("kind", "live"), [("live-only", True), ("attack-only", False)])
def test_floods(make, kind, live) -> None:
    """One class floods, then other people of both classes follow."""
    stream = make(kind)
    flood = [one.session for one in stream.sessions if one.phase == "flood"]
    rest = [one.session for one in stream.sessions if one.phase == "rest"]
    assert ({live}, {True, False}) == ({s.is_live for s in flood}, {s.is_live for s in rest})
    assert set() == {s.subject for s in flood} & {s.subject for s in rest}
    assert (3, 2) == (len({s.subject for s in flood}), len({s.subject for s in rest}))


@pytest.mark.parametrize(("kind", "live", "ratio"), [("live-heavy", True, 10), ("attack-heavy", False, 5)])
def test_heavy_mixtures(corpus, kind, live, ratio) -> None:
    """So many sessions of one class to one of the other, well mixed, then other people of both classes."""
    stream = build_stream(kind, away=corpus(20), seed=0)
    mixture = [one.session for one in stream.sessions if one.phase == "mixture"]
    rest = [one.session for one in stream.sessions if one.phase == "rest"]
    common = [one.is_live == live for one in mixture]
    assert ratio == sum(common) / (len(common) - sum(common))
    assert True in common[:ratio]
    assert False in common[: ratio + 1]
    assert ({True, False}, set()) == (
        {one.is_live for one in rest},
        {one.subject for one in mixture} & {one.subject for one in rest},
    )


def test_forced_refuse(make) -> None:
    """The camera, then attacks on the same people that look like nothing it takes, then the camera as it was."""
    stream = make("forced-refuse")
    assert ("away", "forced", "rest") == stream.phases
    forced = [one.session for one in stream.sessions if one.phase == "forced"]
    assert ({False}, {"away+infrared"}) == ({one.is_live for one in forced}, {one.camera for one in forced})
    before = {one.session.name: one.session for one in stream.sessions if one.phase == "away"}
    assert all(not np.array_equal(one.pixels, before[one.name].pixels) for one in forced)
    assert {"away"} == {one.session.camera for one in stream.sessions if one.phase == "rest"}


def test_alternate(make) -> None:
    """Genuine sessions trip the detector, attacks follow, then the rest."""
    stream = make("alternate")
    assert ("trip", "poison", "rest") == stream.phases
    assert {True} == {one.session.is_live for one in stream.sessions if one.phase == "trip"}
    assert {False} == {one.session.is_live for one in stream.sessions if one.phase == "poison"}


def test_ramp_improves(make) -> None:
    """Attacks come in the order in which the source finds them live, between genuine sessions."""
    ramp = [one.session for one in make("ramp").sessions if one.phase == "ramp"]
    attacks = [float(s.pixels.mean()) for s in ramp if not s.is_live]
    assert sorted(attacks) == attacks
    assert [True, False] * 6 == [s.is_live for s in ramp]


def test_replay_accepted(make) -> None:
    """The one attack the source likes best comes again and again."""
    replay = [one.session for one in make("replay-accepted").sessions if one.phase == "replay"]
    attacks = {s.name for s in replay if not s.is_live}
    assert (1, 6) == (len(attacks), sum(not s.is_live for s in replay))


def test_drain_rushes(make) -> None:
    """Home comes twice without a pause, then away with pauses."""
    stream = make("drain")
    assert 40 == len(names(stream, "rush"))
    first, second = stream.sessions[:2]
    assert pytest.approx(RUSH_S) == second.start_s - first.start_s - float(first.session.t[-1])
    last, before = stream.sessions[-1], stream.sessions[-2]
    assert pytest.approx(PAUSE_S) == last.start_s - before.start_s - float(before.session.t[-1])


@pytest.mark.parametrize("frames", [7, 200])
def test_cut_or_repeated(make, frames) -> None:
    """A stream of a given length is cut in the middle of a session, or begins again."""
    assert frames == len(make("sessions", frames=frames))


@pytest.mark.parametrize(
    ("kind", "more", "error", "message"),
    [
        ("slow", {}, InputError, "stream: expected one of iid, sessions"),
        ("sudden", {"home": ()}, InputError, "stream sudden: expected home sessions, got none"),
        ("ramp", {"rank": None}, InputError, "stream ramp: expected a ranking by the source model"),
        ("sessions", {"away": ()}, DataError, "stream sessions: expected sessions, got none"),
    ],
)
def test_refusals(make, kind, more, error, message) -> None:
    """What is missing is named."""
    with pytest.raises(error, match=message):
        make(kind, **more)


def test_floods_need_two_people_and_their_class(corpus) -> None:
    """The rest needs people of its own, and a flood of attacks needs attacks."""
    with pytest.raises(DataError, match="expected at least 2 subjects, got 1"):
        build_stream("live-only", away=corpus(1), seed=0)
    live = [one for one in corpus(3) if one.is_live]
    with pytest.raises(DataError, match="expected attack sessions, got none in this part"):
        build_stream("attack-only", away=live, seed=0)


def confirmed(stream):
    """Which sessions are confirmed."""
    return {place for place, one in enumerate(stream.sessions) if one.confirmed}


def test_confirming_is_seeded_nested_and_never_of_attacks(make) -> None:
    """A share of the live sessions, the same for the same seed, none of the order's chance; all of them at 1."""
    none, some, every = (make("sessions", confirm=share) for share in (0.0, 0.4, 1.0))
    assert names(none) == names(some) == names(every)
    assert confirmed(some) == confirmed(make("sessions", confirm=0.4)) != confirmed(make("sessions", 1, confirm=0.4))
    live = {place for place, one in enumerate(every.sessions) if one.session.is_live}
    assert (set(), live) == (confirmed(none), confirmed(every))
    assert set() < confirmed(some) < live


def test_confirm_out_of_range(make) -> None:
    """A share is between 0 and 1."""
    with pytest.raises(InputError, match=r"confirm: expected a share in \[0, 1\], got 2"):
        make("sessions", confirm=2)
