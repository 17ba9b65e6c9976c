"""The command `ratta`: one file per command, imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from ratta import __version__
from ratta.console import Parser, Status, guarded, statuses

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

COMMANDS = (
    *("run", "verify", "demo", "models", "info", "simulate", "eval", "sweep"),
    *("train", "export", "wrap", "record", "calibrate"),
)
EPILOG = statuses({Status.NO: "not live (ratta run) or not equal (ratta verify)"})
MAX_DECODED_PIXELS = 128_000_000
"""What OpenCV may unpack of one picture: `ratta.media.picture.MAX_PIXELS`, also where its header is not known there."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; the process's own arguments by default.

    Returns
    -------
    int
        What the command returns, or the status of what went wrong: `ratta.console.Status`.

    Examples
    --------
    >>> main(["info", "--model", "no-such-model"])
    2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_opencv()
    args = _parser(arguments).parse_args(arguments)
    return guarded(f"ratta {args.command}", arguments, lambda: args.run(args))


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="ratta",
        description="Live face or presentation attack? On the device, with a reason.",
        epilog=EPILOG,
        # With a deeper indent argparse gives the longest command a line of its own.
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, indent_increment=1),
    )
    parser.add_argument("--version", action="version", version=f"ratta {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    called = next((a for a in arguments if not a.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        command = import_module(f"ratta.cli.{name}")
        sub = commands.add_parser(
            name,
            help=command.HELP,
            description=_description(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _description(command: ModuleType) -> str:
    """Put the exit statuses of a command that answers by them before everything else."""
    about = command.__doc__ or ""
    return f"{statuses(command.STATUSES)}\n\n{about}" if hasattr(command, "STATUSES") else about


def _prepare_opencv() -> None:
    """Tell OpenCV before it is imported: be silent (what it reports, ratta says in one line), and unpack no bombs."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_DECODED_PIXELS))
