"""Files as people save them: text and its encodings, the order of names, and names that are safe to print."""

from __future__ import annotations

import codecs
import json
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratta.errors import DataError

if TYPE_CHECKING:
    import os

MAX_TEXT_BYTES = 1 << 30
_NUMBER = re.compile(r"([0-9]+)")
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: str | os.PathLike[str], *, holds: str = "text") -> str:
    r"""Read a text file: UTF-8 with or without a byte order mark, whatever its line ends.

    Parameters
    ----------
    path : path
    holds : str
        What the file should be, for messages.

    Returns
    -------
    str
        With `\n` at the end of each line.

    Raises
    ------
    DataError
        If it is missing, no file, too large, or in another encoding.
    """
    data = read_regular(path, holds=holds)
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            raise DataError(f"{path}: expected UTF-8, got {name}; save it again as UTF-8 (a spreadsheet's CSV UTF-8)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: expected UTF-8, got the byte 0x{data[error.start]:02x} that does not belong there; "
            "save it again as UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{path}: expected text in UTF-8, got zero bytes (UTF-16?); save it again as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike[str], *, holds: str = "JSON") -> Any:
    """Read a JSON file.

    Raises
    ------
    DataError
        As `read_text`, or if it is no JSON or nested too deep.
    """
    try:
        return json.loads(read_text(path, holds=holds))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected {holds}, got: {error}") from error


def read_regular(path: str | os.PathLike[str], *, holds: str, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Read a file that is one: looked at before it is opened, because a pipe or a device may never end.

    Raises
    ------
    DataError
        If it is missing, no regular file, or larger than `limit` bytes.
    """
    path = Path(path)
    try:
        kind = kind_of(path)
        if kind != "file":
            raise DataError(f"{path}: expected {holds}, got {kind}")
        if path.stat().st_size > limit:
            raise DataError(f"{path}: expected {holds} of at most {limit:,} bytes, got {path.stat().st_size:,}")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected {holds}, got: {_reason(error)}") from error
    if len(data) > limit:
        raise DataError(f"{path}: expected {holds} of at most {limit:,} bytes, got more")
    return data


def kind_of(path: Path) -> str:
    """Say what a path is: "file", or a few words such as "a folder" or "a pipe"; links are followed.

    Raises
    ------
    OSError, ValueError
        If nothing is there, or it cannot be looked at.
    """
    mode = path.stat().st_mode
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a block device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something that is no file")


def natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort paths as people count: `2.jpg` before `10.jpg`.

    Examples
    --------
    >>> [p.name for p in sorted(map(Path, ("10.jpg", "2.jpg", "7\u00b25.jpg")), key=natural)]
    ['2.jpg', '7\u00b25.jpg', '10.jpg']
    """
    parts = _NUMBER.split(path.name.casefold())
    return [(int(part), "") if at % 2 else (-1, part) for at, part in enumerate(parts)], str(path)


def hidden(path: Path) -> bool:
    """Whether a name begins with a dot, as what desktop systems leave beside a file (`._0.jpg`, `.DS_Store`)."""
    return path.name.startswith(".")


def printable(text: str) -> str:
    r"""Escape whatever would not stay on its line or would steer a terminal.

    Examples
    --------
    >>> print(printable("a.png\nLIVE  1.00  boss.png"))
    a.png\nLIVE  1.00  boss.png
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
