"""Picture files: whole ones are read, anything else is refused with a sentence that helps."""

import os

import cv2
import numpy as np
import pytest

from ratta.camera import list_pictures, read_picture
from ratta.errors import SourceError
from ratta.media.picture import list_folder, read_scaled


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(picture, suffix):
    return cv2.imencode(suffix, picture)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_lossless_pictures_come_back_as_they_were_written(tmp_path, picture, suffix):
    """BGR in, BGR out, whatever the container."""
    path = tmp_path / f"p{suffix}"
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    path.write_bytes(cv2.imencode(suffix, picture, options)[1].tobytes())
    assert (read_picture(path) == picture).all()


def test_a_jpeg_is_read(tmp_path, picture):
    """A JPEG is read at its size, and close to what was written."""
    path = tmp_path / "p.jpg"
    path.write_bytes(cv2.imencode(".jpg", np.full_like(picture, 90), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    assert read_picture(path).shape == (48, 64, 3)
    assert abs(int(read_picture(path).mean()) - 90) <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("keep", [0.25, 0.5, 0.9, 0.999])
def test_a_picture_cut_short_is_refused(tmp_path, picture, suffix, keep):
    """However much of it is there, a file without its end is not decoded."""
    data = encoded(picture, suffix)
    path = tmp_path / f"p{suffix}"
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(SourceError, match=r"without its end marker; the file was cut short: copy it again"):
        read_picture(path)


def test_the_end_of_a_thumbnail_does_not_pass_for_the_end_of_the_picture(tmp_path, picture):
    """A thumbnail in the header carries an end marker of its own; the picture behind it is cut."""
    whole, thumbnail = encoded(picture, ".jpg"), encoded(picture[:16, :16], ".jpg")
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    path = tmp_path / "p.jpg"
    path.write_bytes(with_thumbnail)
    assert read_picture(path).shape == (48, 64, 3)
    path.write_bytes(with_thumbnail[: len(with_thumbnail) - len(whole) // 2])
    with pytest.raises(SourceError, match="cut short"):
        read_picture(path)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path, picture):
    """Phones append videos and depth maps to their pictures."""
    path = tmp_path / "p.jpg"
    path.write_bytes(encoded(picture, ".jpg") + b"appended by a phone")
    assert read_picture(path).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a picture, got an empty file; copy it again"),
        (b"this is a text" * 9, "expected a picture, got 126 bytes that do not decode as one"),
        (b"\xff\xd8\xff\xe0" + bytes(64), "without its end marker"),
        (b"\x89PNG\r\n\x1a\n" + bytes(8), "without its end marker"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, content, message):
    """The message says what lies there instead."""
    path = tmp_path / "p.jpg"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_picture(path)


def test_a_missing_picture_is_refused(tmp_path):
    """The message names the path."""
    with pytest.raises(SourceError, match=r"no\.jpg: expected a readable picture, got: No such file"):
        read_picture(tmp_path / "no.jpg")


def test_grey_alpha_and_16_bit_pictures_come_as_bgr_bytes(tmp_path, picture):
    """One form inside, whatever was stored."""
    forms = {
        "grey": picture[..., 0],
        "alpha": np.dstack([picture, picture[..., 0]]),
        "deep": picture.astype(np.uint16) * 257,
    }
    for name, form in forms.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(encoded(form, ".png"))
        expected = np.repeat(form[..., None], 3, axis=2) if name == "grey" else picture
        assert (read_picture(path) == expected).all()


def test_a_folder_is_listed_in_natural_order(tmp_path):
    """Numbers count as numbers; what is no picture, hidden or a folder stays out."""
    for name in ("10.jpg", "9.JPG", "1.png", "notes.txt", ".hidden.jpg", "a2.jpg", "a10.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    assert [p.name for p in list_pictures(tmp_path)] == ["1.png", "9.JPG", "10.jpg", "a2.jpg", "a10.jpg"]


def test_what_looks_like_a_picture_is_never_left_out(tmp_path, picture):
    """By its suffix or its content, readable or not; the rest is counted, hidden names are not."""
    for name in ("a.jpg", "b.HEIC", "c.avif", "d.mov", "notes.txt", "x.pdf", "y.pdf", "._a.jpg", "plain"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "upload").write_bytes(encoded(picture, ".png"))
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder").mkdir()
    listing = list_folder(tmp_path)
    found = ["a.jpg", "b.HEIC", "c.avif", "d.mov", "gone.png", "pipe.png", "upload"]
    assert found == [p.name for p in listing.pictures]
    assert {".txt": 1, ".pdf": 2, "file": 1, "folder": 1} == listing.left_out


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), "got HEIC, which does not decode here; convert it to JPEG"),
        (b"\0\0\0\x18ftypisom" + bytes(99), r"got a video \(MP4 or MOV\); run it by itself"),
        (b"\0\0\0\x0cJXL " + bytes(99), "got JPEG XL, which does not decode here"),
    ],
)
def test_a_format_that_does_not_decode_is_named(tmp_path, data, message):
    """Whatever its suffix says."""
    (tmp_path / "p.jpg").write_bytes(data)
    with pytest.raises(SourceError, match=message):
        read_picture(tmp_path / "p.jpg")


def test_a_size_that_would_fill_the_memory_is_refused_before_decoding(tmp_path, picture, monkeypatch):
    """The header is asked; a picture of 400 million pixels is not unpacked to be found too large."""
    data = bytearray(encoded(picture, ".png"))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    (tmp_path / "p.png").write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(SourceError, match="at most 128,000,000 pixels, got a file that says 20000 x 20000"):
        read_picture(tmp_path / "p.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_large_picture_is_scaled_down_by_area(tmp_path, suffix):
    """To at most what is asked for, in its proportions; by how much is said, for boxes."""
    (tmp_path / f"p{suffix}").write_bytes(encoded(np.full((600, 900, 3), 90, np.uint8), suffix))
    found, scale = read_scaled(tmp_path / f"p{suffix}", max_pixels=60_000)
    assert (200, 300, pytest.approx(1 / 3, rel=0.01)) == (*found.shape[:2], scale)
    assert abs(int(found.mean()) - 90) <= 1
    assert ((600, 900), 1.0) == ((whole := read_scaled(tmp_path / f"p{suffix}"))[0].shape[:2], whole[1])


def test_a_picture_is_turned_as_its_tag_says(tmp_path):
    """Orientation 6, as a phone held upright writes it: a wide picture comes out high."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = encoded(np.full((48, 64, 3), 90, np.uint8), ".jpg")
    (tmp_path / "p.jpg").write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    assert (64, 48) == read_picture(tmp_path / "p.jpg").shape[:2]


def test_a_folder_without_pictures_is_refused(tmp_path):
    """The message says how many other files lie there."""
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"expected pictures \(.bmp, .*, got 1 other files"):
        list_pictures(tmp_path)
    with pytest.raises(SourceError, match="expected a readable folder, got: No such file"):
        list_pictures(tmp_path / "no")
