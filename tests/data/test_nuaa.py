"""The NUAA reader on a small tree in the corpus's layout."""

import pytest

from ratta.data import read_nuaa
from ratta.errors import DataError, InputError

TREE = [
    "ClientRaw/0001/0001_00_00_01_9.jpg",
    "ClientRaw/0001/0001_00_00_01_10.jpg",
    "ClientRaw/0001/0001_00_00_02_1.jpg",
    "ImposterRaw/0001/0001_00_00_01_5.jpg",
    "ImposterRaw/0002/0002_01_03_01_7.jpg",
]


def test_reads(plant) -> None:
    """Pictures of one recording are one session, in the order of their numbers and not of their names."""
    found = read_nuaa(plant(TREE), dev_subjects={"0002"})
    assert ("ClientRaw/0001_00_00_01", ["0001_00_00_01_9", "0001_00_00_01_10"]) == (
        found[0].session,
        [p.stem for p in found[0].paths],
    )
    assert [("0001", "", "test"), ("0001", "", "test"), ("0001", "print", "test"), ("0002", "print", "dev")] == [
        (p.subject, p.species, p.split) for p in found
    ]
    assert "glasses01-light03" == found[-1].condition


def test_a_subject_cannot_train_and_develop(plant) -> None:
    """Asking for the overlap is refused."""
    with pytest.raises(InputError, match=r"expected different ones, got \['0001'\] twice"):
        read_nuaa(plant(TREE), train_subjects={"0001"}, dev_subjects={"0001"})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (TREE[:3], r"NUAA: expected the folder \S+ImposterRaw with one folder per subject"),
        ([*TREE, "ClientRaw/0003/thumbs.db"], r"expected pictures \S+ in \S+ClientRaw/0003, found no .arw"),
        ([*TREE, "ClientRaw/0003/me.jpg"], r"me.jpg: expected a name like 0003_00_01_01_26.jpg, got me.jpg"),
    ],
)
def test_wrong_trees(plant, tree, message) -> None:
    """What is missing or foreign is named with what was expected where."""
    with pytest.raises(DataError, match=message):
        read_nuaa(plant(tree))
