"""Changes of tone: the curve, what the source knows of tones, what is proposed, and the way of a changed camera."""

from dataclasses import replace

import numpy as np
import pytest

from ratta.adaptation.adapter import Adapter
from ratta.adaptation.budget import Budget
from ratta.adaptation.drift import Band, DriftReference
from ratta.adaptation.guard import Arbiter
from ratta.adaptation.kept import Attempt, Kept, Recent
from ratta.adaptation.learner import Learner
from ratta.adaptation.memory import export_memory, restore_memory
from ratta.adaptation.model import TonedNetwork
from ratta.adaptation.reference import Reference, camera_moments
from ratta.adaptation.task import Step
from ratta.adaptation.tone_development import known_changes, measure_tones
from ratta.adaptation.tones import LIVE_LOSS, ToneMatching, ToneReference
from ratta.adaptation.trials import Trials
from ratta.adaptation.update import Moments, Stem, ToneCorrection, fit_tone, tone_of
from ratta.errors import InputError
from ratta.records import Reading

SIDE = 32
DARKER = ToneCorrection(1.6, np.ones(3), np.zeros(3), 0.0)
ORANGE = ToneCorrection(1.0, np.array([1.3, 1.0, 0.74]), np.zeros(3), 0.0)


def face(seed, *, is_live):
    """A textured crop; attacks are flatter, and equally bright."""
    rng = np.random.default_rng((seed, is_live))
    middle, texture = 140 + rng.normal(0, 5), 45 if is_live else 25
    return (middle + rng.normal(0, texture, (SIDE, SIDE, 3))).clip(5, 250).astype(np.uint8)


class FlatIsSpoof:
    """Looks at texture, as it should, and at brightness, as it should not."""

    def read(self, pixels):
        level = pixels.mean((0, 1)).astype(np.float32) / 255
        logit = float(60 * (level.mean() - 140 / 255) + 100 * (pixels.std() / 255 - 35 / 255))
        corner = pixels[:8, :8, :2].transpose(2, 0, 1).astype(np.float32) / 16
        return Reading(np.array([0, logit], np.float32), level[:2] * 16, corner, logit)


class LevelStem(Stem):
    def moments(self, crop):
        levels = crop.reshape(-1, 3)[:, :2] / 16.0
        return Moments(levels.mean(0).astype(np.float32), levels.var(0).astype(np.float32))


