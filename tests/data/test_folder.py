"""Folders and manifests of one's own."""

import pytest

from ratta.data import read_folder, read_manifest
from ratta.errors import DataError
from ratta.records import Box

TREE = ["dev/live/ann/a/1.jpg", "dev/live/ann/a/2.jpg", "test/live/bob/a/clip.mp4", "test/mask/bob/a/1.png"]
HEADER = "path,label,species,subject,session,camera"
ROWS = "a.jpg,live,,ann,1,phone\nb.jpg,live,,ann,1,phone\nc.mp4,spoof,print,ann,1,phone\n"


def test_folder(plant) -> None:
    """The path says it all; a session holds pictures or one video."""
    found = read_folder(plant(TREE), camera="phone")
    assert [("dev", "", "ann", 2), ("test", "", "bob", 1), ("test", "mask", "bob", 1)] == [
        (p.split, p.species, p.subject, len(p.paths)) for p in found
    ]
    assert ("test/mask/bob/a", "phone") == (found[2].session, found[2].camera)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (["validation/live/ann/a/1.jpg"], "expected the folders train, dev, test, found validation; rename or move it"),
        ([*TREE, "test/live/cat/a/notes.txt"], r"expected pictures or one video in \S+cat/a"),
        ([*TREE, "test/live/cat/a/1.jpg", "test/live/cat/a/2.mp4"], "expected pictures or one video, found 2 files"),
        ([*TREE, "test/live/ann/b/1.jpg"], "subject ann: expected it in one split, found it in dev and test"),
        (["readme.txt"], "expected presentations, found none"),
    ],
)
def test_wrong_folders(plant, tree, message) -> None:
    """What does not fit is named with what was expected where."""
    with pytest.raises(DataError, match=message):
        read_folder(plant(tree))


def test_no_folder(tmp_path) -> None:
    """A root that is not there is named with the layout."""
    with pytest.raises(DataError, match=r"expected the folder \S+nowhere with <split>/<live \| species>"):
        read_folder(tmp_path / "nowhere")


def test_manifest(plant) -> None:
    """Rows of one subject, label and session are one presentation; the split is test unless the file says otherwise."""
    found = read_manifest(plant(["a.jpg", "b.jpg", "c.mp4", f"m.csv={HEADER}\n{ROWS}"]) / "m.csv")
    assert [("", "ann", 2, "test", ()), ("print", "ann", 1, "test", ())] == [
        (p.species, p.subject, len(p.paths), p.split, p.boxes) for p in found
    ]


def test_manifest_with_boxes_and_splits(plant) -> None:
    """Boxes may be given for some pictures; splits for all."""
    rows = "a.jpg,live,,ann,1,,1,2,3,4,dev\nb.jpg,live,,ann,1,,,,,,dev\n"
    root = plant(["a.jpg", "b.jpg", f"m.csv={HEADER},x_min,y_min,x_max,y_max,split\n{rows}"])
    (one,) = read_manifest(root / "m.csv")
    assert ((Box(1, 2, 3, 4), None), "dev") == (one.boxes, one.split)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "expected the columns .*, missing species, subject, session, camera"),
        (f"{HEADER}\na.jpg,real,,ann,1,\n", r"m.csv:2: expected label live without a species or label spoof with one"),
        (f"{HEADER}\na.jpg,spoof,,ann,1,\n", "m.csv:2: expected label live without a species"),
        (f"{HEADER}\na.jpg,live,,,1,\n", "m.csv:2: expected a path, a subject and a session"),
        (f"{HEADER}\na.jpg,live,,ann\n", "m.csv:2: expected as many fields as columns"),
        (f"{HEADER}\nz.jpg,live,,ann,1,\n", r"names 1 files that are not there, first \S+z.jpg"),
        (f"{HEADER},x_min,y_min,x_max,y_max\na.jpg,live,,ann,1,,3,2,1,4\n", "m.csv:2: expected numbers x_min < x_max"),
        (f"{HEADER},x_min,y_min,x_max,y_max\na.jpg,live,,ann,1,,3,2,1,\n", "m.csv:2: expected numbers x_min < x_max"),
        (f"{HEADER},split\na.jpg,live,,ann,1,,dev\nb.jpg,live,,ann,2,,test\n", "subject ann: expected it in one split"),
    ],
)
def test_wrong_manifests(plant, text, message) -> None:
    """An error in a manifest names the line and what was expected."""
    root = plant(["a.jpg", "b.jpg", f"m.csv={text}"])
    with pytest.raises(DataError, match=message):
        read_manifest(root / "m.csv")


def test_pictures_stand_in_the_order_they_were_taken(plant) -> None:
    """Natural order; what a desktop system leaves behind is no picture, and no session."""
    names = [f"test/live/ann/1/{i}.jpg" for i in range(1, 12)]
    root = plant([*names, "test/live/ann/1/._1.jpg", "test/live/ann/._1/x.jpg", "test/.cache/ann/1/x.jpg"])
    (one,) = read_folder(root)
    assert list(range(1, 12)) == [int(path.stem) for path in one.paths]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (f"{HEADER}\n".encode("utf-16"), "m.csv: expected UTF-8, got UTF-16"),
        (f"{HEADER}\nü.jpg,live,,ann,1,\n".encode("latin-1"), "m.csv:2: expected UTF-8"),
        (HEADER.replace(",", ";").encode(), "the fields are separated by semicolons: save it with commas"),
        (HEADER.replace(",", "\t").encode(), "separated by tabs"),
        (f'{HEADER}\n"a.jpg,live,,ann,1,\n'.encode(), "expected CSV, got: "),
    ],
)
def test_manifests_of_spreadsheets(plant, data, message) -> None:
    """What another program saved is named for what it is."""
    root = plant(["a.jpg"])
    (root / "m.csv").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_manifest(root / "m.csv")


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(plant) -> None:
    """A spreadsheet's CSV UTF-8 is read."""
    root = plant(["a.jpg", "b.jpg", "c.mp4"])
    (root / "m.csv").write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\n{ROWS}".replace("\n", "\r\n").encode())
    assert 2 == len(read_manifest(root / "m.csv"))


def test_no_manifest(tmp_path) -> None:
    """A manifest that is not there is named with its columns."""
    with pytest.raises(DataError, match=r"expected the file \S+m.csv with path,label"):
        read_manifest(tmp_path / "m.csv")
