"""The MSU-MFSD reader on a small tree in the corpus's layout."""

import pytest

from ratta.data import read_msu_mfsd
from ratta.errors import DataError

TREE = [
    "scene01/real/real_client001_android_SD_scene01.mp4",
    "scene01/real/real_client002_laptop_SD_scene01.mov",
    "scene01/attack/attack_client001_android_SD_printed_photo_scene01.mp4",
    "scene01/attack/attack_client002_laptop_SD_ipad_video_scene01.mov",
    "train_sub_list.txt=02\n",
    "test_sub_list.txt=01\n",
]


def test_reads(plant) -> None:
    """Camera and instrument come from the name, the split from the subject lists."""
    found = read_msu_mfsd(plant(TREE))
    assert [
        ("001", "", "android", "test"),
        ("002", "", "laptop", "train"),
        ("001", "print", "android", "test"),
        ("002", "ipad", "laptop", "train"),
    ] == [(p.subject, p.species, p.camera, p.split) for p in found]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            ["test_sub_list.txt=1\n2\n"],
            "client002: expected it in one of the two subject lists, found it in train and in",
        ),
        (["test_sub_list.txt=3\n"], "client001: expected it in one of the two subject lists, found it in neither"),
        (["train_sub_list.txt=client02\n"], r"train_sub_list.txt:1: expected a subject number, got 'client02'"),
        (
            ["scene01/real/attack_client001_android_SD_ipad_video_scene01.mp4"],
            "expected a name like .* in scene01/real",
        ),
        (["scene01/real/photo.mp4"], r"photo.mp4: expected a name like real_client001_android_SD_scene01"),
    ],
)
def test_wrong_trees(plant, changed, message) -> None:
    """What contradicts or is foreign is named with what was expected."""
    with pytest.raises(DataError, match=message):
        read_msu_mfsd(plant([*TREE, *changed]))


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("test_sub_list.txt", r"MSU-MFSD: expected the file \S+test_sub_list.txt with one subject number a line"),
        ("scene01/attack", r"expected the folder \S+scene01/attack with videos attack_client\*"),
    ],
)
def test_missing(plant, removed, message) -> None:
    """What is missing is named with what it should hold."""
    with pytest.raises(DataError, match=message):
        read_msu_mfsd(plant(entry for entry in TREE if not entry.startswith(removed)))
