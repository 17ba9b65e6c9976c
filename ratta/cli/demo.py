"""Play four simulated sessions: a real face live, printed and on a screen, and a picture without a face.

Then a day in front of a new camera: what the live anchors learn from twenty unlocks, and what they deny.

Needs no camera and no network: camera, printer and screen are simulated. Leaves a contact sheet, a page with the
score over time and the decisions as JSON lines in the output folder. With --camera it opens a window instead: green
is live, red spoof, amber uncertain, grey refused; q quits, r starts over.

exit status: 0 when the demo ran, whatever the answers were; 2 after an error
"""

from __future__ import annotations

import os
import platform
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.adaptation.settings import Adaptation
from ratta.assembly import make_adapter
from ratta.bundle import DEFAULT_MODEL, model_files
from ratta.camera import open_source
from ratta.camera.page import PageText, demo_page
from ratta.camera.playback import play
from ratta.camera.recorder import encode_picture
from ratta.camera.sheet import contact_sheet
from ratta.camera.viewer import OpenCvWindow, watch
from ratta.cli.day import ABOUT, day_summary, show_day
from ratta.cli.lines import JsonLines, decision_entry
from ratta.cli.paint import level, number, paint
from ratta.cli.run import check_camera
from ratta.engine import load
from ratta.errors import BundleError
from ratta.media.opencv import opencv
from ratta.outputs import check_outputs, replace_file, replace_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ratta.adaptation.controller import Controller
    from ratta.camera.day import Moment
    from ratta.camera.playback import Scene, Take
    from ratta.engine import Engine
    from ratta.records import Decision

HELP = "play simulated sessions of a real face, or answer your camera in a window"
RESULTS = ("sheet.png", "demo.html", "decisions.jsonl")
HEADING = "One face, four sessions"
HONEST = (
    "The face is real: NASA's public-domain portrait of astronaut Eileen Collins. Camera, printer and screen are "
    "simulated, by the simulator that the model's training pictures came from. So this shows how the parts work "
    "together; it does not say how well the model does on attacks in front of your camera. The model card does."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ratta demo`."""
    parser.add_argument("--camera", metavar="N", help="open a window on this camera or URL")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model's name or a model folder (%(default)s)")
    parser.add_argument("--output", default="out/demo", metavar="FOLDER", help="where the results go (%(default)s)")
    parser.add_argument("--seed", type=int, default=8, help="of the simulation (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Play the demo, or watch a camera."""
    opencv()
    if args.camera is not None:
        check_camera(args.camera)
    else:
        written = [("--output", Path(args.output) / name) for name in RESULTS]
        check_outputs(written, folders=[("--output", args.output)], inputs=model_files(args.model))
    engine = load(args.model)
    if args.camera is not None:
        window = OpenCvWindow("ratta: q quits, r starts over")
        with open_source(args.camera) as source:
            watch(engine, source, window)
        return 0
    takes = play_demo(engine, seed=args.seed)
    _print_table(takes)
    moments = show_day(_adapter(engine), engine.bundle.contract, seed=args.seed)
    _write_results(Path(args.output), takes, moments, engine)
    return 0


def _adapter(engine: Engine) -> Controller | None:
    """Make the adapter of the demo; every piece of work is billed one millisecond, so that the day repeats itself."""
    settings = Adaptation(clock=count().__next__, inference_ms=1.0)
    try:
        return make_adapter(engine.bundle, engine.network, settings)
    except BundleError:  # it has just been loaded without: it lacks an embedding, nothing else
        return None


def play_demo(engine: Engine, *, seed: int) -> list[Take]:
    """Play every scene, printing each frame's answer as one mark."""
    from ratta.camera.scenes import demo_scenes

    model = engine.bundle
    print(f"ratta demo: a real face, simulated camera and attacks; model {model.name} {model.version}\n")
    takes = [_play_scene(engine, scene) for scene in demo_scenes(seed=seed)]
    print("\n  one mark per frame: its height is the live score, a dot was refused\n")
    return takes


def _play_scene(engine: Engine, scene: Scene) -> Take:
    print(f"  {scene.shown:<27}", end="", flush=True)
    take = play(engine, scene, on_decision=_print_mark)
    print(f"  {paint(take.verdict.upper(), take.verdict)}")
    return take


def _print_mark(decision: Decision) -> None:
    print(paint(level(decision.live_score), decision.verdict), end="", flush=True)


def _print_table(takes: Sequence[Take]) -> None:
    print(f"  {'shown':<27}{'verdict':<11}{'reason':<20}{'score':>5}{'frames':>8}{'final':>8}{'ms/frame':>10}")
    for take in takes:
        final = f"{take.final_s:.1f} s" if take.decisions[-1].final else "-"
        missed = "" if take.as_expected else f"  expected {take.scene.expected}"
        print(
            f"  {take.scene.shown:<27}{paint(f'{take.verdict:<11}', take.verdict)}{take.reason:<20}"
            f"{number(take.session_score):>5}{len(take.decisions):>8}{final:>8}{take.stages.total_ms:>10.1f}{missed}"
        )
    stages = takes[0].stages
    print(f"\n  {_summary(takes)}")
    print(
        f"  a frame costs, median: perception {stages.perception_ms:.2f} ms, inference {stages.inference_ms:.2f} ms, "
        f"decision {stages.decision_ms:.2f} ms\n  ({_device()}; the same frames again, back to back)"
    )


def _write_results(folder: Path, takes: Sequence[Take], moments: Sequence[Moment], engine: Engine) -> None:
    model = engine.bundle
    note = f"real face, simulated camera and attacks; model {model.name} {model.version}"
    sheet = contact_sheet(takes, title=f"ratta: {HEADING.lower()}", note=note)
    text = PageText(
        heading=HEADING,
        summary=_summary(takes),
        honest=HONEST,
        device=f"Median over the first session's frames, back to back. {_device()}.",
        day=day_summary(moments),
        day_about=ABOUT if moments else "",
    )
    page = demo_page(takes, moments=moments, bundle=model, policy=engine.policy, text=text)
    replace_file(folder / "sheet.png", encode_picture(sheet, ".png"))
    replace_text(folder / "demo.html", page)
    with JsonLines(str(folder / "decisions.jsonl")) as lines:
        for take in takes:
            for index, decision in enumerate(take.decisions):
                lines.write(decision_entry(decision, index=index, name=take.scene.shown))
    print(f"  see {folder / 'demo.html'}, {folder / 'sheet.png'}, {folder / 'decisions.jsonl'}")


def _summary(takes: Sequence[Take]) -> str:
    wrong = [t for t in takes if not t.as_expected]
    missed = "; ".join(f"{t.scene.shown.lower()}: {t.verdict}, expected {t.scene.expected}" for t in wrong)
    return f"{len(takes) - len(wrong)} of {len(takes)} sessions ended as they should" + (
        f" ({missed})" if missed else ""
    )


def _device() -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, one thread, "
        f"Python {platform.python_version()}, onnxruntime {metadata.version('onnxruntime')}"
    )
