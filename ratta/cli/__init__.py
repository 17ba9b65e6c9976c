"""The command `ratta`: one file per command, imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from ratta import __version__
from ratta.errors import RattaError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = ("run", "replay", "demo", "info", "simulate", "eval", "sweep", "train", "export", "wrap", "calibrate")
EPILOG = "exit status: 0 yes or done, 1 not live (ratta run) or not equal (ratta replay), 2 an error, 130 interrupted"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; the process's own arguments by default.

    Returns
    -------
    int
        What the command returns; 2 after an error, which is one line on stderr; 130 after Ctrl-C.

    Examples
    --------
    >>> main(["info", "--model", "no-such-model"])
    2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _quieten_opencv()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an old terminal shows "?" and goes on
    args = _parser(arguments).parse_args(arguments)
    try:
        return int(args.run(args))
    except RattaError as error:
        print(f"ratta {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"ratta {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `ratta info | head`; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ratta",
        description="Live face or presentation attack? On the device, with a reason.",
        epilog=EPILOG,
        # With a deeper indent argparse gives the longest command a line of its own.
        formatter_class=lambda prog: argparse.HelpFormatter(prog, indent_increment=1),
    )
    parser.add_argument("--version", action="version", version=f"ratta {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    called = next((a for a in arguments if not a.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        command = import_module(f"ratta.cli.{name}")
        sub = commands.add_parser(
            name,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _quieten_opencv() -> None:
    """Ask OpenCV for silence before it is imported: what it reports, ratta says in one line of its own."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
