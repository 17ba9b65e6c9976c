"""Sealed state: what an engine has learnt, written atomically, restored or rejected.

The format, `ratta-state/1`:

- 16 bytes of magic, `ratta-state/1` padded with zeros;
- 4 bytes, little endian: the length of the header;
- the header, JSON: `model_sha256`, `counter`, `values` (whatever JSON the engine keeps) and `arrays`, a list of
  `[name, dtype, shape]`;
- the arrays' bytes, little endian, C order, one after another, in the order of the header;
- 32 bytes: HMAC-SHA256, with the integrator's key, of everything before.

Nothing is parsed before the seal has been verified, nothing in a state is ever executed, and there is no way to write
or read one without a key: an unsealed state would let whoever can write a file decide who is alive.
"""

from __future__ import annotations

import hmac
import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ratta.errors import InputError, OutputError, StateError
from ratta.outputs import replace_file, target

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[Any]]

MAGIC = b"ratta-state/1".ljust(16, b"\0")
SEAL_BYTES = 32
MIN_KEY_BYTES = 16
MAX_STATE_BYTES = 32 * 1024 * 1024
MAX_COUNTER = 2**63 - 1
DTYPES = ("<f4", "<f8", "<i4", "<i8", "|u1", "|b1")


@dataclass(frozen=True, slots=True, eq=False)
class SealedState:
    """What came out of a verified state.

    Attributes
    ----------
    counter : int
        Of the save it comes from.
    values : dict
        JSON values, as saved.
    arrays : dict of str to array
        As saved; own memory, writable.
    """

    counter: int
    values: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def save_state(
    path: str | Path,
    *,
    key: bytes | None,
    model_sha256: str,
    counter: int,
    values: Mapping[str, Any],
    arrays: Arrays,
) -> None:
    """Seal what was learnt and replace the file at `path`, completely or not at all.

    A crash or power cut at any moment leaves the old state or the new one. One process at a time may write to `path`.
    Where the path is a link, what it means is replaced, and the link stays.

    Parameters
    ----------
    path : path
        Of a file; `.part` beside it is used on the way. A device, a pipe or a folder is left alone.
    key : bytes
        At least 16 bytes, secret, from the integrator (a platform key store); the same at every load.
    model_sha256 : str
        Identity of the model that learnt this: `Bundle.sha256`.
    counter : int
        Greater than at the save before. Save first, then store the counter where nobody can turn it back.
    values : mapping
        JSON values.
    arrays : mapping of str to array
        Of float32, float64, int32, int64, uint8 or bool.

    Raises
    ------
    InputError
        If there is no key, or an argument does not fit.
    StateError
        If the file cannot be written; the old one is still there.

    Examples
    --------
    >>> import tempfile
    >>> sealed = {"key": bytes(range(32)), "model_sha256": "ab" * 32}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "ratta.state"
    ...     save_state(path, **sealed, counter=7, values={"commits": 3}, arrays={"gamma": np.ones(2)})
    ...     state = load_state(path, **sealed, at_least=7)
    >>> state.counter, state.values, state.arrays
    (7, {'commits': 3}, {'gamma': array([1., 1.])})
    """
    content = seal(key=key, model_sha256=model_sha256, counter=counter, values=values, arrays=arrays)
    try:
        if not target(path).parent.is_dir():
            raise OutputError(f"{path}: expected a writable file in a folder that is there, got no such folder")
        replace_file(path, content, private=True, alone=True)
    except OutputError as error:
        raise StateError(f"state: {error}") from error


def load_state(path: str | Path, *, key: bytes | None, model_sha256: str, at_least: int) -> SealedState:
    """Read a state, or reject it.

    Parameters
    ----------
    path : path
    key : bytes
        As at `save_state`.
    model_sha256 : str
        Of the model that is running.
    at_least : int
        The counter that the integrator stored after the last save; an older state is a replay. A newer one is not: the
        device may have lost power between the save and the storing. 0 accepts any, and with it replays.

    Returns
    -------
    SealedState

    Raises
    ------
    InputError
        If there is no key, or an argument does not fit.
    StateError
        If the file is missing, unreadable, altered by a single byte, cut short, too large, sealed with another key,
        learnt by another model, or older than `at_least`.
    """
    return unseal(_read_file(Path(path)), key=key, model_sha256=model_sha256, at_least=at_least)


