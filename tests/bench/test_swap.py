"""Models side by side: what is known is shown, what is not says so."""

import math
from pathlib import Path

import pytest

from ratta.bench import main
from ratta.bench.swap import swap_rows, swap_table
from ratta.bundle import models_folder
from ratta.data import ScoreRow, write_scores
from ratta.errors import BundleError, InputError

DETECTOR = str(models_folder() / "blazeface-short-range" / "blazeface.onnx")
SHIPPED = "ratta-mnv3s-128"


@pytest.fixture
def scores(tmp_path) -> Path:
    """Two people, live and printed: separated in the development set, one error of each kind in the test set."""
    for name, values in (("dev", (0.9, 0.8, 0.1, 0.2)), ("eval", (0.9, 0.2, 0.1, 0.7))):
        rows = [
            ScoreRow("ab"[i % 2], f"{i}", i < 2, "" if i < 2 else "print", i, value) for i, value in enumerate(values)
        ]
        write_scores(tmp_path / f"scores-{name}.csv", rows)
    return tmp_path


def test_a_bundle_and_a_file(scores) -> None:
    """Speed in one race, weight of the graph, accuracy from score files or nowhere, power without a meter unknown."""
    shipped, detector = swap_rows([SHIPPED, DETECTOR], scores={DETECTOR: scores}, seconds=0.05)
    assert ("ratta-mnv3s-128", "1x128x128x3") == (shipped.name, shipped.input)
    assert shipped.ratio is None
    assert 0 < detector.ms
    assert detector.ratio is not None
    assert (3.84, 0.958) == (round(shipped.mb, 2), round(shipped.parameters / 1e6, 3))
    assert (0.5, 0.75) == (detector.acer, detector.auc)
    assert "4 samples, EER threshold of its dev set" in detector.origin
    table = swap_table([shipped, detector])
    assert "| blazeface.onnx |" in table
    assert 4 == len(table.splitlines())


def test_accuracy_of_the_card(shipped_card) -> None:
    """The ACER of the card is taken, with its n; a card without one gives none."""
    row = swap_rows([SHIPPED], seconds=0.01)[0]
    assert shipped_card == row.acer
    assert "its card" in row.origin


@pytest.fixture
def shipped_card() -> float:
    line = [line for line in (models_folder() / SHIPPED / "CARD.md").read_text().splitlines() if "| ACER | " in line]
    return float(line[0].split("|")[2])


def test_no_threshold_no_acer(scores) -> None:
    """Without a development set there is an AUC and nothing else."""
    (scores / "scores-dev.csv").unlink()
    row = swap_rows([SHIPPED], scores={SHIPPED: scores}, seconds=0.01)[0]
    assert math.isnan(row.acer)
    assert 0.75 == row.auc


def test_what_does_not_fit(tmp_path, capsys) -> None:
    """Broken files, foreign scores and odd arguments are errors of one line."""
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"no\.onnx: expected a graph that ONNX Runtime"):
        swap_rows([str(tmp_path / "no.onnx")], seconds=0.01)
    with pytest.raises(InputError, match="scores of these alone"):
        swap_rows([SHIPPED], scores={"other": tmp_path}, seconds=0.01)
    assert 2 == main(["--swap", SHIPPED, "--scores", "nothing"])
    assert "expected MODEL=FOLDER" in capsys.readouterr().err


def test_the_command(capsys) -> None:
    """A Markdown table on stdout."""
    assert 0 == main(["--swap", SHIPPED, "--seconds", "0.05"])
    assert capsys.readouterr().out.startswith("| model | input | ms |")
