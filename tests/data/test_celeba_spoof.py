"""The CelebA-Spoof reader on a small tree in the corpus's layout."""

import json

import pytest

from ratta.data import read_celeba_spoof
from ratta.errors import DataError


def labels(kind: int, is_spoof: int) -> list[int]:
    """44 labels as in the corpus: 40 attributes, then spoof type, illumination, environment, spoof."""
    return [0] * 40 + [kind, 2, 1, is_spoof]


def tree(test=None):
    """Two pictures a split, one of them with a box."""
    train = {"Data/train/7/live/000001.png": labels(0, 0), "Data/train/7/spoof/000002.jpg": labels(9, 1)}
    test = {"Data/test/8/live/000003.png": labels(0, 0)} if test is None else test
    yield "Data/train/7/live/000001.png"
    yield "Data/train/7/live/000001_BB.txt=10 20 30 40 0.9"
    yield "Data/train/7/spoof/000002.jpg"
    yield "Data/test/8/live/000003.png"
    yield "Data/test/7/live/000004.png"
    yield f"metas/intra_test/train_label.json={json.dumps(train)}"
    yield f"metas/intra_test/test_label.json={json.dumps(test)}"


def test_reads(plant) -> None:
    """Species and condition come from the labels, the subject from the folder; each picture is a session."""
    found = read_celeba_spoof(plant(tree()))
    assert [("7", "", "train"), ("7", "phone", "train"), ("8", "", "test")] == [
        (p.subject, p.species, p.split) for p in found
    ]
    assert ("illumination2-environment1", "celeba-box", None) == (
        found[0].condition,
        found[0].box_format,
        found[1].box_file,
    )


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"Data/test/8/live/9.png": labels(0, 0)}, r"test_label.json names 1 files that are not there, first \S+9.png"),
        ({"Data/test/8/live/000003.png": [0]}, r"000003.png: expected Data/test/<id>/<live\|spoof>/<picture> with 44"),
        (
            {"Data/test/8/live/000003.png": labels(3, 1)},
            "expected spoof type 0 .* agreeing with label 43 and the folder",
        ),
        (
            {"Data/test/7/live/000004.png": labels(0, 0)},
            "subject 7: expected it in one split, found it in train and test",
        ),
        ([], "expected picture -> labels, got a list"),
    ],
)
def test_wrong_labels(plant, test, message) -> None:
    """Labels that contradict the tree are named with what was expected."""
    with pytest.raises(DataError, match=message):
        read_celeba_spoof(plant(tree(test)))


def test_broken_json(plant) -> None:
    """A cut file is named."""
    with pytest.raises(DataError, match=r"test_label.json: expected JSON"):
        read_celeba_spoof(plant([*tree(), "metas/intra_test/test_label.json={"]))


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("Data/test", r"CelebA-Spoof: expected the folder \S+Data/test with one folder per subject"),
        ("metas", r"expected the file \S+train_label.json with picture -> 44 labels"),
    ],
)
def test_missing(plant, removed, message) -> None:
    """What is missing is named with what it should hold."""
    with pytest.raises(DataError, match=message):
        read_celeba_spoof(plant(entry for entry in tree() if not entry.startswith(removed)))