def seal(*, key: bytes | None, model_sha256: str, counter: int, values: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Make the bytes of a state; arguments and errors as in `save_state`."""
    secret, counter = _checked_key(key), _checked_counter("counter", counter)
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    little = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in plain.items()}
    header = {
        "model_sha256": _checked_model(model_sha256),
        "counter": counter,
        "values": dict(values),
        "arrays": [[name, _checked_dtype(name, a), list(arrays[name].shape)] for name, a in little.items()],
    }
    try:
        text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"values: expected JSON values without nan or infinity, got: {error}") from error
    body = b"".join((MAGIC, len(text).to_bytes(4, "little"), text, *(array.tobytes() for array in little.values())))
    if len(body) + SEAL_BYTES > MAX_STATE_BYTES:
        raise InputError(f"state: expected at most {MAX_STATE_BYTES} bytes, got {len(body) + SEAL_BYTES}")
    sealed = body + hmac.digest(secret, body, "sha256")
    try:
        unseal(sealed, key=key, model_sha256=model_sha256, at_least=counter)
    except StateError as error:
        raise InputError(f"{error}; what cannot be read back is not saved") from error
    return sealed


def unseal(content: bytes, *, key: bytes | None, model_sha256: str, at_least: int) -> SealedState:
    """Verify and parse the bytes of a state; arguments and errors as in `load_state`."""
    secret, at_least = _checked_key(key), _checked_counter("at_least", at_least)
    model_sha256 = _checked_model(model_sha256)
    if not len(MAGIC) + 4 + SEAL_BYTES <= len(content) <= MAX_STATE_BYTES:
        raise StateError(f"state: expected at most {MAX_STATE_BYTES} bytes and a whole state, got {len(content)} bytes")
    body, mac = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if not hmac.compare_digest(hmac.digest(secret, body, "sha256"), mac):
        raise StateError(
            "state: expected a valid seal, got another; the file was altered or cut short, or the key is wrong"
        )
    if not body.startswith(MAGIC):
        raise StateError(f"state: expected the format {MAGIC!r}, got {body[: len(MAGIC)]!r}; another version wrote it")
    header, start = _parsed_header(body)
    if header["model_sha256"] != model_sha256:
        raise StateError(
            f"state: expected model {model_sha256}, got one of {header['model_sha256']}; start from the source"
        )
    if header["counter"] < at_least:
        raise StateError(
            f"state: expected counter {at_least} or later, got {header['counter']}; an older state was put back"
        )
    return SealedState(header["counter"], header["values"], _parsed_arrays(header["arrays"], body, start))


def _parsed_header(body: bytes) -> tuple[dict[str, Any], int]:
    start = len(MAGIC) + 4
    end = start + int.from_bytes(body[len(MAGIC) : start], "little")
    try:
        header = json.loads(body[start:end], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StateError(f"state: expected a JSON header, got: {error}") from error
    kinds = {"model_sha256": str, "counter": int, "values": dict, "arrays": list}
    if not isinstance(header, dict) or {k: type(v) for k, v in header.items()} != kinds:
        raise StateError(f"state: expected the header fields {list(kinds)}, got {header!r:.80}")
    return header, end


def _parsed_arrays(entries: list[Any], body: bytes, start: int) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for entry in entries:
        name, dtype, shape = _checked_entry(entry)
        count = math.prod(shape)
        end = start + count * np.dtype(dtype).itemsize
        if end > len(body) or name in arrays:
            raise StateError(f"state: {name}: expected one array of shape {shape} inside the file, got more")
        arrays[name] = np.frombuffer(body, dtype, count, start).reshape(shape).copy()
        start = end
    if start != len(body):
        raise StateError(f"state: expected nothing after the arrays, got {len(body) - start} bytes")
    return arrays


def _checked_entry(entry: Any) -> tuple[str, str, tuple[int, ...]]:
    match entry:
        case [str(name), str(dtype), list(shape)] if dtype in DTYPES and len(shape) <= 8:
            if all(type(side) is int and 0 <= side <= MAX_STATE_BYTES for side in shape):
                return name, dtype, tuple(shape)
    raise StateError(f"state: expected [name, dtype, shape] with a dtype of {DTYPES}, got {entry!r:.80}")


def _checked_key(key: bytes | None) -> bytes:
    if key is None:
        raise InputError(
            "key: expected a secret of the integrator, got None; without a key nothing is saved or restored"
        )
    if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
        raise InputError(f"key: expected at least {MIN_KEY_BYTES} secret bytes, got {_length(key)}")
    return key


def _length(key: object) -> str:
    """Describe a bad key without showing it."""
    return f"{len(key)} bytes" if isinstance(key, bytes) else f"a {type(key).__name__}"


def _checked_counter(name: str, counter: int) -> int:
    if isinstance(counter, bool) or not isinstance(counter, int) or not 0 <= counter <= MAX_COUNTER:
        raise InputError(f"{name}: expected an integer from 0 to 2**63 - 1, got {counter!r}")
    return counter


def _checked_model(model_sha256: str) -> str:
    if not isinstance(model_sha256, str) or len(model_sha256) != 64 or not set(model_sha256) <= set("0123456789abcdef"):
        raise InputError(f"model_sha256: expected 64 lower-case hex digits, got {model_sha256!r}")
    return model_sha256


def _checked_dtype(name: str, array: npt.NDArray[Any]) -> str:
    if array.dtype.str not in DTYPES:
        raise InputError(f"{name}: expected an array of dtype {DTYPES}, got {array.dtype}")
    return array.dtype.str


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}")


def _read_file(path: Path) -> bytes:
    try:
        # Looked at before it is opened: opening a pipe would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise StateError(f"{path}: expected a file, got something else")
        with path.open("rb") as file:
            return file.read(MAX_STATE_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, StateError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise StateError(f"{path}: expected a readable state, got: {reason}") from error
