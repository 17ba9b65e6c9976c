"""Compare ratta's BlazeFace with mediapipe's own, picture by picture.

Every picture is turned and shown at several sizes; both detectors see the same pixels. The comparison is made twice:
with ratta's own letterbox, and with mediapipe's sampling re-done in OpenCV, which shows the decoder alone. Needs
mediapipe 0.10.21, which pins numpy<2, so it wants an environment of its own::

    python -m venv parity && parity/bin/pip install mediapipe==0.10.21 'onnxruntime>=1.20'
    PYTHONPATH=. parity/bin/python bench/blazeface_parity.py PICTURES --limit 200 --output parity.json

A face that only mediapipe finds counts as missed, one that only ratta finds as extra. Bias: neither is the truth.
mediapipe takes one bilinear sample a pixel, half a pixel of its input off to the lower right; ratta averages.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np
import numpy.typing as npt

from ratta.inference.session import import_onnxruntime
from ratta.perception.face import SIDE, BlazeFace
from ratta.records import Box

onnxruntime = import_onnxruntime()

MODEL = Path(__file__).parent.parent / "models" / "blazeface-short-range" / "blazeface.onnx"
SIZES = (1024, 480, 240)
SMALL_FACE_SIDE = 160
ROTATIONS_DEGREES = (-30, -15, 0, 15, 30)
SAMPLINGS = ("ratta", "mediapipe")
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Row:
    """Agreement over one kind of picture."""

    kind: str
    sampling: str
    pictures: int
    both: int
    missed: int
    extra: int
    mean_iou: float
    share_iou_over_90: float
    worst_iou: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="a folder of JPEG files with one face each")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--output", type=Path, help="where to write the table as JSON")
    arguments = parser.parse_args()
    paths = sorted(arguments.pictures.glob("*.jpg"))
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(arguments.limit, len(paths))).astype(int)]
    ours = ratta_detector()
    with mediapipe.solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5) as theirs:
        found = {(kind, sampling): [] for sampling in SAMPLINGS for kind in kinds()}
        for path in chosen:
            for kind, picture in variants(cv2.imread(str(path))):
                expected = boxes_of_mediapipe(theirs, picture)
                found[kind, "ratta"].append((boxes_of_ratta(ours, picture), expected))
                found[kind, "mediapipe"].append((boxes_of_decoder(ours, picture), expected))
    rows = [row(kind, sampling, pairs) for (kind, sampling), pairs in found.items()]
    print_table(rows)
    if arguments.output:
        known = [{name: None if value != value else value for name, value in asdict(r).items()} for r in rows]
        report = {"mediapipe": mediapipe.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
        arguments.output.write_text(json.dumps({**report, "rows": known}, indent=1) + "\n")


def kinds() -> list[str]:
    shown = [f"{size}x{size}, {angle:+d}" for size in SIZES for angle in ROTATIONS_DEGREES]
    small = [f"{SMALL_FACE_SIDE} px in 640x480, {angle:+d}" for angle in ROTATIONS_DEGREES]
    return [*shown, *small, "no face: blurred noise", "no face: picture upside down, lower half"]


def variants(picture: Picture) -> Iterator[tuple[str, Picture]]:
    """Yield each kind of picture made of one portrait."""
    for angle in ROTATIONS_DEGREES:
        turned = rotate(picture, angle)
        for size in SIZES:
            yield f"{size}x{size}, {angle:+d}", shrink(turned, size)
        canvas = np.full((480, 640, 3), 110, np.uint8)
        canvas[200 : 200 + SMALL_FACE_SIDE, 330 : 330 + SMALL_FACE_SIDE] = shrink(turned, SMALL_FACE_SIDE)
        yield f"{SMALL_FACE_SIDE} px in 640x480, {angle:+d}", canvas
    noise = np.random.default_rng(int(picture[0, 0, 0])).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    yield "no face: blurred noise", cv2.GaussianBlur(noise, (0, 0), 4)
    yield "no face: picture upside down, lower half", np.ascontiguousarray(picture[len(picture) * 7 // 10 :][::-1])


def rotate(picture: Picture, degrees: int) -> Picture:
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, turn, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def shrink(picture: Picture, side: int) -> Picture:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def ratta_detector() -> BlazeFace:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    return BlazeFace(Graph(session))


class Graph:
    """The session that `BlazeFace` asks for."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def run(self, feeds: dict[str, Picture]) -> tuple[npt.NDArray[np.float32], ...]:
        return tuple(self.session.run(["regressors", "scores"], feeds))


def boxes_of_ratta(detector: BlazeFace, picture: Picture) -> list[Box]:
    return [face.box for face in detector.find(picture)]


def boxes_of_decoder(detector: BlazeFace, picture: Picture) -> list[Box]:
    """Return the boxes that ratta decodes from mediapipe's sampling of the picture."""
    height, width = picture.shape[:2]
    step = max(height, width) / SIDE
    corner = np.array([width - step * SIDE, height - step * SIDE]) / 2
    to_input = np.array([[1 / step, 0, -corner[0] / step], [0, 1 / step, -corner[1] / step]])
    sampled = cv2.warpAffine(picture, to_input, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return [
        Box(*(np.array([[b.x_min, b.y_min], [b.x_max, b.y_max]]) * step + corner).ravel().tolist())
        for b in boxes_of_ratta(detector, sampled)
    ]


def boxes_of_mediapipe(detector: mediapipe.solutions.face_detection.FaceDetection, picture: Picture) -> list[Box]:
    height, width = picture.shape[:2]
    found = detector.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).detections or []
    relative = [face.location_data.relative_bounding_box for face in found]
    return [
        Box(r.xmin * width, r.ymin * height, (r.xmin + r.width) * width, (r.ymin + r.height) * height) for r in relative
    ]


def row(kind: str, sampling: str, pairs: list[tuple[list[Box], list[Box]]]) -> Row:
    """Match boxes greedily by overlap; a face of one side without a partner of IoU > 0.5 is missed or extra."""
    ious: list[float] = []
    missed = extra = 0
    for ours, theirs in pairs:
        left = list(ours)
        for box in theirs:
            best = max(left, key=box.iou, default=None)
            if best is None or box.iou(best) <= 0.5:
                missed += 1
                continue
            ious.append(box.iou(best))
            left.remove(best)
        extra += len(left)
    array = np.array(ious or [float("nan")])
    over = float(np.mean(array > 0.9)) if ious else float("nan")
    return Row(kind, sampling, len(pairs), len(ious), missed, extra, float(array.mean()), over, float(array.min()))


def print_table(rows: list[Row]) -> None:
    print("| picture | sampling | n | faces in both | missed | extra | mean IoU | IoU > .9 | worst IoU |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        print(
            f"| {r.kind} | {r.sampling} | {r.pictures} | {r.both} | {r.missed} | {r.extra} "
            f"| {r.mean_iou:.3f} | {r.share_iou_over_90:.3f} | {r.worst_iou:.3f} |"
        )


if __name__ == "__main__":
    main()
