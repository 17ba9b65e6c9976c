"""A progress bar for people, and nothing for files and pipes."""

from __future__ import annotations

import sys
import time
from typing import Self, TextIO

WIDTH = 28
REDRAW_S = 0.1


class Progress:
    """Shows how far a long input is; draws only on a terminal.

    Parameters
    ----------
    total : int or None
        Steps expected; without it the bar only counts.
    stream : text stream, optional
        stderr by default, so that stdout stays clean.
    """

    def __init__(self, total: int | None, *, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._done = 0
        self._start_s = self._drawn_s = time.monotonic()

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        now_s = time.monotonic()
        if self._shown and now_s - self._drawn_s >= REDRAW_S:
            self._drawn_s = now_s
            self._stream.write(f"\r\033[K{self._line(now_s - self._start_s)}")
            self._stream.flush()

    def clear(self) -> None:
        """Take the bar away, before something else is written or at the end."""
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def _line(self, elapsed_s: float) -> str:
        rate = self._done / elapsed_s
        if not self._total:
            return f"{self._done} frames  {rate:.0f}/s"
        share = min(self._done / self._total, 1.0)
        filled = round(share * WIDTH)
        left_s = max(self._total - self._done, 0) / rate
        bar = "█" * filled + "░" * (WIDTH - filled)
        return f"{bar} {share:4.0%}  {self._done}/{self._total}  {rate:.0f}/s  {left_s:.0f} s left"
