"""Labelled profiles: a head that predicts people left out, taken only if it helps them, else a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from ratta.adaptation.source import Space
from ratta.calibration.head import fit_head
from ratta.calibration.labelled import (
    Features,
    LabelledSession,
    fit,
    labelled_profile,
    left_out_scores,
    session_weights,
)
from ratta.errors import DataError

WIDTH = 6
SPACE = Space(np.full(WIDTH, 0.5, np.float32), 2 * np.eye(WIDTH, dtype=np.float32))
SPECIES = ("print", "replay")


def sessions(people=8, each=3, *, seed=0, informative=1.0, source=1.0):
    """Sessions whose first direction tells live from attack, and whose source tells it less well."""
    rng = np.random.default_rng(seed)
    found = []
    for person in range(people):
        manner = rng.normal(0, 0.5, WIDTH)
        for turn in range(2 * each):
            live = turn % 2 == 0
            centre = manner + informative * (1.5 if live else -1.5) * np.eye(WIDTH)[0]
            logits = source * (0.5 if live else -0.5) + rng.normal(0, 1) + rng.normal(0, 0.2, 4)
            species = "" if live else SPECIES[turn // 2 % 2]
            z = centre + rng.normal(0, 0.5, (4, WIDTH))
            found.append(LabelledSession(f"{person}/{turn}", f"p{person}", species, z / 2 + 0.5, logits))
    return found


def made(given, **arguments):
    return labelled_profile(given, SPACE, model_sha256="m", live_logit=0.7, **arguments)


def test_newton_finds_the_minimum():
    """The gradient of the penalised loss vanishes, whatever the offset."""
    rng = np.random.default_rng(0)
    z, offset, live = rng.normal(size=(40, 3)), rng.normal(size=40), rng.random(40) < 0.5
    weights = rng.uniform(0.5, 1.5, 40) / 40
    w, b = fit_head(z, offset, live, weights, ridge=0.01)
    share = 1 / (1 + np.exp(-(offset + z @ w + b)))
    np.testing.assert_allclose(z.T @ (weights * (share - live)) + 0.01 * w, 0, atol=1e-5)
    assert (weights * (share - live)).sum() == pytest.approx(0, abs=1e-5)


def test_more_directions_than_frames_are_no_trouble():
    """The head lies in the span of what was seen."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(6, 50))
    w, _ = fit_head(z, np.zeros(6), np.arange(6) < 3, np.full(6, 1 / 6), ridge=1e-3)
    away = np.linalg.svd(z)[2][6:]
    np.testing.assert_allclose(away @ w, 0, atol=1e-9)
    assert ((z @ w)[:3] > (z @ w)[3:].max()).all()


def test_features_are_what_whitening_shows_and_what_it_leaves_out():
    """Both of mean square length 1; a head on them is a head on the embedding."""
    space = Space(np.full(WIDTH, 0.5, np.float32), np.eye(WIDTH, dtype=np.float32)[:2])
    features, rows = Features.of(sessions(), space), np.concatenate([one.embeddings for one in sessions()])
    found = features(rows)
    lengths = [float(np.mean((part**2).sum(1))) for part in (found[:, :2], found[:, 2:])]
    np.testing.assert_allclose(lengths, 1)
    weight = np.arange(2.0 + WIDTH)
    head = features.head(weight, 0.3)
    np.testing.assert_allclose(rows @ head.weight + head.offset, found @ weight + 0.3)
    np.testing.assert_allclose(found[:, 2:] @ np.r_[1.0, 1.0, np.zeros(WIDTH - 2)], 0, atol=1e-9)


def test_classes_species_and_sessions_are_balanced():
    """Half for live; one print counts as much as three replays."""
    z = np.zeros((1, WIDTH))
    given = [LabelledSession(str(i), "p", kind, z, np.zeros(1)) for i, kind in enumerate(["", "", "print"] + ["r"] * 3)]
    np.testing.assert_allclose(session_weights(given), [0.25, 0.25, 0.25] + [0.25 / 3] * 3)


def test_people_left_out_are_not_in_the_head_that_scores_them():
    """Changing somebody's labels does not change that person's scores."""
    given = sessions()
    other = [replace(one, species="" if one.species else "print") if one.person == "p0" else one for one in given]
    before, after = (left_out_scores(one, Features.of(given, SPACE), 0.003) for one in (given, other))
    of_p0 = [one.person == "p0" for one in given]
    assert [a for a, b in zip(before, of_p0, strict=True) if b] == [a for a, b in zip(after, of_p0, strict=True) if b]
    assert before != after


def test_a_head_that_helps_is_taken():
    """Its threshold lies where the model's live threshold is, and new people are told apart."""
    found = made(sessions())
    assert "" == found.report["why_not"]
    assert found.report["profile"]["acer"] < 0.1 < found.report["source"]["acer"]
    assert found.report["acer_difference"][2] < 0
    weight, offset = found.profile.head["head.weight"], float(found.profile.head["head.offset"])
    wrong = 0
    for one in (new := sessions(seed=5)):
        score = float(np.median(one.logits + one.embeddings @ weight + offset))
        wrong += (score >= 0.7) != one.is_live
    assert wrong <= 0.15 * len(new)


@pytest.mark.parametrize("policy", ["bpcer=0.1", "apcer=0.1", "eer"])
def test_any_policy_may_choose_the_threshold(policy):
    """It is kept in the report."""
    assert policy == made(sessions(), policy=policy).report["policy"]


def test_a_head_that_does_not_help_is_not_taken():
    """Features that say nothing, or labels at random: the report says why, and no profile is made."""
    found = made(sessions(informative=0.0, source=4.0))
    assert found.profile is None
    assert found.report["why_not"]
    rng, given = np.random.default_rng(3), sessions()
    kinds = rng.permutation([one.species for one in given]).tolist()
    shuffled = [replace(one, species=kind) for one, kind in zip(given, kinds, strict=True)]
    assert made(shuffled).profile is None


def test_a_wrong_label_is_pointed_at():
    """One session among many that looks like the other class to people left out."""
    given = sessions(people=10)
    given[0] = replace(given[0], species="print")
    assert given[0].name in made(given).report["look_at"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: [one for one in s if one.is_live], "record the missing class"),
        (lambda s: [one for one in s if not one.is_live], "record the missing class"),
        (lambda s: [replace(one, person="p") for one in s], "3 or more people"),
        (lambda s: s[:3], "expected 2 or more sessions"),
        (lambda s: [one for one in s if one.is_live or one.person == "p1"], "two or more in each class"),
        (lambda s: [replace(one, species="" if one.species else "x") for one in s], "are live and attack swapped"),
        (lambda s: [*s, replace(s[0], embeddings=np.full((4, WIDTH), np.nan))], "finite features"),
        (lambda s: [*s, replace(s[0], embeddings=np.empty((0, WIDTH)), logits=np.empty(0))], "finite features"),
    ],
)
def test_what_cannot_make_a_profile_is_refused(change, message):
    """With a sentence that says what is missing."""
    with pytest.raises(DataError, match=message):
        made(change(sessions(source=3.0)))


def test_without_directions_the_source_gets_another_threshold():
    """What the head is held against."""
    head = fit(sessions(), Features.of(sessions(), SPACE), np.inf)
    assert not head.weight.any()
    assert head.offset != 0
