"""`ScoreSet`: what it accepts, fills in and refuses."""

import numpy as np
import pytest

from ratta.errors import InputError
from ratta.metrics import ScoreSet


def test_defaults() -> None:
    """Attacks without a name are one species, and a bona fide presentation never has one."""
    scores = ScoreSet(live_scores=[0.1, 0.9], is_live=[False, True])
    assert (["attack", ""], None) == (scores.species.tolist(), scores.subjects)


def test_species_of_bona_fide_is_dropped() -> None:
    """A name given to a bona fide presentation is not a species."""
    scores = ScoreSet(live_scores=[0.1, 0.9], is_live=[0, 1], species=["print", "live"])
    assert ("print",) == scores.attack_species


def test_inputs_are_copied() -> None:
    """Changing the caller's arrays later changes nothing, and the set's own arrays are read-only."""
    mine = np.array([0.1, 0.9])
    scores = ScoreSet(live_scores=mine, is_live=[0, 1])
    mine[0] = 0.8
    assert (0.1, False) == (scores.live_scores[0], scores.live_scores.flags.writeable)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"is_live": [1]}, r"is_live: expected \(2,\)"),
        ({"is_live": [1, 2]}, "is_live: expected booleans"),
        ({"is_live": [1, 0], "species": ["", ""]}, "species: expected a name for every attack"),
        ({"is_live": [1, 0], "subjects": ["a"]}, r"subjects: expected \(2,\)"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    """What does not fit is refused by name."""
    with pytest.raises(InputError, match=message):
        ScoreSet(live_scores=[0.5, 0.5], **arguments)  # type: ignore[arg-type]


def test_take_keeps_order_and_columns() -> None:
    """A part has the columns of the whole, in the order asked for."""
    scores = ScoreSet(live_scores=[1, 2, 3], is_live=[0, 1, 0], species=["a", "", "b"], subjects=["x", "y", "z"])
    part = scores.take(np.array([2, 0]))
    assert ([3.0, 1.0], ["b", "a"], ["z", "x"]) == (
        part.live_scores.tolist(),
        part.species.tolist(),
        None if part.subjects is None else part.subjects.tolist(),
    )
