"""Decide one attempt at a webcam: live face or presentation attack.

    python examples/webcam.py                      # camera 0
    python examples/webcam.py --source selfie.mp4  # or a video file, or a URL

exit status: 0 live, 1 not live, 2 an error
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import ratta
from ratta.camera import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

ADVICE = {
    ratta.Reason.NO_FACE: "look at the camera",
    ratta.Reason.FACE_CUT: "move to the middle",
    ratta.Reason.FACE_TOO_SMALL: "come closer",
    ratta.Reason.SEVERAL_FACES: "one person at a time, please",
    ratta.Reason.TOO_DARK: "more light, please",
    ratta.Reason.TOO_BRIGHT: "less light, please",
    ratta.Reason.TOO_BLURRED: "hold still",
}


def attempt(engine: ratta.Engine, source: str) -> ratta.Session:
    """Show frames to one session until its verdict is final; the person sees advice and never a score."""
    said = ""
    with open_source(source) as frames, engine.session() as session:
        for frame in frames:
            decision = session.step(frame.frame_bgr, t=frame.t_seconds)
            advice = ADVICE.get(decision.reason, str(decision.reason))
            if advice != said:
                print(f"{frame.t_seconds:5.1f} s  {advice}")
                said = advice
            if decision.final:
                break
    return session


def main(argv: Sequence[str] | None = None) -> int:
    """Run one attempt and say how it ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="0", help="camera number, video file or URL (%(default)s)")
    arguments = parser.parse_args(argv)
    try:
        session = attempt(ratta.load(), arguments.source)
    except ratta.RattaError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"verdict: {session.verdict} ({session.reason})")
    return 0 if session.verdict is ratta.Verdict.LIVE else 1


if __name__ == "__main__":
    sys.exit(main())
