"""Color and marks for the terminal."""

from __future__ import annotations

import math
import os
import sys
from typing import TextIO

from ratta.records import Verdict

_CODES = {Verdict.LIVE: "32", Verdict.SPOOF: "31", Verdict.UNCERTAIN: "33", Verdict.REFUSED: "90"}
_LEVELS = "▁▂▃▄▅▆▇█"


def paint(text: str, verdict: Verdict, *, stream: TextIO | None = None) -> str:
    """Color a text by a verdict, where the stream is a terminal and `NO_COLOR` is not set."""
    plain = "NO_COLOR" in os.environ or not (stream or sys.stdout).isatty()
    return text if plain else f"\033[{_CODES[verdict]}m{text}\033[0m"


def level(score: float) -> str:
    """Show a score in [0, 1] as one character; a refused frame is a dot.

    Examples
    --------
    >>> level(0.0), level(1.0), level(math.nan)
    ('▁', '█', '·')
    """
    return _LEVELS[min(int(score * len(_LEVELS)), len(_LEVELS) - 1)] if math.isfinite(score) else "·"


def number(score: float) -> str:
    """Show a score with two digits; undefined is a dash.

    Examples
    --------
    >>> number(0.5), number(math.nan)
    ('0.50', '-')
    """
    return f"{score:.2f}" if math.isfinite(score) else "-"
