"""What a file is by its first bytes, and the size that its header promises."""

import cv2
import numpy as np
import pytest

from ratta.media.formats import format_of, pixel_size

PICTURE = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        (".jpg", "JPEG"),
        (".png", "PNG"),
        (".bmp", "BMP"),
        (".webp", "WebP"),
        (".tiff", "TIFF"),
        (".gif", "GIF"),
        (".avif", "AVIF"),
        (".jp2", "JPEG 2000"),
    ],
)
def test_the_size_is_read_without_decoding(suffix, name):
    """Of every format that unpacks to more than it weighs."""
    if not cv2.haveImageWriter(f"x{suffix}"):
        pytest.skip(f"this OpenCV writes no {name}")
    data = cv2.imencode(suffix, PICTURE)[1].tobytes()
    assert (name, (64, 48)) == (format_of(data[:64]), pixel_size(data))


def test_a_thumbnail_does_not_stand_for_its_picture():
    """The first frame header of the picture itself counts."""
    thumb, whole = (cv2.imencode(".jpg", p)[1].tobytes() for p in (PICTURE[:8, :8], PICTURE))
    data = whole[:2] + b"\xff\xe1" + (len(thumb) + 2).to_bytes(2, "big") + thumb + whole[2:]
    assert (64, 48) == pixel_size(data)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"\0\0\0\x18ftypisom", "a video (MP4 or MOV)"),
        (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
        (b"RIFF\0\0\0\0AVI ", "a video (AVI)"),
        (b"BMW sells cars, and this is a text of some length", ""),
        (b"", ""),
    ],
)
def test_formats_are_known_by_their_first_bytes(head, name):
    """What is neither picture nor video has no name."""
    assert name == format_of(head)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"RIFF\0\0\0\0WEBPVP8 "])
def test_a_header_that_is_cut_raises_nothing(start):
    """It has no size, or a wrong one; the decoder refuses it next."""
    for length in range(40):
        pixel_size(start + bytes(length))
        pixel_size(start + b"\xff" * length)
