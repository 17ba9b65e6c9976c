"""Answer a picture, a folder of pictures, a video, a camera or a URL.

A stream (video, camera, URL) is one attempt: its frames are answered until the verdict is final. With --stream they
are answered to the end, with a verdict that looks back over the last seconds. Pictures are answered one by one, each
by its own score. A single picture is no attempt: it shows one moment, as a print does, so its status is never 0.

With --adapt the engine adapts to its camera between the frames. It learns from attempts, so --stream then takes every
final verdict for the end of an attempt, and the next frame for the beginning of another.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.adaptation.settings import Adaptation
from ratta.bundle import DEFAULT_MODEL, find_bundle, model_files, read_bundle
from ratta.camera import SourceFrame, annotate, open_recorder, open_source
from ratta.camera.sources import Pictures, source_kind
from ratta.cli.journal import Journal, RunSettings
from ratta.cli.lines import JsonLines, decision_entry
from ratta.cli.paint import number, paint
from ratta.cli.progress import Progress
from ratta.console import Status
from ratta.decision import Policy
from ratta.engine import Engine, load
from ratta.errors import InputError, SourceError
from ratta.files import printable
from ratta.outputs import STDOUT, check_outputs
from ratta.profile import FILES as PROFILE_FILES
from ratta.records import Decision, Reason, Verdict, logit
from ratta.session import Session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import TextIO

    from ratta.camera import FrameSource, Recorder

HELP = "answer a picture, folder, video, camera or URL"
STATUSES = {
    Status.YES: "live: the session, with --stream the last verdict, or every one of two or more pictures of a folder",
    Status.NO: "not live (spoof, uncertain, refused), a picture that was not read, or no more than one picture",
}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A decision with the frame it is about; a picture that could not be read has no frame."""

    name: str
    frame: SourceFrame | None
    decision: Decision


CONFIRM = {None: None, "live": True, "attack": False}


