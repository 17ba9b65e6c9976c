"""The Replay-Attack reader on a small tree in the corpus's layout."""

import pytest

from ratta.data import read_replay_attack
from ratta.errors import DataError

CLIENTS = {"train": "001", "devel": "003", "test": "009"}


def entries(clients=CLIENTS):
    """One real and two attack videos a split, and the face boxes of one of them."""
    for split, client in clients.items():
        yield f"{split}/real/client{client}_session01_webcam_authenticate_adverse_1.mov"
        yield f"{split}/attack/fixed/attack_print_client{client}_session01_highres_photo_controlled.mov"
        yield f"{split}/attack/hand/attack_mobile_client{client}_session01_highres_video_adverse.mov"
    yield "face-locations/train/real/client001_session01_webcam_authenticate_adverse_1.face=0 1 2 3 4"


def test_reads(plant) -> None:
    """Class, instrument, client, light and support come from the names; devel is the development set."""
    root = plant(entries())
    found = read_replay_attack(root)
    assert ["train"] * 3 + ["dev"] * 3 + ["test"] * 3 == [p.split for p in found]
    assert ["", "print", "mobile"] == [p.species for p in found[:3]]
    assert ["adverse", "controlled-fixed", "adverse-hand"] == [p.condition for p in found[:3]]
    assert ("001", "laptop") == (found[0].subject, found[0].camera)
    assert root / "face-locations/train/real" == (found[0].box_file.parent if found[0].box_file else None)
    assert None is found[1].box_file


def test_same_name_fixed_and_by_hand(plant) -> None:
    """The same attack on a stand and by hand are two sessions."""
    name = "attack_highdef_client001_session01_highres_photo_adverse.mov"
    found = read_replay_attack(plant([*entries(), f"train/attack/fixed/{name}", f"train/attack/hand/{name}"]))
    assert 2 == sum(p.species == "highdef" for p in found)


def test_missing_folder(plant) -> None:
    """A missing part is named with what it should hold."""
    root = plant(e for e in entries() if "devel/attack/hand" not in e)
    with pytest.raises(DataError, match=r"Replay-Attack: expected the folder \S+devel/attack/hand with videos \*.mov"):
        read_replay_attack(root)


def test_empty_folder(plant) -> None:
    """A folder without a video is no part of the corpus."""
    root = plant([*(e for e in entries() if "test/real" not in e), "test/real/readme.txt"])
    with pytest.raises(DataError, match=r"expected videos \*.mov in \S+test/real, found no .mov file"):
        read_replay_attack(root)


def test_foreign_name(plant) -> None:
    """A name that does not fit is shown beside one that does."""
    root = plant([*entries(), "train/real/holiday.mov"])
    with pytest.raises(
        DataError, match=r"holiday.mov: expected a name like client001_session01_webcam_\S+, got holiday"
    ):
        read_replay_attack(root)


def test_subject_overlap(plant) -> None:
    """A client in two sets is refused."""
    with pytest.raises(DataError, match="subject 001: expected it in one split, found it in train and test"):
        read_replay_attack(plant(entries({**CLIENTS, "test": "001"})))
