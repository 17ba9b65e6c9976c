"""The format of a file by its first bytes, and the size that its header announces, before anything is decoded."""

from __future__ import annotations

import re

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_STARTS = (
    (JPEG_START, "JPEG"),
    (PNG_START, "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
)
_FRAME_MARKER = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]")
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)


def format_of(head: bytes) -> str:
    """Name the format of a picture or video by its first bytes; empty where it is neither.

    Examples
    --------
    >>> format_of(bytes.fromhex("00000018") + b"ftypheic")
    'HEIC'
    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video (MP4 or MOV)")
    if head.startswith(b"RIFF"):
        return {b"WEBP": "WebP", b"AVI ": "a video (AVI)"}.get(head[8:12], "")
    if head.startswith(b"BM") and len(head) >= 26 and head[14:18] not in (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x7c\0\0\0"):
        return ""
    return next((name for start, name in _STARTS if head.startswith(start)), "")


def pixel_size(data: bytes) -> tuple[int, int] | None:
    """Give the width and height that a header promises; nothing for a format that is not known here."""
    kind = format_of(data[:64])
    if kind == "PNG":
        return _big(data, 16), _big(data, 20)
    if kind == "JPEG":
        return _jpeg_size(data)
    if kind == "BMP":
        return _little(data, 18), abs(_signed(data, 22))
    if kind == "GIF":
        return _little(data, 6, 2), _little(data, 8, 2)
    if kind == "WebP":
        return _webp_size(data)
    if kind == "JPEG 2000" and (at := data[:65536].find(b"ihdr")) >= 0:
        return _big(data, at + 8), _big(data, at + 4)
    if kind in ("AVIF", "HEIC"):
        return _isobmff_size(data)
    return _tiff_size(data) if kind == "TIFF" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while (marker := _MARKER.search(data, at)) is not None:
        start = marker.end()
        if _FRAME_MARKER.fullmatch(marker[0]):
            return _big(data, start + 5, 2), _big(data, start + 3, 2)
        at = start + max(2, _big(data, start, 2))
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if kind == b"VP8L":
        bits = _little(data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (_little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF) if kind == b"VP8 " else None


def _isobmff_size(data: bytes) -> tuple[int, int] | None:
    """Take the largest picture of an item file: thumbnails and tiles have a size of their own."""
    sizes = [(_big(data, m.end() + 4), _big(data, m.end() + 8)) for m in re.finditer(b"ispe", data[:65536])]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    read = _big if data.startswith(b"MM") else _little
    start = read(data, 4)
    found = {}
    for entry in range(start + 2, start + 2 + 12 * min(read(data, start, 2), 512), 12):
        wide = read(data, entry + 2, 2) == 4
        found[read(data, entry, 2)] = read(data, entry + 8, 4 if wide else 2)
    return (found[256], found[257]) if 256 in found and 257 in found else None


def _big(data: bytes, at: int, count: int = 4) -> int:
    return int.from_bytes(data[at : at + count], "big")


def _little(data: bytes, at: int, count: int = 4) -> int:
    return int.from_bytes(data[at : at + count], "little")


def _signed(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little", signed=True)
