"""The OULU-NPU reader on a small tree in the corpus's layout."""

import pytest

from ratta.data import read_oulu_npu
from ratta.data.oulu_npu import folds
from ratta.errors import DataError, InputError

VIDEOS = ["Train_files/1_1_01_1", "Train_files/1_1_01_2", "Dev_files/2_2_21_1", "Dev_files/2_2_21_4"]
VIDEOS += ["Test_files/6_3_36_1", "Test_files/6_3_36_5"]
LISTS = {
    "Train": "+1,1_1_01_1\n-1,1_1_01_2\n",
    "Dev": "+1,2_2_21_1\n-2,2_2_21_4\n",
    "Test": "+1,6_3_36_1\n-2,6_3_36_5\n\n",
}
TREE = [f"{video}.avi" for video in VIDEOS]
TREE += ["Train_files/1_1_01_1.txt=0,1,1,3,1"]
TREE += [f"Protocols/Protocol_1/{name}.txt={text}" for name, text in LISTS.items()]
TREE += [f"Protocols/Protocol_3/{name}_2.txt={text}" for name, text in LISTS.items()]


@pytest.mark.parametrize(("protocol", "fold"), [(1, None), (3, 2)])
def test_reads_a_protocol(plant, protocol, fold) -> None:
    """Every column comes from the name and the list; eye positions where the corpus has them."""
    root = plant(TREE)
    found = read_oulu_npu(root, protocol=protocol, fold=fold)
    first, last = found[0], found[-1]
    assert (6, ("1_1_01_1",)) == (len(found), tuple(p.stem for p in first.paths))
    assert (True, "", "01", "phone1", "session1", "train") == (
        first.is_live,
        first.species,
        first.subject,
        first.camera,
        first.condition,
        first.split,
    )
    assert (root / "Train_files/1_1_01_1.txt", "oulu-eyes", None) == (first.box_file, first.box_format, last.box_file)
    assert (False, "replay", "36", "phone6", "test") == (
        last.is_live,
        last.species,
        last.subject,
        last.camera,
        last.split,
    )
    assert ["", "print", "", "replay", "", "replay"] == [p.species for p in found]


def test_folds() -> None:
    """Protocols 3 and 4 leave one of six phones out; 1 and 2 have no folds."""
    assert ((), (), (1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6)) == tuple(folds(p) for p in (1, 2, 3, 4))


@pytest.mark.parametrize(("protocol", "fold"), [(1, 1), (3, None), (4, 7), (5, None)])
def test_protocol_and_fold_must_fit(plant, protocol, fold) -> None:
    """A fold where there is none, none where there are six, and protocols that do not exist are refused."""
    with pytest.raises(InputError, match="expected"):
        read_oulu_npu(plant(TREE), protocol=protocol, fold=fold)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("Protocols/Protocol_1", r"OULU-NPU: expected the folder \S+Protocols/Protocol_1 with the protocol's lists"),
        ("Protocols/Protocol_1/Dev.txt", r"expected the file \S+Dev.txt with lines \+1,P_S_UU_T"),
        ("Test_files", r"expected the folder \S+Test_files with videos P_S_UU_T.avi"),
        ("Dev_files/2_2_21_4.avi", r"Dev.txt names 1 files that are not there, first \S+2_2_21_4.avi"),
    ],
)
def test_missing(plant, removed, message) -> None:
    """What is missing is named with what it should hold."""
    root = plant(entry for entry in TREE if not entry.startswith(removed))
    with pytest.raises(DataError, match=message):
        read_oulu_npu(root, protocol=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1_1_01_1", r"Train.txt:1: expected a line like \+1,1_1_01_1, got '1,1_1_01_1'"),
        ("+1,7_1_01_1", "Train.txt:1: expected a line like"),
        ("-1,1_1_01_1", r"Train.txt:1: expected \+1 for type 1"),
    ],
)
def test_wrong_line(plant, line, message) -> None:
    """A line that does not fit is quoted with file and line number."""
    root = plant([*TREE, f"Protocols/Protocol_1/Train.txt={line}"])
    with pytest.raises(DataError, match=message):
        read_oulu_npu(root, protocol=1)


def test_subject_overlap(plant) -> None:
    """A user in two lists is refused."""
    root = plant([*TREE, "Test_files/6_3_01_1.avi", "Protocols/Protocol_1/Test.txt=+1,6_3_01_1"])
    with pytest.raises(DataError, match="subject 01: expected it in one split, found it in train and test"):
        read_oulu_npu(root, protocol=1)
