import math
from dataclasses import dataclass

import pytest

from ratta.bench.schema import from_json, json_schema, to_json
from ratta.errors import DataError


@dataclass(frozen=True)
class Inner:
    number: float
    yes: bool


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    maybe: float | None
    inner: Inner | None
    many: tuple[Inner, ...]
    named: dict[str, Inner]


FULL = Outer("a", 3, 1.5, Inner(0.5, True), (Inner(1.0, False),), {"x": Inner(2.0, True)})
PLAIN = {
    "name": "a",
    "count": 3,
    "maybe": 1.5,
    "inner": {"number": 0.5, "yes": True},
    "many": [{"number": 1.0, "yes": False}],
    "named": {"x": {"number": 2.0, "yes": True}},
}


def test_records_become_plain_json() -> None:
    """Every field under its name, tuples as lists."""
    assert to_json(FULL) == PLAIN


def test_plain_json_becomes_the_record() -> None:
    """Reading is the reverse of writing."""
    assert from_json(Outer, PLAIN) == FULL


def test_undefined_numbers_travel_as_null() -> None:
    """Nan is written as null and read as nan."""
    assert to_json(Inner(math.nan, True)) == {"number": None, "yes": True}
    assert math.isnan(from_json(Inner, {"number": None, "yes": True}).number)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": 3}, "result.name"),
        ({"count": 1.5}, "result.count"),
        ({"count": True}, "result.count"),
        ({"inner": {"number": "1", "yes": True}}, "result.inner.number"),
        ({"inner": {"number": 1.0}}, "missing \\['yes'\\]"),
        ({"extra": 1}, "unknown \\['extra'\\]"),
        ({"many": {}}, "result.many"),
        ({"many": [1]}, "result.many\\[0\\]"),
        ({"named": {"x": None}}, "result.named.x"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], named: str) -> None:
    """A wrong type, a missing or an unknown key is an error that says where."""
    with pytest.raises(DataError, match=named):
        from_json(Outer, {**PLAIN, **change})


def test_the_schema_says_the_same() -> None:
    """The JSON schema of a record, by hand."""
    inner = {
        "type": "object",
        "properties": {"number": {"type": ["number", "null"]}, "yes": {"type": "boolean"}},
        "required": ["number", "yes"],
        "additionalProperties": False,
    }
    schema = json_schema(Outer)
    assert schema["required"] == ["name", "count", "maybe", "inner", "many", "named"]
    assert {"type": "array", "items": inner} == schema["properties"]["many"]
    assert {"anyOf": [inner, {"type": "null"}]} == schema["properties"]["inner"]
    assert {"type": "object", "additionalProperties": inner} == schema["properties"]["named"]
