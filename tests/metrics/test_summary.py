"""The record of an accuracy claim."""

import json
import math

import pytest

from ratta.metrics import ScoreSet, Threshold, clopper_pearson, summary

NAN = float("nan")
AT = Threshold(0.5, "eer", "source dev")

TABLE = ScoreSet(
    live_scores=[0.9] * 7 + [0.1] * 2 + [NAN] + [0.5] + [0.2] * 3 + [0.6, 0.7, 0.0] + [NAN] * 3,
    is_live=[1] * 10 + [0] * 10,
    species=["live"] * 10 + ["print"] * 4 + ["replay"] * 5 + ["mask"],
    subjects=["a", "b", "c", "d"] * 5,
)


def test_hand_worked_table() -> None:
    """Counts, rates and refusals of the table in test_rates, with exact intervals."""
    s = summary(TABLE, AT)
    assert (20, 4, "replay", (2, 3), (2, 9), (3, 10), (1, 10), (4, 20), (3, 10), (3, 10)) == (
        s.samples,
        s.subjects,
        s.worst_species,
        (s.apcer.errors, s.apcer.n),
        (s.bpcer.errors, s.bpcer.n),
        (s.apnrr.errors, s.apnrr.n),
        (s.bpnrr.errors, s.bpnrr.n),
        (s.fta.errors, s.fta.n),
        (s.far.errors, s.far.n),
        (s.frr.errors, s.frr.n),
    )
    assert (s.apcer.low, s.apcer.high) == clopper_pearson(2, 3)
    assert pytest.approx((4 / 9, 0.3)) == (s.acer.value, s.hter.value)
    assert s.acer.low <= s.acer.value <= s.acer.high


def test_notes_say_what_is_undefined() -> None:
    """A species that was refused throughout is named."""
    assert ("every mask attack was refused: its APCER is undefined",) == summary(TABLE, AT).notes


def test_no_errors_do_not_mean_no_doubt() -> None:
    """Without an error the upper end comes from the exact intervals of both rates, not from a bootstrap of zeros."""
    s = summary(
        ScoreSet(live_scores=[0.9] * 50 + [0.1] * 50, is_live=[1] * 50 + [0] * 50, subjects=["a", "b"] * 50), AT
    )
    assert (0.0, 0.0) == (s.acer.value, s.acer.low)
    assert pytest.approx(clopper_pearson(0, 50, confidence=0.975)[1]) == s.acer.high


@pytest.mark.parametrize(
    ("is_live", "note"),
    [([1, 1], "no answered attack: APCER"), ([0, 0], "no answered bona fide presentation: BPCER")],
)
def test_single_class(is_live: list[int], note: str) -> None:
    """With one class the figures of the other are `nan` and a note says so."""
    s = summary(ScoreSet(live_scores=[0.9, 0.1], is_live=is_live, subjects=["a", "b"]), AT)
    assert note in s.notes[0]
    assert all(math.isnan(value) for value in (s.acer.value, s.acer.high, s.auc.value, s.eer.value, s.hter.value))


def test_empty() -> None:
    """An empty set gives a record full of `nan`, with notes, and no warning."""
    s = summary(ScoreSet(live_scores=[], is_live=[]), AT)
    assert (0, 0, "", {}) == (s.samples, s.subjects, s.worst_species, s.apcer_by_species)
    assert math.isnan(s.acer.value)
    assert 3 == len(s.notes)


def test_undefined_threshold_is_said() -> None:
    """A threshold of `nan` accepts nothing, and the record says why."""
    s = summary(TABLE, Threshold(NAN, "eer", "live-only dev"))
    assert (0.0, 1.0) == (s.apcer.value, s.bpcer.value)
    assert any("eer was undefined on live-only dev" in note for note in s.notes)


def test_to_dict_is_json() -> None:
    """The record becomes JSON without loss of its nested parts."""
    found = json.loads(json.dumps(summary(TABLE, AT).to_dict()))
    assert (0.5, 2, "source dev") == (
        found["threshold"]["value"],
        found["apcer_by_species"]["replay"]["errors"],
        found["threshold"]["origin"],
    )