def development(sessions=60, frames=2):
    for index in range(sessions):
        for frame in range(frames):
            is_live = index % 2 == 0
            species = "" if is_live else ("print", "replay")[index // 2 % 2]
            yield face(100 * index + frame, is_live=is_live), is_live, species, f"s{index}"


@pytest.fixture(scope="module")
def tones() -> ToneReference:
    return measure_tones(FlatIsSpoof(), development(), threshold_logit=0.0)


@pytest.fixture
def world(toy, tones):
    """The toy's rooms around the network that looks at brightness alone."""
    moments = LevelStem(toy.model.stem.weight, toy.model.stem.bias, mean=(0, 0, 0), std=(1, 1, 1))
    network = FlatIsSpoof()
    seen = [camera_moments(moments.moments(crop), network.read(crop).cut) for crop, *_ in development()]
    mean, variance = (np.mean(column, 0) for column in zip(*seen, strict=True))
    toy.model = replace(toy.model, network=network, stem=moments, size=SIDE)
    spread = np.sort(np.random.default_rng(1).uniform(0, 1.5, (3, 60)))
    toy.reference = replace(
        toy.reference,
        tones=tones,
        camera_mean=mean,
        camera_variance=variance,
        drift=DriftReference(spread, 1.0, 2.0, 3.0),
        limits=replace(toy.reference.limits, live_above=9.0, spoof_below=-9.0),
    )
    return toy


# -- the curve


def test_quantiles_commute_with_a_curve():
    """What a curve does to a picture's tones is known from its tones alone, up to rounding."""
    crop = face(1, is_live=True)
    assert np.abs(tone_of(DARKER.apply(crop)) - DARKER.curve(tone_of(crop))).max() < 1.5 / 255


@pytest.mark.parametrize("change", list(known_changes()), ids=lambda c: f"{c.gamma}-{c.gain[0]}-{c.gain[2]}")
def test_every_known_change_is_undone(change):
    """The fitted curve brings the tones back to within a hundredth of full scale where nothing was cut off."""
    source = tone_of(face(2, is_live=True)) * 0.6 + 0.15
    _, left = fit_tone(change.curve(source), source)
    clipped = ((change.curve(source) >= 1) | (change.curve(source) <= 0)).any()
    assert left < (0.1 if clipped else 0.01)


def test_a_table_is_applied_channel_by_channel():
    """Each channel by its own column, and the input is left alone."""
    crop = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    before, mapped = crop.copy(), ORANGE.apply(crop)
    expected = np.stack([ORANGE.table[:, c][crop[..., c]] for c in range(3)], axis=-1)
    assert np.array_equal(expected, mapped)
    assert np.array_equal(before, crop)
    assert mapped.flags.c_contiguous


def test_the_log_slope_is_the_curves():
    """Against a difference quotient."""
    tone = np.full((9, 3), 0.4)
    slope = (DARKER.curve(tone + 1e-6) - DARKER.curve(tone - 1e-6)) / 2e-6
    assert np.log(slope).sum() == pytest.approx(DARKER.log_slope(tone), abs=1e-4)


def test_numbers_go_and_come():
    """Eight of them, exactly."""
    assert np.array_equal(ORANGE.to_array(), ToneCorrection.from_array(ORANGE.to_array()).to_array())


@pytest.mark.parametrize(
    ("gamma", "gain", "lift", "penalty"),
    [(0, 1, 0, 0), (1, 0, 0, 0), (1, -1, 0, 0), (1, 1, np.nan, 0), (1, 1, 0, -0.1), (np.inf, 1, 0, 0)],
)
def test_what_is_no_rising_curve_is_refused(gamma, gain, lift, penalty):
    """A curve that falls would invert pictures; a negative penalty would make live easier."""
    with pytest.raises(InputError, match="tone"):
        ToneCorrection(float(gamma), np.full(3, float(gain)), np.full(3, float(lift)), float(penalty))


def test_tones_that_fall_together_have_no_curve():
    """A negative is no change of tone."""
    rising = np.linspace(0.1, 0.9, 9)[:, None].repeat(3, 1)
    with pytest.raises(InputError, match="rise together"):
        fit_tone(1 - rising, rising)


def test_a_penalty_is_taken_from_the_log_odds():
    """To be live under a correction takes so much more."""
    same = ToneCorrection(1.0, np.ones(3), np.zeros(3), 0.7)
    crop = face(3, is_live=True)
    reading = TonedNetwork(FlatIsSpoof(), same).read(crop)
    assert FlatIsSpoof().read(crop).live_logit - 0.7 == pytest.approx(reading.live_logit)


# -- what the source knows


def test_a_change_that_rejects_everybody_has_much_to_gain(tones):
    """Darkness rejects all live faces here; under it nobody passes, so nobody may pass more often after."""
    change, off = tones.nearest(DARKER.curve(tones.middle))
    penalty, then = tones.penalty(change, 0.0)
    assert off < 0.01
    assert 0 == tones.shift_passing[change, 1:].max()
    assert then.tolist() == (tones.corrected[change] >= penalty).mean(axis=1).tolist()
    assert (then[1:] <= tones.shift_passing[change, 1:]).all()
    assert tones.expected_gain(DARKER.curve(tones.middle), 0.0, within=0.01) > 0.3


def test_a_change_that_lets_attacks_in_is_worth_some_live_faces(tones):
    """As many as LIVE_LOSS says; where it would cost more, errors would only be moved from one side to the other."""
    change, _ = tones.nearest(DARKER.curve(tones.middle))
    lax = tones.shift_passing.copy()
    lax[change] = 1.0
    count = tones.logits.shape[1]
    for lost, gains in ((LIVE_LOSS - 0.02, True), (LIVE_LOSS + 0.02, False)):
        corrected = tones.corrected.copy()
        corrected[change, 0] = np.where(np.arange(count) < lost * count, -9.0, 9.0)
        world = replace(tones, shift_passing=lax, corrected=corrected)
        assert world.passing(0.0)[0] == 1.0
        assert gains == (world.expected_gain(tones.shifted[change], 0.0, within=1e-9) > 0.3)


def test_the_gain_is_a_mean_over_the_changes_near_by(tones):
    """None where none is near."""
    assert 0.0 == tones.expected_gain(np.full((9, 3), 0.5), 0.0, within=0.001)
    dark = DARKER.curve(tones.middle)
    one, many = (tones.expected_gain(dark, 0.0, within=within) for within in (0.01, 0.2))
    assert one > many > 0


def test_without_a_change_there_is_nothing_to_gain(tones):
    """The source's own tones are one of the known ones."""
    assert tones.nearest(tones.middle)[1] < 0.01
    assert abs(tones.expected_gain(tones.middle, 0.0, within=0.01)) < 0.03


def test_frames_tell_which_camera_took_them(tones):
    """The likelihood favours the changed camera on its frames, and the source's on the source's."""
    back, _ = fit_tone(DARKER.curve(tones.middle), tones.middle)
    changed = [tones.likelier(tone_of(DARKER.apply(face(n, is_live=n % 2 == 0))), back) > 0 for n in range(40)]
    same = [tones.likelier(tone_of(face(n, is_live=n % 2 == 0)), back) > 0 for n in range(40)]
    assert sum(changed) >= 38
    assert sum(same) <= 2


def test_arrays_go_and_come(tones, world):
    """In a bundle's statistics, with the rest of the reference."""
    back = Reference.from_arrays(world.reference.to_arrays()).tones
    for name in ("sides", "precision", "shifted", "shift_passing", "corrected", "logits", "species"):
        assert np.array_equal(getattr(tones, name), getattr(back, name))


def test_a_reference_that_does_not_fit_is_refused(tones):
    """One shape off, or unsorted."""
    with pytest.raises(InputError, match="sides"):
        replace(tones, sides=tones.sides[:1])
    with pytest.raises(InputError, match="sorted"):
        replace(tones, logits=tones.logits[:, ::-1])


def test_one_class_is_no_development_set():
    """Both are needed, and both sides of the threshold."""
    live = [sample for sample in development() if sample[1]]
    with pytest.raises(InputError, match="one class"):
        measure_tones(FlatIsSpoof(), live, threshold_logit=0.0)
    with pytest.raises(InputError, match="one side"):
        measure_tones(FlatIsSpoof(), development(), threshold_logit=1e6)


# -- what is proposed


def often_wrong(tones, *, live=0.8, attacks=0.2):
    """The same table, but for a source that still knows more than nothing under every change."""
    passing = np.full_like(tones.shift_passing, attacks)
    passing[:, 0] = live
    return replace(tones, shift_passing=passing)


def matching(tones, change, sessions, **settings):
    found = ToneMatching(often_wrong(tones), threshold_logit=0.0, **settings)
    for index in range(sessions):
        is_live = index % 2 == 0
        crop = face(1000 + index, is_live=is_live)
        found.update(tone_of(change.apply(crop) if change else crop), is_live=is_live)
    return found


def found_twice(found):
    assert "seen once only" == found.propose().finding.reason
    return found.propose()


def test_what_is_seen_once_is_not_proposed(tones):
    """A change of camera lasts: only a finding that comes again counts, and one without breaks the row."""
    found = matching(tones, DARKER, 24)
    assert found.propose().correction is None
    found.min_gain = 1.0
    assert "nothing to gain" in found.propose().finding.reason
    found.min_gain = 0.04
    assert "seen once only" == found.propose().finding.reason
    assert found.propose().correction is not None


def test_a_dark_camera_is_proposed_with_its_penalty(tones):
    """The curve is the inverse of the change, near the source's levels."""
    proposal = found_twice(matching(tones, DARKER, 24))
    assert proposal.correction is not None, proposal.finding
    there_and_back = proposal.correction.curve(DARKER.curve(tones.middle))
    assert np.abs(there_and_back - tones.middle).max() < 0.05
    assert proposal.finding.numbers["gain"] > 0.1


def test_the_sources_own_camera_is_not_proposed(tones):
    """There is nothing to correct and nothing to gain."""
    proposal = matching(tones, None, 24).propose()
    assert proposal.correction is None
    assert "too small a change" in proposal.finding.reason


def test_a_change_beyond_the_known_ones_is_not_proposed(tones):
    """However well a curve fits it."""
    night = ToneCorrection(4.5, np.ones(3), np.zeros(3), 0.0)
    assert "not a known change" in matching(tones, night, 24).propose().finding.reason


def proposals(tones, verdicts, confirmed=()):
    """Reasons over a stream of sessions before a darker camera, of which the source says `verdicts`."""
    found = ToneMatching(often_wrong(tones), threshold_logit=0.0)
    for is_live in confirmed:
        found.update(DARKER.curve(tones.middle), is_live=is_live, confirmed=True)
    reasons = []
    for is_live in verdicts:
        found.update(DARKER.curve(tones.middle), is_live=bool(is_live))
        if found.due:
            reasons.append(found.propose().finding.reason)
    return reasons


@pytest.mark.parametrize("is_live", [True, False])
def test_one_side_alone_is_never_due(tones, is_live):
    """However many sessions it gives."""
    assert [] == proposals(tones, [is_live] * 500)


@pytest.mark.parametrize("called_live", [0.2, 0.8, 0.1, 0.9])
def test_the_sources_errors_do_not_make_a_second_class(tones, called_live):
    """A flood of attacks, a fifth of which pass; of live faces, of which a fifth do not; or a source that errs less."""
    flood = np.diff(np.floor(np.arange(501) * called_live))
    assert {"one class explains the verdicts"} == set(proposals(tones, flood))


def test_verdicts_of_both_classes_are_seen_for_what_they_are(tones):
    """Half and half, with the same errors, is soon more than one class explains."""
    mixture = np.diff(np.floor(np.arange(201) * 0.5))
    reasons = proposals(tones, mixture)
    assert "worth a trial" in reasons[:8]
    assert {"worth a trial"} == set(reasons[8:])


def test_confirmed_sessions_need_no_such_proof(tones):
    """Four of each are known to be both classes; three are not, nor are confirmations of one class."""
    flood = np.diff(np.floor(np.arange(201) * 0.2))
    assert "worth a trial" in proposals(tones, flood, confirmed=[True, False] * 4)
    assert "one class explains the verdicts" == proposals(tones, flood, confirmed=[True, False] * 4)[-1]  # long ago
    assert "worth a trial" not in proposals(tones, flood, confirmed=[True, False] * 3)
    assert "worth a trial" not in proposals(tones, flood, confirmed=[True] * 9)


def test_an_outlier_moves_little(tones):
    """Medians: a session of white frames is one session."""
    with_one, without = matching(tones, DARKER, 24), matching(tones, DARKER, 24)
    with_one.update(np.ones((9, 3)), is_live=True)
    tables = [1.0 * found_twice(m).correction.table for m in (with_one, without)]
    assert np.abs(tables[0] - tables[1])[64:192].mean() < 4


@pytest.mark.parametrize("settings", [{"every": 0}, {"min_sessions": 0}, {"window": 3}, {"alpha": 0.5}, {"alpha": 0.0}])
def test_settings_out_of_range_are_refused(tones, settings):
    """Said at once."""
    with pytest.raises(InputError, match="tone matching"):
        ToneMatching(tones, threshold_logit=0.0, **settings)


# -- on trial


def recent_of(world, change):
    recent = Recent(per_side=24, per_session=4)
    for index in range(12):
        frames = []
        for frame in range(4):
            pixels = face(5000 + 10 * index + frame, is_live=index % 2 == 0)
            pixels = change(pixels) if change else pixels
            frames.append(Kept(pixels, 0.2 * frame, 0, {0: world.model.network.read(pixels)}))
        recent.keep(frames, threshold_logit=-1e9 if index % 2 == 0 else 1e9)
    return recent


def test_a_correction_that_explains_the_drift_passes(world, tones, run):
    """Early moments are the source's again under it."""
    back, _ = fit_tone(DARKER.curve(tones.middle), tones.middle)
    trial, _ = run(Trials(world.model, world.reference).tone(back, recent_of(world, DARKER.apply)))
    assert trial.finding.passed, trial.finding
    assert trial.network is not None
    assert trial.finding.numbers["shift_after"] < trial.finding.numbers["shift_before"]


def test_more_than_a_change_of_tone_does_not_pass(world, tones, run):
    """The same darkness with heavy noise is not explained by a curve."""
    back, _ = fit_tone(DARKER.curve(tones.middle), tones.middle)
    rng = np.random.default_rng(5)

    def noisy(pixels):
        return (DARKER.apply(pixels) + rng.normal(0, 120, pixels.shape)).clip(0, 255).astype(np.uint8)

    trial, _ = run(Trials(world.model, world.reference).tone(back, recent_of(world, noisy)))
    assert not trial.finding.passed
    assert trial.network is None


def test_a_correction_that_overturns_sure_attacks_does_not_pass(world, tones, run):
    """Where the source is confident of an attack, nothing may make it live."""
    world.reference = replace(world.reference, limits=replace(world.reference.limits, live_above=9.0, spoof_below=-2.0))
    brighter = ToneCorrection(1.0, np.full(3, 1.15), np.zeros(3), 0.0)
    trials = Trials(world.model, world.reference)
    trials._usual_shift, trials.explained_alpha = 1e9, 0.999999
    trial, _ = run(trials.tone(brighter, recent_of(world, None)))
    assert "overturns confident verdicts" in trial.finding.reason


def test_too_few_frames_are_no_trial(world, run):
    """Said, not tried."""
    trial, steps = run(Trials(world.model, world.reference).tone(DARKER, Recent()))
    assert "too few" in trial.finding.reason
    assert steps == []


# -- the whole way


class ToldDrift:
    band = Band.ADAPT
    evidence: dict = {}  # noqa: RUF012

    def update(self, sample):
        pass

    reset = export_state = lambda self: {}

    def restore_state(self, state):
        pass


class Day:
    """An adapter and sessions before it."""

    def __init__(self, world, **settings):
        self.events = []
        self.now_s = 1000.0
        self.adapter = Adapter(
            world.model,
            world.reference,
            budget=Budget(watts=2.0),
            clock=lambda: 0.0,
            detector=ToldDrift(),
            arbiter=Arbiter(window=4),
            on_event=self.events.append,
            **settings,
        )
        self.adapter.idle(0.0)

    def session(self, seed, *, is_live, change=None):
        attempt, answers = self.adapter.begin(), []
        for frame in range(6):
            pixels = face(10_000 * seed + frame, is_live=is_live)
            answers.append(self.adapter.read(attempt, change.apply(pixels) if change else pixels, t=self.now_s))
            self.now_s += 0.2
            self.adapter.idle(self.now_s)
        self.adapter.end(attempt, t=self.now_s)
        self.now_s += 30
        self.adapter.idle(self.now_s)
        return [reading.live_logit for reading in answers]


def mild_day(world, sessions=64, **settings):
    """A camera half a step darker, so that both sides are seen at times."""
    change, day = ToneCorrection(1.15, np.ones(3), np.zeros(3), 0.0), Day(world, **settings)
    if day.adapter.tones is not None:
        day.adapter.tones.min_change = 0.01
        day.adapter.tones.min_gain = -1.0
    for index in range(sessions):
        day.session(index, is_live=index % 2 == 0, change=change)
    return day, change


class EverDue(Learner):
    """Has lessons of both classes, as a flood of attacks gives them of which the source is sure that some are live."""

    late_due = True
    asked = 0

    def late_candidate(self, late):
        self.asked += 1
        yield Step.LESSON
        return dict(late)


@pytest.mark.parametrize(("passing", "tried"), [(0.5, False), (0.05, True)])
def test_a_flood_of_attacks_makes_no_late_candidate(world, passing, tried):
    """Lessons of both classes are not people of both classes: half called live is what half passing explains."""
    day = Day(world, learner=EverDue(world.model, world.reference))
    table = day.adapter.tones.reference
    rates = np.full_like(table.shift_passing, passing)
    rates[:, 0] = 0.95
    day.adapter.tones.reference = replace(table, shift_passing=rates)
    for index in range(40):
        day.session(index, is_live=index % 2 == 0)
    assert tried == (day.adapter.learner.asked > 0)


def test_a_rollback_forgets_what_spoke_for_it(world):
    """The curve that was taken back is not proposed again by the sessions that proposed it."""
    day, change = mild_day(world)
    adapter = day.adapter
    assert adapter.counts["commits"] >= 1
    for _ in range(20):
        adapter.watch.note_usual(is_live=False)
        adapter.watch.note_adapted(is_live=True)
    before = adapter.counts["commits"]
    for index in range(3):
        day.session(500 + index, is_live=index % 2 == 0, change=change)
    assert adapter.counts["rollbacks"] == 1
    assert adapter.counts["commits"] == before
    assert not adapter.tones.due


def test_a_darker_camera_is_undone_and_answered(world):
    """Live faces that the source rejects are accepted under the correction; attacks still are not."""
    day, change = mild_day(world)
    assert day.adapter.counts["commits"] >= 1, day.events[-3:]
    live = day.session(999, is_live=True, change=change)
    assert day.adapter.adapted
    for frame in (4, 5):
        seen = change.apply(face(9_990_000 + frame, is_live=True))
        assert live[frame] > world.model.network.read(seen).live_logit + 1
    assert max(day.session(998, is_live=False, change=change)[-2:]) < 0


def test_the_camera_changing_back_is_seen_on_the_answer_path(world):
    """Without waiting for `idle`: after half a window the source answers, bit for bit."""
    day, _ = mild_day(world)
    attempt = day.adapter.begin()
    crops = [face(7_000_000 + n, is_live=True) for n in range(8)]
    answers = [day.adapter.read(attempt, crop, t=day.now_s + 0.2 * n).live_logit for n, crop in enumerate(crops)]
    assert [world.model.network.read(crop).live_logit for crop in crops][4:] == answers[4:]


def test_a_correction_of_tone_survives_a_restart(world):
    """Eight numbers in the state; it answers again once the arbiter has seen frames."""
    day, change = mild_day(world)
    values, arrays = export_memory(day.adapter)
    later = Day(world)
    restore_memory(later.adapter, values, arrays)
    expected = day.adapter.snapshots.current.early.to_array()
    assert np.array_equal(expected, later.adapter.snapshots.current.early.to_array())
    later.now_s = day.now_s
    later.session(1, is_live=True, change=change)
    assert later.adapter.adapted


def test_a_frame_teaches_once_at_most(world):
    """The median over a session's frames is one tone, whatever its length."""
    day = Day(world)
    long = Attempt(0, max_frames=16, min_gap_s=0.2)
    for n in range(200):
        day.adapter.read(long, face(n, is_live=True), t=1000.0 + 0.2 * n)
    day.adapter.end(long, t=1041.0)
    day.adapter.idle(2000.0)
    assert 1 == sum(len(side) for side in day.adapter.tones._sides)
