"""Record sessions of one camera into a folder that ratta calibrate reads.

ratta record --output SESSIONS --subject p01 --label live --sessions 3

A session is up to 16 usable frames of one person, live or as an attack (--label print, replay, ... names its species).
While somebody stands in front of the camera, it says what is wrong: too dark, too far, blurred. Frames are kept without
loss, with the face's box, in SESSIONS/SUBJECT/LABEL-N and SESSIONS/manifest.csv. SUBJECT should be a pseudonym.
"""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ratta.camera.record import Take, Who
    from ratta.camera.sources import FrameSource, SourceFrame
    from ratta.perception import Perception

HELP = "record sessions of one camera, for ratta calibrate"
sleep = time.sleep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta record`."""
    parser.add_argument("--source", default="0", help="camera number, URL, or a video to cut (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="SESSIONS", help="folder of all sessions")
    parser.add_argument("--subject", required=True, help="a pseudonym of the person")
    parser.add_argument("--label", default="live", help="live, or the attack's species (%(default)s)")
    parser.add_argument("--camera", default="", help="its name, for the manifest")
    parser.add_argument("--sessions", type=int, default=1, help="one after the other (%(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="of each session (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="at most, of each session (%(default)s)")
    parser.add_argument("--countdown", type=int, default=3, help="seconds before each session (%(default)s)")
    parser.add_argument("--consent", action="store_true", help="the person has agreed: do not ask again")


def run(args: argparse.Namespace) -> int:
    """Ask for consent, count down, record, say what was kept."""
    from ratta.camera import open_source
    from ratta.camera.record import CONSENT, Who

    if args.sessions < 1 or args.frames < 3 or not 0 < args.seconds <= 3600 or not 0 <= args.countdown <= 60:
        raise InputError(
            "record: expected --sessions of at least 1, --frames of at least 3, --seconds up to 3600 and --countdown "
            f"up to 60, got {args.sessions}, {args.frames}, {args.seconds} and {args.countdown}"
        )
    who = Who(subject=args.subject, label=args.label, camera=args.camera)
    print(CONSENT.format(folder=args.output))
    if not args.consent and not agreed():
        print("nothing recorded", file=sys.stderr)
        return 1
    kept = 0
    with open_source(args.source) as source:
        eyes, frames = _eyes(), iter(source)
        for number in range(args.sessions):
            count_down(args.countdown, what=f"session {number + 1} of {args.sessions}: {who.label}")
            kept += _record(args, who, eyes, _fresh(source, frames))
    print(f"{args.output}: {kept} of {args.sessions} sessions kept; next: ratta calibrate MODEL --data {args.output}")
    return 0 if kept == args.sessions else 1


def agreed() -> bool:
    """Ask at the terminal; nobody there means no.

    Raises
    ------
    InputError
        If there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise InputError("consent: expected a terminal to ask at, got none; say --consent if the person has agreed")
    return input("Has the person agreed? [y/N] ").strip().lower() in ("y", "yes")


def count_down(seconds: int, *, what: str) -> None:
    """Say what comes, and count."""
    print(what, flush=True)
    for left in range(seconds, 0, -1):
        print(f"  {left} ...", flush=True)
        sleep(1)


def _eyes() -> Perception:
    from ratta.contract import CropRule
    from ratta.networks import open_detector
    from ratta.perception import Perception

    detector = open_detector()
    return Perception(detector=detector, crops=(CropRule(size=128, scale=2.7),))


def _fresh(source: FrameSource, frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    """Drop what a camera kept waiting during the count-down; a recorded source loses nothing."""
    if source.count is None:
        list(islice(frames, 2))
    return frames


def _record(args: argparse.Namespace, who: Who, eyes: Perception, frames: Iterator[SourceFrame]) -> int:
    from ratta.camera.record import save_session, take_session

    take = take_session(frames, eyes, count=args.frames, most_s=args.seconds, on_hint=_say)
    if not take.usable:
        print(f"  not kept: {len(take.kept)} usable frames; {_reasons(take)}", file=sys.stderr)
        return 0
    place = save_session(args.output, who, take)
    print(f"  {place}: {len(take.kept)} frames{'' if len(take.kept) == args.frames else f'; {_reasons(take)}'}")
    return 1


def _say(hint: str) -> None:
    print(f"  {hint or 'good, hold still'}", flush=True)


def _reasons(take: Take) -> str:
    return ", ".join(f"{reason} ({number})" for reason, number in take.refused.most_common(3)) or "no more frames"
