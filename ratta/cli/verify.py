"""Run the source of a journal again, with the same model and settings, and compare everything bit for bit.

A journal is made by `ratta run --journal`. Work is billed what the journal says it was billed then, so that the budget
admits the same pieces on a slower or faster machine. The first difference is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ratta.camera import open_source
from ratta.camera.sources import source_kind
from ratta.cli.journal import Comparison, read_header, versions
from ratta.cli.run import CONFIRM, answer_source, load_engine
from ratta.console import Status
from ratta.errors import InputError, RattaError, SourceError
from ratta.files import kind_of, printable

if TYPE_CHECKING:
    import argparse

    from ratta.cli.journal import RunSettings

HELP = "run a journal's source again and compare every decision"
STATUSES = {Status.YES: "every decision and event is equal", Status.NO: "different; the first difference is named"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta verify`."""
    parser.add_argument("journal", help="file written by ratta run --journal")
    parser.add_argument("--source", metavar="X", help="where the source lies now, if it was moved")


def run(args: argparse.Namespace) -> int:
    """Verify; 0 if nothing differs."""
    path = Path(args.journal)
    try:
        if (kind := kind_of(path)) != "file":
            raise SourceError(f"{path}: expected a readable journal, got {kind}")
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            settings, made_with = read_header(next(lines, ""), where=args.journal)
            comparison = Comparison(lines)
            compare(settings, comparison, source=args.source or still_there(settings.source))
    except OSError as error:
        if isinstance(error, RattaError):
            raise
        raise SourceError(f"{path}: expected a readable journal, got: {error.strerror or error}") from error
    if not comparison.difference:
        print(f"equal: {comparison.decisions} decisions and {comparison.events} events, bit for bit")
        return Status.YES
    print(printable(f"different: {args.journal}: {comparison.difference}"))
    if made_with != versions():
        print(f"the journal was made with {made_with}, this is {versions()}")
    return Status.NO


def compare(settings: RunSettings, comparison: Comparison, *, source: str) -> None:
    """Run a source by a journal's settings until something differs or it ends."""
    engine = load_engine(settings, comparison)
    with open_source(source, fps=settings.fps) as frames:
        single = settings.stream or frames.independent
        session = None if single else engine.session()
        answers = answer_source(
            engine, frames, session=session, color=settings.color, confirm=CONFIRM[settings.confirm]
        )
        for index, answer in enumerate(answers):
            comparison.decision(answer.decision, index=index)
            if comparison.difference:
                return
    comparison.finish()


def still_there(source: str) -> str:
    """Refuse a source whose frames are gone.

    Raises
    ------
    InputError
        If it was a camera or a URL.
    """
    if source_kind(source)[0] in ("camera", "url"):
        raise InputError(
            f"source: expected a file, got {source}, whose frames are gone; record first, and run on the recording"
        )
    return source
