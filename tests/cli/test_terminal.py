"""What is drawn on a terminal, and what is not drawn elsewhere."""

import io
import math

import pytest

from ratta.cli.paint import level, number, paint
from ratta.cli.progress import Progress
from ratta.records import Verdict


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_color_only_on_a_terminal_and_not_against_the_users_wish(monkeypatch):
    """NO_COLOR counts when it is set to anything."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", Verdict.LIVE, stream=Terminal()) == "\033[32mx\033[0m"
    assert paint("x", Verdict.LIVE, stream=io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", Verdict.LIVE, stream=Terminal()) == "x"


def test_marks():
    """Eight heights, and a dot for no score."""
    assert "".join(level(i / 8) for i in range(9)) == "▁▂▃▄▅▆▇██"
    assert (level(math.nan), number(math.nan), number(0.125)) == ("·", "-", "0.12")


@pytest.mark.parametrize(("total", "expected"), [(4, "50%  2/4"), (None, "2 frames"), (1, "100%  2/1")])
def test_a_bar_on_a_terminal(monkeypatch, total, expected):
    """It counts also without, and beyond, a total; and it goes away at the end."""
    ticks = iter(range(10))
    monkeypatch.setattr("ratta.cli.progress.time.monotonic", lambda: next(ticks))
    stream = Terminal()
    with Progress(total, stream=stream) as bar:
        bar.advance()
        bar.advance()
    assert expected in stream.getvalue()
    assert stream.getvalue().endswith("\r\033[K")


def test_no_bar_in_a_file():
    """Logs stay clean."""
    stream = io.StringIO()
    with Progress(2, stream=stream) as bar:
        bar.advance()
    assert stream.getvalue() == ""
