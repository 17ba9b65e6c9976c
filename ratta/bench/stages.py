"""The stages of the answer path, each alone on what the stage before hands it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ratta.bench.frames import Stream
from ratta.bench.timing import Contestant
from ratta.decision import Judge
from ratta.perception import FaceTracker
from ratta.perception.crop import cut, square_around, within
from ratta.perception.quality import check_face, check_frame, check_light
from ratta.records import Face

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from ratta.bench.frames import Scene
    from ratta.engine import Engine
    from ratta.records import Box


def stage_contestants(engine: Engine, scene: Scene) -> list[Contestant]:
    """Line up detect, track, crop, quality, network and decide.

    `detect` runs the detector on every frame and `track` never does; the pipeline tracks, and detects now and then.
    """
    stages = {
        "detect": _detect(engine, scene),
        "track": _track(engine, scene),
        "crop": _crop(engine, scene),
        "quality": _quality(engine, scene),
        "network": _network(engine, scene),
        "decide": _decide(engine),
    }
    return [Contestant(f"  {name}", call) for name, call in stages.items()]


def _detect(engine: Engine, scene: Scene) -> Callable[[], object]:
    detector, stream = engine.new_perception().detector, Stream(scene)
    return lambda: detector.detect(stream.next()[0], color="bgr")


def _track(engine: Engine, scene: Scene) -> Callable[[], object]:
    tracker, stream = FaceTracker(detector=engine.new_perception().detector, redetect_s=math.inf), Stream(scene)

    def call() -> object:
        frame, _, t = stream.next()
        return tracker.update(frame, t=t, color="bgr")

    return call


def _crop(engine: Engine, scene: Scene) -> Callable[[], object]:
    stream = Stream(scene)

    def call() -> object:
        frame, box, _ = stream.next()
        return cut_all(engine, frame, box)

    return call


def _quality(engine: Engine, scene: Scene) -> Callable[[], object]:
    limits, frame, box = engine.limits, scene.frames[0], scene.boxes[0]
    height, width = frame.shape[:2]
    rule = max(engine.bundle.crops, key=lambda one: one.scale)
    square = square_around(box, scale=rule.scale, height=height, width=width, border=rule.border)
    pixels = cut(frame, square, size=rule.size, color="bgr", border=rule.border)
    inside, faces = within(box, square, size=rule.size), (Face(box, 1.0),)

    def call() -> object:
        check_frame(frame, limits)
        check_face(faces, height=height, width=width, limits=limits)
        return check_light(pixels, inside, limits)

    return call


def _network(engine: Engine, scene: Scene) -> Callable[[], object]:
    pixels = scene_crops(engine, scene)
    return lambda: engine.network.read(pixels)


def _decide(engine: Engine) -> Callable[[], object]:
    judge, now = Judge(engine.policy, open_ended=True), [0.0]

    def call() -> object:
        now[0] += 1 / 30
        return judge.update(1.0, t=now[0], box=None)

    return call


def scene_crops(engine: Engine, scene: Scene) -> tuple[npt.NDArray[np.uint8], ...]:
    """Cut the face of the scene's first frame as the engine would: one (S, S, 3) uint8 RGB for each crop rule."""
    return cut_all(engine, scene.frames[0], scene.boxes[0])


def cut_all(engine: Engine, frame: npt.NDArray[np.uint8], box: Box) -> tuple[npt.NDArray[np.uint8], ...]:
    """Cut a face out of a BGR frame by every crop rule of the engine's model."""
    height, width = frame.shape[:2]
    found = []
    for rule in engine.bundle.crops:
        square = square_around(box, scale=rule.scale, height=height, width=width, border=rule.border)
        found.append(cut(frame, square, size=rule.size, color="bgr", border=rule.border))
    return tuple(found)
