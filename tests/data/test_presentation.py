"""The record every reader gives, and what makes records a corpus."""

from dataclasses import replace
from pathlib import Path

import pytest

from ratta.data.presentation import Presentation, checked
from ratta.errors import DataError
from ratta.records import Box

LIVE = Presentation(paths=(Path("a.jpg"),), is_live=True, species="", subject="1", session="s1", split="train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": "print"}, "expected a species for an attack and none for bona fide"),
        ({"is_live": False}, "expected a species for an attack and none for bona fide"),
        ({"split": "devel"}, r"split: expected one of \('train', 'dev', 'test'\), got 'devel'"),
        ({"paths": ()}, "expected at least one path"),
        ({"boxes": (None, Box(0, 0, 1, 1))}, "1 paths and 2 boxes"),
    ],
)
def test_contradictions(change: dict[str, object], message: str) -> None:
    """A record that contradicts itself cannot be made."""
    with pytest.raises(DataError, match=message):
        replace(LIVE, **change)  # type: ignore[arg-type]


def test_subject_in_two_splits() -> None:
    """A subject on both sides is refused, by name."""
    with pytest.raises(DataError, match="X: subject 1: expected it in one split, found it in train and test"):
        checked([LIVE, replace(LIVE, session="s2", split="test")], corpus="X")


def test_session_twice() -> None:
    """Two sessions of the same name are refused."""
    with pytest.raises(DataError, match="X: session s1: expected it once"):
        checked([LIVE, LIVE], corpus="X")


def test_empty() -> None:
    """No presentation at all is an error rather than an empty corpus."""
    with pytest.raises(DataError, match="X: expected presentations, found none"):
        checked([], corpus="X")
