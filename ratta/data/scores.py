"""Score files as bob.pad writes and reads them.

CSV with a header: `claimed_id,test_label,is_bonafide,attack_type,sample_n,score`. Higher scores are bona fide; a
refused sample has the score `nan`. `is_bonafide` is `True` or `False`, `attack_type` is empty for bona fide,
`test_label` names the sample (session and frame), `sample_n` counts them. A development set goes to `scores-dev.csv`,
a test set to `scores-eval.csv`. Further columns, such as bob's metadata, are ignored.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.data import tree
from ratta.errors import DataError
from ratta.outputs import replace_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = ("claimed_id", "test_label", "is_bonafide", "attack_type", "sample_n", "score")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One sample of a score file.

    Attributes
    ----------
    claimed_id : str
        The subject.
    test_label : str
        The sample's name.
    is_bonafide : bool
    attack_type : str
        PAI species; empty for bona fide.
    sample_n : int
    score : float
        Higher = bona fide; `nan` = refused.
    """

    claimed_id: str
    test_label: str
    is_bonafide: bool
    attack_type: str
    sample_n: int
    score: float


def write_scores(path: str | Path, rows: Iterable[ScoreRow]) -> None:
    """Write a score file, replacing it at once; scores keep every digit."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(
            (row.claimed_id, row.test_label, row.is_bonafide, row.attack_type, row.sample_n, repr(float(row.score)))
        )
    replace_text(path, text.getvalue())


def read_scores(path: str | Path) -> tuple[ScoreRow, ...]:
    """Read a score file.

    Raises
    ------
    DataError
        If it is absent, a column is missing, or a row does not fit (with its line number).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"scores: expected the file {path} with {','.join(COLUMNS)}, found none")
    return tuple(_row(row, f"{path}:{number}") for number, row in tree.table(path, COLUMNS, what="scores"))


def _row(row: Mapping[str, str | None], where: str) -> ScoreRow:
    if None in row.values():
        raise DataError(f"{where}: expected {len(COLUMNS)} fields or more, got fewer; the line is cut short")
    values = {column: row[column] or "" for column in COLUMNS}
    bona_fide = {"true": True, "false": False, "1": True, "0": False}.get(values["is_bonafide"].lower())
    try:
        sample, score = int(float(values["sample_n"] or 0)), float(values["score"] or "nan")
    except ValueError:
        bona_fide = None
        sample, score = 0, 0.0
    if bona_fide is None or bona_fide == bool(values["attack_type"]):
        raise DataError(
            f"{where}: expected is_bonafide True or False, an attack_type for attacks only, a number sample_n and "
            f"a number or nan as score, got {list(values.values())}"
        )
    return ScoreRow(values["claimed_id"], values["test_label"], bona_fide, values["attack_type"], sample, score)
