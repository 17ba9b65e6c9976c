"""Face positions of the corpora against boxes worked out by hand."""

import pytest

from ratta.data.boxes import read_boxes, scaled
from ratta.errors import DataError
from ratta.records import Box


def test_eyes(tmp_path) -> None:
    """Eyes 10 apart give a square of 22 whose middle is 4 below them; coinciding eyes give none."""
    path = tmp_path / "eyes.txt"
    path.write_text("0,100,50,110,50\n1,5,5,5,5\n")
    assert [Box(94, 43, 116, 65), None] == read_boxes(path, "oulu-eyes")


def test_faces(tmp_path) -> None:
    """A corner and a size become two corners; a face of no size is no face."""
    path = tmp_path / "x.face"
    path.write_text("0 10 20 30 40\n1 0 0 0 0\n")
    assert [Box(10, 20, 40, 60), None] == read_boxes(path, "replay-faces")


def test_celeba(tmp_path) -> None:
    """The box is in a frame of 224 pixels and is scaled to the picture, each axis by itself."""
    path = tmp_path / "x_BB.txt"
    path.write_text("112 56 56 112 0.998\n")
    (box,) = read_boxes(path, "celeba-box")
    assert Box(224, 28, 336, 84) == scaled(box, "celeba-box", height=112, width=448)


def test_other_boxes_are_in_pixels_already() -> None:
    """Only CelebA-Spoof's boxes are scaled."""
    assert Box(1, 2, 3, 4) == scaled(Box(1, 2, 3, 4), "replay-faces", height=9, width=9)


@pytest.mark.parametrize("text", ["0 1 2 3\n", "0 1 2 3 x\n", "0 1 2 nan 4\n"])
def test_wrong_line(tmp_path, text) -> None:
    """A line that does not fit is quoted with its number."""
    path = tmp_path / "x.face"
    path.write_text("0 10 20 30 40\n" + text)
    with pytest.raises(DataError, match=r"x.face:2: expected 5 numbers, got '"):
        read_boxes(path, "replay-faces")


def test_unknown_format(tmp_path) -> None:
    """Formats have names."""
    with pytest.raises(DataError, match="box format: expected one of"):
        read_boxes(tmp_path, "xml")
