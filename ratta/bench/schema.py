"""Records to JSON and back, and the JSON schema of it: all three read off the records' own type hints."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

from ratta.errors import DataError

T = TypeVar("T")

_SCALARS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def to_json(value: Any) -> Any:
    """Turn a record into what `json.dumps` takes; an undefined number (`nan`) becomes `null`.

    Examples
    --------
    >>> from ratta.bench.timing import Ratio
    >>> to_json(Ratio(value=1.5, low=1.25, high=float("nan")))
    {'value': 1.5, 'low': 1.25, 'high': None}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_json(kind: type[T], document: Any, *, where: str = "result") -> T:
    """Build a record of `kind` from parsed JSON.

    Raises
    ------
    DataError
        If a key is missing, unknown, or of another type; the message names it.

    Examples
    --------
    >>> from ratta.bench.timing import Ratio
    >>> from_json(Ratio, {"value": 1.5, "low": 1, "high": None})
    Ratio(value=1.5, low=1.0, high=nan)
    """
    built: T = _build(kind, document, where)
    return built


def json_schema(kind: type) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a record.

    Examples
    --------
    >>> from ratta.bench.timing import Ratio
    >>> json_schema(Ratio)["required"]
    ['value', 'low', 'high']
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.__name__, **_schema(kind)}


def _schema(kind: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {
            "type": "object",
            "properties": {name: _schema(hint) for name, hint in hints.items()},
            "required": list(hints),
            "additionalProperties": False,
        }
    if kind is float:
        return {"type": ["number", "null"]}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    return {"anyOf": [{"type": "null"} if part is types.NoneType else _schema(part) for part in arguments]}


def _build(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, where)
    if kind is float and value is None:
        return math.nan
    if kind in _SCALARS:
        return _build_scalar(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict:
        _expect(isinstance(value, dict), "an object", value, where)
        return {key: _build(arguments[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if origin is tuple:
        _expect(isinstance(value, list), "a list", value, where)
        return tuple(_build(arguments[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    (present,) = (part for part in arguments if part is not types.NoneType)
    return None if value is None else _build(present, value, where)


def _build_record(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), "an object", value, where)
    hints = typing.get_type_hints(kind)
    missing, unknown = sorted(hints.keys() - value.keys()), sorted(value.keys() - hints.keys())
    if missing or unknown:
        raise DataError(f"{where}: expected the keys of {kind.__name__}, missing {missing}, unknown {unknown}")
    return kind(**{name: _build(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


def _build_scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    _expect(type(value) is kind, f"a {_SCALARS[kind]}", value, where)
    return value


def _expect(fits: bool, expected: str, value: Any, where: str) -> None:
    if not fits:
        raise DataError(f"{where}: expected {expected}, got {value!r}; the file was not written by this ratta-bench")