@dataclass(slots=True)
class Tally:
    """What has been answered so far; of a camera that runs for days only the sums are kept."""

    frames: int = 0
    scored: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    last: Decision | None = None

    def add(self, decision: Decision) -> bool:
        """Count one decision and say whether its verdict or reason is new."""
        before = self.last and (self.last.verdict, self.last.reason)
        self.frames += 1
        self.scored += math.isfinite(decision.live_score)
        self.verdicts[decision.verdict] += 1
        self.last = decision
        return before != (decision.verdict, decision.reason)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta run`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--source", metavar="X", help="picture, folder, video file, camera number or URL")
    source.add_argument("--image", metavar="FILE", help="a picture, and nothing else")
    source.add_argument("--camera", metavar="N", help="a camera's number or device, or a URL, and nothing else")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model's name or a model folder (%(default)s)")
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="live from this score on, instead of as calibrated"
    )
    parser.add_argument("--color", choices=("bgr", "rgb"), default="bgr", help="what the source delivers (%(default)s)")
    parser.add_argument("--fps", type=float, help="frame rate of a video file that does not say, or says wrong")
    parser.add_argument("--stream", action="store_true", help="go on to the end instead of to the first final verdict")
    parser.add_argument("--strict", action="store_true", help="end with status 2 at a picture that cannot be read")
    parser.add_argument("--output", metavar="PATH", help="annotated copy: a picture, a folder for a folder, or a video")
    parser.add_argument("--json", metavar="FILE", help="one JSON object per frame; - for stdout")
    parser.add_argument("--adapt", action="store_true", help="adapt to the camera between the frames")
    parser.add_argument("--shadow", action="store_true", help="adapt, but let the source model answer; with --adapt")
    parser.add_argument(
        "--confirm", choices=("live", "attack"), help="every attempt of this recording is known to be one; with --adapt"
    )
    parser.add_argument("--profile", metavar="FOLDER", help="camera profile of ratta calibrate --live")
    parser.add_argument("--journal", metavar="FILE", help="everything decided, learnt and billed, for ratta verify")


def run(args: argparse.Namespace) -> int:
    """Answer everything the source holds; 0 if it is live."""
    if args.shadow and not args.adapt:
        raise InputError("shadow: expected --adapt with it, got --shadow alone")
    if args.confirm and not args.adapt:
        raise InputError("confirm: expected --adapt with it, got --confirm alone")
    args.source = named_source(args)
    talk = sys.stderr if args.json == STDOUT else sys.stdout
    with ExitStack() as stack:
        sha256 = read_bundle(find_bundle(args.model)).sha256
        source = stack.enter_context(open_source(args.source, fps=args.fps, patient=args.stream))
        if args.adapt and source.independent:
            raise InputError("adapt: expected a video, camera or URL, got pictures; a picture teaches nothing")
        recorder = stack.enter_context(open_recorder(args.output, source)) if args.output else None
        guard(args, source, recorder)
        journal = Journal(stack.enter_context(JsonLines(args.journal)).write)
        settings = settings_of(args, sha256=sha256)
        journal.begin(settings)  # before loading, which bills the runs that it times
        engine = load_engine(settings, journal)
        lines = stack.enter_context(JsonLines(args.json))
        session = None if args.stream or source.independent else stack.enter_context(engine.session())
        tally = Tally()
        answers = answer_source(
            engine, source, session=session, color=args.color, strict=args.strict, confirm=CONFIRM[args.confirm]
        )
        with Progress(source.count) as bar:
            for answer in answers:
                scale = answer.frame.scale if answer.frame else (1.0, 1.0)
                lines.write(decision_entry(answer.decision, index=tally.frames, name=answer.name, scale=scale))
                journal.decision(answer.decision, index=tally.frames)
                if recorder is not None and answer.frame is not None:
                    record(recorder, answer.frame, answer.decision, policy=engine.policy, color=args.color)
                if tally.add(answer.decision) or source.independent:
                    bar.clear()
                    print(describe(answer, pictures=source.independent, stream=talk), file=talk)
                bar.advance()
    note_unread(source, stream=talk)
    return conclude(tally, session=session, pictures=source.independent, stream=talk)


def named_source(args: argparse.Namespace) -> str:
    """Give the source, if it is of the kind that the option names.

    Raises
    ------
    InputError
        If it is not.
    """
    if args.camera is not None:
        check_camera(args.camera)
    if args.image is not None and (kind := source_kind(args.image)[0]) != "picture":
        raise InputError(f"--image: expected a picture, got a {kind}; name it with --source")
    return str(next(place for place in (args.source, args.image, args.camera) if place is not None))


def check_camera(place: str) -> None:
    """Refuse what is neither a camera nor a URL.

    Raises
    ------
    InputError
        Naming what it is.
    """
    kind, _ = source_kind(place)
    if kind not in ("camera", "url"):
        raise InputError(
            f"--camera: expected a camera's number, its device or a URL, got {printable(place)!r}, a {kind}; "
            "ratta run --source takes files"
        )


def guard(args: argparse.Namespace, source: FrameSource, recorder: Recorder | None) -> None:
    """Refuse outputs that would overwrite what is read, or one another, before any of them is opened."""
    files = [(f"--{option}", getattr(args, option)) for option in ("json", "journal") if getattr(args, option)]
    if recorder is not None:
        files += [("--output", path) for path in recorder.files]
    profile = [Path(args.profile, name) for name in PROFILE_FILES] if args.profile else []
    check_outputs(files, inputs=(args.source, *source.files, *model_files(args.model), *profile))


def settings_of(args: argparse.Namespace, *, sha256: str) -> RunSettings:
    """Give what decides the run."""
    given = vars(args)
    return RunSettings(sha256=sha256, **{f.name: given[f.name] for f in fields(RunSettings) if f.name != "sha256"})


def load_engine(settings: RunSettings, journal: Journal) -> Engine:
    """Load the engine of a run; of a journal's, only if the model is still the same.

    Raises
    ------
    BundleError
        If the model is another, or gives no embedding, or the profile belongs to another.
    """
    return load(
        settings.model,
        sha256=settings.sha256 or None,
        policy=policy_with(settings.model, settings.threshold),
        adapt=settings.adapt and Adaptation(shadow=settings.shadow, clock=journal.clock, journal=journal.event),
        profile=settings.profile,
    )


def policy_with(model: str, threshold: float | None) -> Policy | None:
    """Replace the live threshold of a model's calibration; the spoof threshold never lies above it.

    Raises
    ------
    InputError
        If the threshold is not between 0 and 1.
    """
    if threshold is None:
        return None
    if not 0 < threshold < 1:
        raise InputError(f"threshold: expected a score between 0 and 1, got {threshold}")
    calibrated = read_bundle(find_bundle(model)).calibration
    spoof = min(threshold, calibrated.spoof_threshold)
    reach = max(logit(threshold), -logit(spoof)) + 1  # a slot must be able to say more than the thresholds ask
    return Policy(live_threshold=threshold, spoof_threshold=spoof, max_logit=max(4.0, reach))


def answer_source(
    engine: Engine,
    source: FrameSource,
    *,
    session: Session | None,
    color: str,
    strict: bool = False,
    confirm: bool | None = None,
) -> Iterator[Answer]:
    """Answer frame by frame: pictures by themselves, a stream in a session or, without one, open-ended.

    An engine that adapts is given the time after each answer; without a session it gets attempt after attempt, each
    confirmed as live or as an attack where that is known.
    """
    if isinstance(source, Pictures):
        yield from _answer_pictures(engine, source, color=color, strict=strict)
        return
    one_after_another = session is None and engine.adapter is not None
    answering: Session | Engine = _attempt(engine, confirm) if one_after_another else session or engine
    if session is not None and confirm is not None:
        session.confirm(is_live=confirm)
    for frame in source:
        decision = answering.step(frame.frame_bgr, t=frame.t_seconds, color=color)
        yield Answer(frame.name, frame, decision)
        engine.idle(frame.t_seconds)
        if decision.final and not one_after_another:
            return
        if decision.final:
            answering = _attempt(engine, confirm)


def _attempt(engine: Engine, confirm: bool | None) -> Session:
    session = engine.session()
    if confirm is not None:
        session.confirm(is_live=confirm)
    return session


def _answer_pictures(engine: Engine, source: Pictures, *, color: str, strict: bool) -> Iterator[Answer]:
    while True:
        try:
            frame = next(source)
        except StopIteration:
            return
        except SourceError as error:
            if strict or source.count == 1:
                raise
            # One bad file must not end a run over thousands; it is refused like a bad frame, and never live.
            yield Answer(source.current.name, None, _refused(Reason.UNUSABLE_INPUT, str(error)))
            continue
        yield Answer(frame.name, frame, decide_picture(engine, frame, color=color))


def decide_picture(engine: Engine, frame: SourceFrame, *, color: str = "bgr") -> Decision:
    """Hold one picture's score against the policy's thresholds; there is no session, so nothing to be stable over."""
    score = engine.score(frame.frame_bgr, color=color)
    if score.reason is not None:
        return _refused(score.reason, score.detail)
    verdict, reason = Verdict.UNCERTAIN, Reason.BETWEEN_THRESHOLDS
    if score.live_score >= engine.policy.live_threshold:
        verdict, reason = Verdict.LIVE, Reason.SINGLE_FRAME
    elif score.live_score <= engine.policy.spoof_threshold:
        verdict, reason = Verdict.SPOOF, Reason.SINGLE_FRAME
    return Decision(
        verdict=verdict,
        live_score=score.live_score,
        session_score=math.nan,
        reason=reason,
        detail="one picture, not a session",
        t=math.nan,
        box=score.box,
        scored_frames=1,
        final=True,
    )


def _refused(reason: Reason, detail: str) -> Decision:
    return Decision(
        verdict=Verdict.REFUSED,
        live_score=math.nan,
        session_score=math.nan,
        reason=reason,
        detail=detail,
        t=math.nan,
        box=None,
        scored_frames=0,
        final=True,
    )


def record(recorder: Recorder, frame: SourceFrame, decision: Decision, *, policy: Policy, color: str) -> None:
    """Write an annotated copy of a frame."""
    single = math.isnan(decision.session_score)
    picture = annotate(
        frame.frame_bgr if color == "bgr" else frame.frame_bgr[..., ::-1],
        verdict=decision.verdict,
        reason=decision.reason.value,
        score=decision.live_score if single else decision.session_score,
        box=decision.box,
        thresholds=(policy.spoof_threshold, policy.live_threshold),
    )
    recorder.write(frame, picture)


def describe(answer: Answer, *, pictures: bool, stream: TextIO) -> str:
    """Say one answer in one line."""
    decision = answer.decision
    where = printable(answer.name) if pictures else f"{decision.t:7.2f} s"
    score = decision.live_score if pictures else decision.session_score
    verdict = paint(f"{decision.verdict.upper():<9}", decision.verdict, stream=stream)
    detail = f"  ({printable(decision.detail)})" if decision.detail and decision.verdict is Verdict.REFUSED else ""
    return f"{verdict}  {number(score):>5}  {where}  {decision.reason}{detail}"


def note_unread(source: FrameSource, *, stream: TextIO) -> None:
    """Say what the source held and was not answered."""
    if source.missed:
        print(f"{source.missed} frames could not be read and were passed over", file=stream)
    if source.left_out:
        kinds = ", ".join(f"{count} {printable(kind)}" for kind, count in sorted(source.left_out.items()))
        print(f"left out, no pictures: {kinds}", file=stream)


def conclude(tally: Tally, *, session: Session | None, pictures: bool, stream: TextIO) -> int:
    """Print the last line and give the exit status: 0 only if all that counts is LIVE."""
    if pictures:
        return _conclude_pictures(tally, stream=stream)
    last = tally.last
    if last is None:
        return Status.NO
    verdict = last.verdict if session is None else session.verdict
    reason = last.reason if session is None or verdict is last.verdict else session.reason
    ended = "" if session is None or last.final else ", ended before the verdict was final"
    print(
        f"{paint(verdict.upper(), verdict, stream=stream)}: {reason}, session score {number(last.session_score)}, "
        f"{tally.scored} of {tally.frames} frames scored, {last.t:.1f} s{ended}",
        file=stream,
    )
    return Status.YES if verdict is Verdict.LIVE else Status.NO


def _conclude_pictures(tally: Tally, *, stream: TextIO) -> int:
    live = tally.verdicts[Verdict.LIVE]
    if tally.frames > 1:
        parts = ", ".join(f"{tally.verdicts[v]} {v}" for v in Verdict if tally.verdicts[v])
        print(f"{tally.frames} pictures: {parts}", file=stream)
    elif live:
        print("one picture is no attempt, so this is status 1; record a video, or use the camera", file=stream)
    return Status.YES if live == tally.frames > 1 else Status.NO
