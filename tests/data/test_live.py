"""Live sessions in whatever order they are kept."""

import pytest

from ratta.data import read_live
from ratta.errors import DataError


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def told(found):
    return [(one.session, one.subject, len(one.paths)) for one in found]


def test_folders_of_pictures_and_videos_are_sessions(tmp_path):
    """The first folder is the person; hidden files are none; pictures stand in natural order."""
    put(tmp_path, "ann/s1/2.jpg", "ann/s1/10.jpg", "ann/s2.mp4", "bob/s1/1.png", "bob/s1/._1.png", "bob/notes.txt")
    put(tmp_path, ".cache/s3/1.jpg", "bob/.thumbs/1.jpg")
    found = read_live(tmp_path)
    assert [("ann/s1", "ann", 2), ("ann/s2.mp4", "ann", 1), ("bob/s1", "bob", 1)] == sorted(told(found))
    pictures = {one.session: [path.name for path in one.paths] for one in found}
    assert ["2.jpg", "10.jpg"] == pictures["ann/s1"]


def test_without_people_nobody_is_named(tmp_path):
    """Videos side by side."""
    put(tmp_path, "1.mp4", "2.mp4")
    assert [("1.mp4", "", 1), ("2.mp4", "", 1)] == told(read_live(tmp_path))


def test_a_tree_with_splits_gives_its_live_part(tmp_path):
    """As `read_folder` reads it."""
    put(tmp_path, "dev/live/ann/s1/1.jpg", "dev/print/ann/s2/1.jpg")
    assert [("dev/live/ann/s1", "ann", 1)] == told(read_live(tmp_path))


@pytest.mark.parametrize("names", [(), ("notes.txt",)])
def test_nothing_to_read_is_an_error(tmp_path, names):
    """An empty folder, or one without pictures and videos."""
    put(tmp_path, *names)
    with pytest.raises(DataError, match="live sessions"):
        read_live(tmp_path)


def test_a_manifest_with_attacks_is_an_error(tmp_path):
    """They are counted."""
    put(tmp_path, "a.jpg", "b.jpg")
    rows = ["path,label,species,subject,session,camera", "a.jpg,live,,ann,s1,c", "b.jpg,spoof,print,ann,s2,c"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match="1 attacks among 2"):
        read_live(tmp_path / "list.csv")
