"""Text in the encodings that people save, names in their order, and names that cannot forge a line."""

import os
from pathlib import Path

import pytest

from ratta.errors import DataError
from ratta.files import natural, printable, read_json, read_text


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"\xef\xbb\xbfa\r\nb", "a\nb"), (b"a\rb\n", "a\nb\n"), ("ü".encode(), "ü"), (b"", "")],
)
def test_utf_8_is_read_with_and_without_a_mark(tmp_path, data, text):
    """Whatever the line ends."""
    (tmp_path / "t").write_bytes(data)
    assert text == read_text(tmp_path / "t")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a".encode("utf-16"), "t: expected UTF-8, got UTF-16"),
        ("a".encode("utf-32"), "t: expected UTF-8, got UTF-32"),
        ("a".encode("utf-16-le"), r"t: expected text in UTF-8, got zero bytes \(UTF-16\?\)"),
        ("a\nü".encode("latin-1"), "t:2: expected UTF-8, got the byte 0xfc"),
    ],
)
def test_other_encodings_are_named(tmp_path, data, message):
    """With the file, and the line where it is known."""
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_text(tmp_path / "t")


def test_what_is_no_file_is_looked_at_first(tmp_path):
    """A pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in (("pipe", "got a pipe"), (".", "got a folder"), ("none", "No such file"), ("loop", "got: ")):
        with pytest.raises(DataError, match=message):
            read_text(tmp_path / name)


def test_what_is_too_large_is_not_read(tmp_path):
    """A file may claim more than there is memory; its size is asked first."""
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match="of at most 1,073,741,824 bytes, got 1,099,511,627,776"):
        read_text(tmp_path / "large")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a": ' * 100_000, "{", ""])
def test_json_that_is_none_is_an_error_of_ours(tmp_path, text):
    """Also where it is nested too deep for the parser."""
    (tmp_path / "j").write_text(text)
    with pytest.raises(DataError, match="j: expected JSON, got: "):
        read_json(tmp_path / "j")


def test_names_are_sorted_as_people_count():
    """Digits that are no decimal numbers sort like letters; equal numbers fall back to the name."""
    names = ["10.jpg", "9.jpg", "7²5.jpg", "a10", "A2", "01.jpg", "1.jpg", "①.jpg"]
    expected = ["01.jpg", "1.jpg", "7²5.jpg", "9.jpg", "10.jpg", "A2", "a10", "①.jpg"]
    assert expected == [p.name for p in sorted(map(Path, names), key=natural)]
    assert expected == [p.name for p in sorted(map(Path, reversed(names)), key=natural)]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ü.png", "plain ü.png"),
        ("a\nLIVE", r"a\nLIVE"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\u2028b\rc", r"a\u2028b\rc"),
        ("\udcff", r"\udcff"),
    ],
)
def test_a_name_stays_on_its_line(name, shown):
    """Line breaks of all kinds, escape sequences, changes of direction, bytes that are no text."""
    assert shown == printable(name)
