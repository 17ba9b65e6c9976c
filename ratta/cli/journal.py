"""The journal of a run: every decision, what adaptation did, and what each piece of work was billed; exact to the bit.

JSON lines. The first is the header: `journal` (the format), `settings` (all that decides the run besides the frames)
and `made_with`. Then, in the order in which they happened, `decision`, `event` and `billed` (milliseconds). A number
is written with as many digits as bring back the same float; an undefined one by name, as a string.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from ratta import __version__
from ratta.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ratta.adaptation.records import Event
    from ratta.records import Decision

FORMAT = "ratta-journal/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """All that decides a run besides the frames; the names are those of the options of `ratta run`.

    Attributes
    ----------
    model, sha256 : str
        Name or folder, and the SHA-256 of its manifest.
    source : str
    fps, threshold : float or None
    color : str
    stream, adapt, shadow : bool
    confirm, profile : str or None
        Absent from journals of earlier versions.
    """

    model: str
    sha256: str
    source: str
    fps: float | None
    threshold: float | None
    color: str
    stream: bool
    adapt: bool
    shadow: bool
    confirm: str | None = None
    profile: str | None = None


class Journal:
    """Records what happens.

    Parameters
    ----------
    write : callable
        Takes one JSON object.
    milliseconds : callable
        The clock that work is billed by.
    """

    def __init__(
        self, write: Callable[[dict[str, Any]], None], *, milliseconds: Callable[[], float] | None = None
    ) -> None:
        self._write = write
        self._milliseconds = milliseconds or _milliseconds
        self._working = False
        self._began_ms = 0.0

    def begin(self, settings: RunSettings) -> None:
        """Write the header."""
        self._write({"journal": FORMAT, "settings": asdict(settings), "made_with": versions()})

    def decision(self, decision: Decision, *, index: int) -> None:
        """Write the answer to frame `index`."""
        self._write({"decision": {"index": index, **exact(asdict(decision))}})

    def event(self, event: Event) -> None:
        """Write what adaptation did: `Adaptation.journal`."""
        what = {"t": event.t, "kind": event.kind, "reason": event.reason, "numbers": dict(event.numbers)}
        self._write({"event": exact(what)})

    def clock(self) -> float:
        """Milliseconds, asked before and after each piece of work: `Adaptation.clock`; writes the difference."""
        self._working = not self._working
        if self._working:
            self._began_ms = self._milliseconds()
            return 0.0
        spent_ms = self.spent_ms()
        self._write({"billed": exact(spent_ms)})
        return spent_ms

    def spent_ms(self) -> float:
        """Say what the piece of work that has just ended is billed."""
        return self._milliseconds() - self._began_ms


class Comparison(Journal):
    """Holds what happens now against a journal, and bills by it, so that the same pieces of work are admitted.

    Parameters
    ----------
    lines : iterator of str
        Of the journal, after the header.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        super().__init__(self._compare, milliseconds=lambda: 0.0)
        self._lines = lines
        self._ahead: str | None = None
        self._number = 1
        self.decisions = 0
        self.events = 0
        self.difference = ""

    def spent_ms(self) -> float:
        """Take the bill from the journal; where it has none at this place, the difference is found next."""
        expected = parsed(self._next())
        billed = expected.get("billed") if isinstance(expected, dict) else None
        return billed if isinstance(billed, float) and 0 <= billed < math.inf else 0.0

    def finish(self) -> None:
        """Say that nothing more happens."""
        if not self.difference and (left := self._next()) is not None:
            self._differ(f"expected {kind_of(parsed(left))}, got the end of the source")

    def _compare(self, entry: dict[str, Any]) -> None:
        if self.difference:
            return
        line = self._next()
        self._ahead = None
        self._number += 1
        if line is None:
            self._differ(f"expected the end of the journal, got {kind_of(entry)}; was the run broken off?")
        elif line != json.dumps(entry, allow_nan=False):
            self._differ(first_difference(parsed(line), entry))
        else:
            self.decisions += "decision" in entry
            self.events += "event" in entry

    def _differ(self, what: str) -> None:
        self.difference = f"line {self._number}, after {self.decisions} equal decisions: {what}"

    def _next(self) -> str | None:
        if self._ahead is None:
            self._ahead = next(self._lines, "").rstrip("\n") or None
        return self._ahead


def read_header(line: str, *, where: str) -> tuple[RunSettings, dict[str, str]]:
    """Take the settings and the versions from a journal's first line.

    Raises
    ------
    DataError
        If it is no header of this format.
    """
    header = parsed(line)
    if not isinstance(header, dict) or header.get("journal") != FORMAT:
        raise DataError(
            f"{where}: expected a journal of format {FORMAT!r}, got other; make one with ratta run --journal"
        )
    settings: Any = header.get("settings")
    kinds = get_type_hints(RunSettings)
    if isinstance(settings, dict):
        settings = {"confirm": None, "profile": None, **settings}
    fits = isinstance(settings, dict) and settings.keys() == kinds.keys()
    if not fits or not all(isinstance(settings[name], kind) for name, kind in kinds.items()):
        raise DataError(f"{where}: settings: expected {sorted(kinds)}, got {settings!r:.300}")
    made_with = header.get("made_with")
    return RunSettings(**settings), made_with if isinstance(made_with, dict) else {}


def versions() -> dict[str, str]:
    """Say what arithmetic depends on: the same frames may be read and reckoned a little differently elsewhere."""
    found = {"ratta": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in ("numpy", "onnxruntime", "opencv-python-headless", "opencv-python"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def exact(value: Any) -> Any:
    """Make a value JSON that loses nothing.

    Examples
    --------
    >>> exact({"score": np.float32(0.1), "t": math.nan})
    {'score': 0.10000000149011612, 't': 'nan'}
    """
    if isinstance(value, dict):
        return {str(key): exact(one) for key, one in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def first_difference(expected: Any, got: Any, path: str = "") -> str:
    """Name the first field in which two lines differ.

    Examples
    --------
    >>> first_difference({"decision": {"t": 0.5}}, {"decision": {"t": 0.25}})
    'decision.t: expected 0.5, got 0.25'
    """
    if isinstance(expected, dict) and isinstance(got, dict) and list(expected) == list(got):
        for key in expected:
            if json.dumps(expected[key]) != json.dumps(got[key]):
                return first_difference(expected[key], got[key], f"{path}.{key}" if path else key)
    if not path:
        return f"expected {kind_of(expected)}, got {kind_of(got)}"
    return f"{path}: expected {expected!r:.120}, got {got!r:.120}"


def kind_of(entry: Any) -> str:
    """Say what a line is about, in a few words."""
    match entry:
        case {"decision": {"index": index, "t": t}}:
            return f"the decision on frame {index} at {t} s"
        case {"event": {"kind": kind, "reason": reason, "t": t}}:
            return f"the event {kind} ({reason}) at {t} s"
        case {"billed": billed}:
            return f"a piece of work for {billed} ms"
    return f"{entry!r:.80}"


def parsed(line: str | None) -> Any:
    """Parse a line; `None` if it is no JSON."""
    try:
        return None if line is None else json.loads(line)
    except (ValueError, RecursionError):
        return None


def _milliseconds() -> float:
    return time.perf_counter() * 1e3
