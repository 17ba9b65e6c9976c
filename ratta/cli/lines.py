"""Decisions as JSON lines: one object per frame, always with the same keys, undefined as null."""

from __future__ import annotations

import json
import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TextIO

from ratta.errors import OutputError
from ratta.outputs import STDOUT, open_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ratta.records import Decision


def decision_entry(
    decision: Decision, *, index: int, name: str, scale: tuple[float, float] = (1.0, 1.0)
) -> dict[str, Any]:
    """Make a JSON object of a decision; its box is brought back to the pixels of a frame that was scaled by `scale`.

    Returns
    -------
    dict
        `index`, `name`, `t`, `verdict`, `live_score`, `session_score`, `reason`, `detail`, `box`
        (`[x_min, y_min, x_max, y_max]`), `scored_frames`, `final`; an undefined number is `None`.
    """
    box = decision.box
    x, y = scale
    return {
        "index": index,
        "name": name,
        "t": _finite(decision.t),
        "verdict": decision.verdict.value,
        "live_score": _finite(decision.live_score),
        "session_score": _finite(decision.session_score),
        "reason": decision.reason.value,
        "detail": decision.detail,
        "box": None
        if box is None
        else [round(float(c), 2) for c in (box.x_min / x, box.y_min / y, box.x_max / x, box.y_max / y)],
        "scored_frames": decision.scored_frames,
        "final": decision.final,
    }


class JsonLines:
    """Writes one JSON object per line and flushes each, so that a broken-off run leaves whole lines.

    Parameters
    ----------
    path : str or None
        A file, `-` for stdout, or nothing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._own = path not in (None, STDOUT)
        self._file: TextIO | None = sys.stdout if path == STDOUT else None
        if path is not None and self._own:
            self._file = open_lines(path)

    def write(self, entry: dict[str, Any]) -> None:
        """Write one line."""
        if self._file is not None:
            with self._explained():
                self._file.write(json.dumps(entry, allow_nan=False) + "\n")
                self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own and self._file is not None:
            with self._explained():
                self._file.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            where = "stdout" if self._path == STDOUT else self._path
            raise OutputError(f"{where}: expected room for another line, got: {error.strerror or error}") from error


def _finite(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
