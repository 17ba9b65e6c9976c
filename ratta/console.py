"""What all commands have in common: exit statuses, an error in one line, signals, and a stdout that may be gone."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

from ratta.errors import InputError, OutputError, RattaError, did_you_mean
from ratta.files import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class Status(IntEnum):
    """Exit statuses; every command that returns one takes it from here."""

    YES = 0
    NO = 1
    ERROR = 2
    HUNG_UP = 129
    INTERRUPTED = 130
    UNREAD = 141
    TERMINATED = 143


MEANING = {
    Status.YES: "done",
    Status.NO: "the answer is no",
    Status.ERROR: "an error, in one line on stderr: where, what was expected, what came and what to do",
    Status.INTERRUPTED: "Ctrl-C; what was written is whole",
    Status.TERMINATED: "SIGTERM; what was written is whole",
}
SIGNALS = {"SIGTERM": Status.TERMINATED, "SIGHUP": Status.HUNG_UP}


class Stopped(KeyboardInterrupt):
    """The process was told to end; files are closed as after Ctrl-C."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self.status = status


class Parser(argparse.ArgumentParser):
    """A parser that suggests what a mistyped command, option or choice may have meant."""

    def error(self, message: str) -> NoReturn:
        """Show the usage and the error, with a suggestion, and exit with status 2."""
        if "maybe you meant" not in message:  # newer versions of Python suggest, too
            message += _suggestion(message, _options(self))
        super().error(message)


def _options(parser: argparse.ArgumentParser) -> set[str]:
    known = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            known |= {option for one in action.choices.values() for option in _options(one)}
    return known


def _suggestion(message: str, options: set[str]) -> str:
    """Find the mistyped word in a message of argparse.

    Examples
    --------
    >>> _suggestion("unrecognized arguments: --thresold=1", {"--threshold", "--fps"})
    '; did you mean --threshold?'
    >>> _suggestion("argument COMMAND: invalid choice: 'rum' (choose from 'run', info)", set())
    '; did you mean run?'
    """
    if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
        return did_you_mean(choice[1], re.findall(r"[^\s,']+", choice[2]))
    if unknown := re.search(r"unrecognized arguments:.*?(--?[^\s=]+)", message):
        return did_you_mean(unknown[1], options)
    return ""


def statuses(meaning: Mapping[Status, str]) -> str:
    """Lay out the table of exit statuses for a help page.

    Examples
    --------
    >>> print(statuses({Status.YES: "live", Status.NO: "not live"}).splitlines()[1])
      0    live
    """
    table = {**MEANING, **meaning}
    return "exit status:\n" + "\n".join(f"  {int(status):<5}{table[status]}" for status in sorted(table))


def guarded(name: str, arguments: Sequence[str], action: Callable[[], int]) -> int:
    """Run a command and give its exit status: an error of ratta's, or of the system, is one line on stderr.

    Parameters
    ----------
    name : str
        What stands before the line.
    arguments : sequence of str
        Of the command line; an empty one is refused.
    action : callable
        Gives the status.
    """
    status = _attempt(name, arguments, action)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone, as in `ratta info | head`; nothing more can be said to it.
        _abandon_stdout()
        return Status.UNREAD
    except (OSError, ValueError) as error:
        _abandon_stdout()
        return status if status == Status.ERROR else _say(name, f"stdout: {_unwritten(error)}", Status.ERROR)
    return status


def _attempt(name: str, arguments: Sequence[str], action: Callable[[], int]) -> int:
    try:
        with _signals():
            _check_streams()
            check_arguments(arguments)
            return int(action())
    except Stopped as stop:
        return _say(name, "told to end", stop.status)
    except KeyboardInterrupt:
        return _say(name, "interrupted", Status.INTERRUPTED)
    except BrokenPipeError:
        _abandon_stdout()
        return Status.UNREAD
    except RattaError as error:
        return _say(name, str(error), Status.ERROR)
    except OSError as error:
        return _say(name, f"expected the system to do it, got: {error}", Status.ERROR)


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse an empty argument: it is a variable that was never set, and means no file and no camera.

    Raises
    ------
    InputError
        Naming the option before it.
    """
    for at, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if argument.strip() and not (option.startswith("--") and equals and not value.strip()):
            continue
        before = option if argument.strip() else next((a for a in reversed(arguments[:at]) if a.strip()), "argument")
        raise InputError(f"{before}: expected a value, got an empty one; is a variable unset?")


def _check_streams() -> None:
    """Make stderr something that can be written to, and say where stdout is not.

    Raises
    ------
    OutputError
        If the process was started without stdout.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        raise OutputError(
            "stdout: expected a place for the answers, got none; redirect it, to /dev/null if the status is enough"
        )
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an old terminal shows "?" and goes on


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, once; a test or a thread keeps its own handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {getattr(signal, name): status for name, status in SIGNALS.items() if hasattr(signal, name)}

    def stop(number: int, _: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # what is being closed is closed
        raise Stopped(numbers[number])

    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwritten(error: Exception) -> str:
    return f"expected room for the answers, got: {getattr(error, 'strerror', None) or error}"


def _say(name: str, what: str, status: Status) -> int:
    with contextlib.suppress(OSError, ValueError):
        print(f"{name}: {printable(what)}", file=sys.stderr)  # noqa: T201
    return int(status)


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that Python's last flush at exit cannot fail once more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
