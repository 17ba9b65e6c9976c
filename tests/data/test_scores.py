"""bob.pad's score files: written, read, round-tripped, and refused with the line."""

import math

import pytest

from ratta.data import ScoreRow, read_scores, write_scores
from ratta.errors import DataError

ROWS = (
    ScoreRow("ann", "test/live/ann/1#0", True, "", 0, 0.1 + 0.2),
    ScoreRow("ann", "test/print/ann/1#0", False, "print", 1, -1e-17),
    ScoreRow("bob, the other", "x#1", False, "replay", 2, math.nan),
)


def test_round_trip(tmp_path) -> None:
    """Every digit, every comma and every refusal comes back."""
    path = tmp_path / "scores-eval.csv"
    write_scores(path, ROWS)
    found = read_scores(path)
    assert ROWS[:2] == found[:2]
    assert ("bob, the other", True) == (found[2].claimed_id, math.isnan(found[2].score))
    assert [path] == list(tmp_path.iterdir())


def test_written_as_bob_expects(tmp_path) -> None:
    """Header, booleans and empty attack type as bob.pad's CSV writer makes them."""
    path = tmp_path / "scores-dev.csv"
    write_scores(path, ROWS[:2])
    assert [
        "claimed_id,test_label,is_bonafide,attack_type,sample_n,score",
        "ann,test/live/ann/1#0,True,,0,0.30000000000000004",
        "ann,test/print/ann/1#0,False,print,1,-1e-17",
    ] == path.read_text().splitlines()


def test_reads_further_columns_in_any_order(tmp_path) -> None:
    """Metadata columns are ignored, and columns are found by name."""
    path = tmp_path / "s.csv"
    path.write_text(
        "score,phone,claimed_id,test_label,is_bonafide,attack_type,sample_n\n0.5,1,a,b,False,mask,3\n,1,a,c,True,,4\n"
    )
    found = read_scores(path)
    assert (ScoreRow("a", "b", False, "mask", 3, 0.5), True) == (found[0], math.isnan(found[1].score))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claimed_id,score\n", "expected the columns .*, missing test_label, is_bonafide, attack_type, sample_n"),
        ("{header}\na,b,maybe,,0,1\n", "s.csv:2: expected is_bonafide True or False"),
        (
            "{header}\na,b,True,print,0,1\n",
            "s.csv:2: expected is_bonafide True or False, an attack_type for attacks only",
        ),
        ("{header}\na,b,True,,0,high\n", "s.csv:2: .* got .*'high'"),
        ("{header}\na,b,True\n", "s.csv:2: expected 6 fields or more, got fewer"),
    ],
)
def test_wrong_files(tmp_path, text, message) -> None:
    """A missing column or a row that does not fit is named."""
    path = tmp_path / "s.csv"
    path.write_text(text.format(header="claimed_id,test_label,is_bonafide,attack_type,sample_n,score"))
    with pytest.raises(DataError, match=message):
        read_scores(path)


def test_no_file(tmp_path) -> None:
    """A file that is not there is named with its columns."""
    with pytest.raises(DataError, match=r"expected the file \S+none.csv with claimed_id"):
        read_scores(tmp_path / "none.csv")
