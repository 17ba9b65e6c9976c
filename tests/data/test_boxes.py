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


@pytest.mark.parametrize(("first", "index"), [(0, 4), (1, 3)])
def test_the_frame_number_decides(tmp_path, first, index) -> None:
    """A frame without a line has no box, and what comes after the hole keeps its place; files may count from 1."""
    path = tmp_path / "eyes.txt"
    path.write_text(f"{first},100,50,110,50\r\n4,200,50,210,50\r\n")
    boxes = read_boxes(path, "oulu-eyes")
    assert (index + 1, [True, *[False] * (index - 1), True]) == (len(boxes), [box is not None for box in boxes])
    assert 205 == boxes[index].center[0]


@pytest.mark.parametrize("number", ["1", "0", "-1", "2.5", "1e300"])
def test_frame_numbers_grow(tmp_path, number) -> None:
    """A number that comes twice, goes back, is no frame's, or would fill the memory is named with its line."""
    path = tmp_path / "x.face"
    path.write_text(f"0 10 20 30 40\n1 10 20 30 40\n{number} 10 20 30 40\n")
    with pytest.raises(DataError, match=r"x.face:3: expected frame numbers that grow, from 0 on, got .* after 1"):
        read_boxes(path, "replay-faces")


def test_boxes_follow_a_picture_that_was_scaled() -> None:
    """Each axis by itself: pixels may not be square."""
    assert Box(2, 1, 6, 2) == scaled(Box(1, 2, 3, 4), "replay-faces", height=9, width=9, scale=(2.0, 0.5))
