"""What others may have written, with limits before anything is read or unpacked: files, JSON and archives of arrays.

A folder of a model or profile may come from anywhere. So a file is looked at before it is opened (a pipe never ends),
and no more of it is read than its manifest says; JSON has each key once and only finite numbers; an archive may not
unpack to more than it says beforehand, and its arrays are numbers or text whose size is what their headers say.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ratta.errors import BundleError, DataError, InputError
from ratta.files import read_regular

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[Any]]

MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 28
MAX_ARRAYS_BYTES = 1 << 28
MAX_ARRAYS = 4096
_MAX_HEADER_BYTES = 1024
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:[fiub][1248]|U[1-9]\d{0,2}))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12},? ?){0,8})\), ?\} *\n"
)
_ALTERED = "the file was altered, swapped or cut short: reinstall the model"
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_file(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises
    ------
    BundleError
        If it is missing, no regular file, or larger.
    """
    try:
        return read_regular(path, holds="a readable file of the model folder", limit=limit)
    except DataError as error:
        raise BundleError(f"{error}; {_ALTERED}") from error


def read_verified(path: Path, *, sha256: object, size: object = None) -> bytes:
    """Read a file of which the SHA-256 is known, and the size where a manifest tells it.

    Raises
    ------
    BundleError
        If it is missing, no regular file, or not what it should be.
    """
    if size is not None and (type(size) is not int or not 0 <= size <= MAX_FILE_BYTES):
        raise BundleError(f"{path}: expected a size from 0 to {MAX_FILE_BYTES:,} bytes, got {size!r:.80}")
    limit = size if isinstance(size, int) else MAX_FILE_BYTES
    content = read_file(path, limit=limit)
    if size is not None and len(content) < limit:
        raise BundleError(f"{path}: expected {limit:,} bytes, got {len(content):,}; {_ALTERED}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise BundleError(f"{path}: expected SHA-256 {sha256!s:.80}, got {digest}; {_ALTERED}")
    return content


def read_pinned(path: Path, *, sha256: str | None, what: str) -> tuple[bytes, str]:
    """Read a manifest and its SHA-256, which must be the pinned one where there is one.

    Raises
    ------
    BundleError
        If it is missing, no regular file, too large, or not the pinned one.
    InputError
        If `sha256` is no text.
    """
    if not isinstance(sha256, str | None):
        raise InputError(f"sha256: expected 64 hex digits, got {sha256!r:.80}")
    raw = read_file(path, limit=MAX_MANIFEST_BYTES)
    digest = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise BundleError(f"{path}: expected the pinned SHA-256 {sha256}, got {digest}; restore the {what}")
    return raw, digest


def read_object(raw: bytes, *, where: str | Path) -> dict[str, Any]:
    """Read a JSON object: UTF-8, each key once, finite numbers.

    Raises
    ------
    BundleError
        If it is anything else.
    """
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_refuse_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: expected JSON, got: {error}") from error
    if not isinstance(found, dict):
        raise BundleError(f"{where}: expected a JSON object, got {type(found).__name__}")
    return found


def is_plain_name(name: object) -> bool:
    """Whether a name of a manifest is the name of a file in the same folder on every system."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable() or name.strip(". ") != name:
        return False
    return not set(name) & set('/\\:*?"<>|')


def read_arrays(content: bytes, *, where: str | Path) -> Arrays:
    """Read an archive of arrays as `numpy.savez` writes it, read-only; nothing is unpickled.

    Raises
    ------
    BundleError
        If it is anything else, or would unpack to more than 256 MiB.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check_members(members)
            return {info.filename.removesuffix(".npy"): _array(archive.read(info), info.filename) for info in members}
    except _UNREADABLE as error:
        raise BundleError(f"{where}: expected plain arrays without pickles, got: {error}") from error


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_ARRAYS or len({info.filename for info in members}) < len(members):
        raise ValueError(f"{len(members)} members, or one name twice")
    if (total := sum(info.file_size for info in members)) > MAX_ARRAYS_BYTES:
        raise ValueError(f"{total:,} bytes once unpacked")
    for info in members:
        plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not info.flag_bits & 1
        if not plain or not info.filename.endswith(".npy"):
            raise ValueError(f"{info.filename!r:.80}, encrypted, packed in an unknown way or no array")


def _array(data: bytes, name: str) -> npt.NDArray[Any]:
    """Read one array of the format `.npy`, versions 1 and 2, in the one way in which NumPy writes headers."""
    start = {b"\x93NUMPY\x01\x00": 10, b"\x93NUMPY\x02\x00": 12}.get(data[:8], 0)
    length = int.from_bytes(data[8:start], "little") if start else 0
    header = _HEADER.fullmatch(data[start : start + length]) if 0 < length <= _MAX_HEADER_BYTES else None
    if header is None:
        raise ValueError(f"{name!r:.80}, no array of numbers (a pickle?)")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(side) for side in re.findall(rb"\d+", header[3]))
    body = memoryview(data)[start + length :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError(f"{name!r:.80}, of another size than its header says")
    if dtype.kind == "U" and np.frombuffer(body, dtype.str[0] + "u4").max(initial=0) > sys.maxunicode:
        raise ValueError(f"{name!r:.80}, text that is none")
    array = np.frombuffer(body, dtype).reshape(shape, order="F" if header[2] == b"True" else "C")
    array.setflags(write=False)
    return array


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {max(keys, key=keys.count)!r:.80} twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"the number {text:.40}")
