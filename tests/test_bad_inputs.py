"""The table of bad inputs: every one is refused with a reason or answered by an error of ours; none is scored.

The same table is printed into docs/bad-inputs.md by `python tests/test_bad_inputs.py`.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.bundle import find_bundle
from ratta.records import Reason

BOX = (150.0, 60.0, 360.0, 270.0)
"""Where the face is in the portrait that the package ships."""


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _two_faces(face):
    head = face[20:300, 100:340]
    return np.concatenate([head, head[:, ::-1]], axis=1)


def _smeared(face):
    """Block means with linear ramps between: no edge is left."""
    coarse = face.reshape(16, 32, 16, 32, 3).mean((1, 3))
    places = np.clip((np.arange(512) + 0.5) / 32 - 0.5, 0, 15)
    low = np.minimum(places.astype(int), 14)
    share = (places - low)[:, None, None]
    rows = coarse[low] * (1 - share) + coarse[low + 1] * share
    share = (places - low)[None, :, None]
    return (rows[:, low] * (1 - share) + rows[:, low + 1] * share).astype(np.uint8)


FRAMES = {
    "None, as a camera gives when it fails": (lambda f: None, {}),
    "a list of lists": (lambda f: f.tolist(), {}),
    "a string": (lambda f: "frame.jpg", {}),
    "bytes": (lambda f: f.tobytes(), {}),
    "an empty array": (lambda f: np.empty((0, 0, 3), np.uint8), {}),
    "no rows": (lambda f: f[:0], {}),
    "1x1": (lambda f: f[:1, :1], {}),
    "one row": (lambda f: f[:1], {}),
    "grey, (H, W)": (lambda f: f[..., 0], {}),
    "grey, (H, W, 1)": (lambda f: f[..., :1], {}),
    "grey repeated into three channels": (lambda f: np.repeat(f[..., :1], 3, axis=2), {}),
    "RGBA, (H, W, 4)": (lambda f: np.dstack([f, f[..., 0]]), {}),
    "channels first, (3, H, W)": (lambda f: f.transpose(2, 0, 1), {}),
    "a batch, (1, H, W, 3)": (lambda f: f[None], {}),
    "float32 in [0, 1]": (lambda f: (f / 255).astype(np.float32), {}),
    "float32 in [0, 255]": (lambda f: f.astype(np.float32), {}),
    "float64 with NaN": (lambda f: np.full(f.shape, math.nan), {}),
    "uint16": (lambda f: f.astype(np.uint16) * 257, {}),
    "int8": (lambda f: f.astype(np.int8), {}),
    "bool": (lambda f: f > 127, {}),
    "object array": (lambda f: f.astype(object), {}),
    "uint8 that was divided by 255": (lambda f: (f / 255).round().astype(np.uint8), {}),
    "RGB given for BGR": (lambda f: f[..., ::-1], {}),
    "RGB given for BGR, with a box": (lambda f: f[..., ::-1], {"box": BOX}),
    "BGR given for RGB": (lambda f: f, {"color": "rgb"}),
    "noise without a face": (lambda f: _noise(480, 640, 3), {}),
    "a grey card": (lambda f: np.full_like(f, 127), {}),
    "black": (lambda f: np.zeros_like(f), {}),
    "white": (lambda f: np.full_like(f, 255), {}),
    "black, with a box": (lambda f: np.zeros_like(f), {"box": BOX}),
    "white, with a box": (lambda f: np.full_like(f, 255), {"box": BOX}),
    "a face eight times too dark": (lambda f: f // 8, {"box": BOX}),
    "a face lost in over-exposure": (lambda f: np.minimum(f.astype(int) * 6 + 120, 255).astype(np.uint8), {"box": BOX}),
    "a face blurred away": (lambda f: _smeared(f), {"box": BOX}),
    "two faces": (_two_faces, {}),
    "a face of 20 pixels": (
        lambda f: np.ascontiguousarray(np.pad(f[::10, ::10], ((200, 200), (250, 250), (0, 0)))),
        {},
    ),
    "a tiny box": (lambda f: f, {"box": (200, 150, 212, 162)}),
    "a box outside the frame": (lambda f: f, {"box": (900, 900, 1100, 1100)}),
    "a box half outside the frame": (lambda f: f, {"box": (-150, 60, 60, 270)}),
    "a face cut by the frame's edge": (lambda f: np.ascontiguousarray(f[:, 250:]), {"box": (-100, 60, 110, 270)}),
    "huge, 20,000 x 20,000, without memory behind it": (
        lambda f: np.broadcast_to(np.uint8(127), (20_000, 20_000, 3)),
        {},
    ),
}
"""Refused: what comes, made of a frame with a face, and the arguments beside it."""

ARGUMENTS = {
    "an inverted box": {"box": (360, 60, 150, 270)},
    "a box without area": {"box": (150, 60, 150, 270)},
    "a box with NaN": {"box": (150, math.nan, 360, 270)},
    "a box with infinity": {"box": (150, 60, math.inf, 270)},
    "a box of three numbers": {"box": (150, 60, 360)},
    "a box of words": {"box": ("a", "b", "c", "d")},
    "an unknown colour order": {"color": "hsv"},
    "no colour order": {"color": None},
    "a time that is NaN": {"t": math.nan},
    "a time that is infinite": {"t": math.inf},
    "a time that is text": {"t": "12:00"},
    "no time": {"t": None},
}
"""Errors: arguments that no frame can make right."""


def _cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def _forge(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")


def _rehash(folder, name):
    manifest = json.loads((folder / "bundle.json").read_text())
    content = (folder / name).read_bytes()
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "bundle.json").write_text(json.dumps(manifest))


def _swap_for_noise(folder):
    (folder / "model.onnx").write_bytes(b"not a graph")
    _rehash(folder, "model.onnx")


def _swap_for_detector(folder):
    shutil.copy(
        find_bundle(ratta.bundle.DEFAULT_MODEL).parent / "blazeface-short-range/blazeface.onnx", folder / "model.onnx"
    )
    _rehash(folder, "model.onnx")


def _other_size(folder):
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["contract"]["crops"][0]["size"] += 32
    (folder / "bundle.json").write_text(json.dumps(manifest))


MODELS = {
    "no model folder": lambda folder: shutil.rmtree(folder),
    "no manifest": lambda folder: (folder / "bundle.json").unlink(),
    "no graph": lambda folder: (folder / "model.onnx").unlink(),
    "a graph cut short": lambda folder: _cut(folder / "model.onnx"),
    "a graph with one byte changed": lambda folder: _forge(folder / "model.onnx"),
    "a graph that is none, hashes made to fit": _swap_for_noise,
    "another network's graph, hashes made to fit": _swap_for_detector,
    "a contract for another size": _other_size,
    "a card rewritten": lambda folder: (folder / "CARD.md").write_text("# The best model\n"),
}
"""Errors at load: what was done to a copy of the shipped model."""


@pytest.mark.parametrize("name", FRAMES)
def test_bad_frames_are_refused(shipped, portrait, name):
    """A bad frame is REFUSED with a reason, by the pure look and by the stream alike, and never scored."""
    make, arguments = FRAMES[name]
    frame = make(portrait)
    score = shipped.score(frame, **arguments)
    shipped.reset()
    decision = shipped.step(frame, t=0.0, **arguments)
    assert (score.refused, math.isnan(score.live_score)) == (True, True)
    assert (decision.verdict, decision.scored_frames) == (ratta.Verdict.REFUSED, 0)
    assert math.isnan(decision.live_score)
    assert score.reason is decision.reason
    assert score.reason in set(Reason)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_errors(shipped, portrait, name):
    """A bad argument is an `InputError` that names it and says what was expected; the stream is not harmed."""
    arguments = {"t": 0.0, "box": BOX} | ARGUMENTS[name]
    shipped.reset()
    with pytest.raises(ratta.InputError, match="expected"):
        shipped.step(portrait, **arguments)
    assert not math.isnan(shipped.step(portrait, t=0.0, box=BOX).live_score)


@pytest.mark.parametrize("name", MODELS)
def test_bad_models_are_errors(tmp_path, name):
    """A missing, altered or swapped model is a `BundleError` at load, never a default."""
    folder = tmp_path / "model"
    shutil.copytree(find_bundle(ratta.bundle.DEFAULT_MODEL), folder)
    assert ratta.load(folder).bundle.name == ratta.load().bundle.name
    MODELS[name](folder)
    with pytest.raises(ratta.BundleError, match="expected"):
        ratta.load(folder)


def test_the_good_frame_is_scored(shipped, portrait):
    """The frame that all of these were made from is fine, so it is the defect that is refused."""
    assert not shipped.score(portrait).refused
    assert not shipped.score(portrait, box=BOX).refused
    assert not shipped.score(np.ascontiguousarray(portrait[..., ::-1]), color="rgb").refused


def test_a_view_that_is_not_contiguous_is_scored_alike(shipped, portrait):
    """Memory layout is not content."""
    strided = np.asfortranarray(portrait)
    assert shipped.score(strided, box=BOX).live_score == shipped.score(portrait, box=BOX).live_score


def test_a_frozen_stream_is_refused(shipped, portrait):
    """A camera that gives the same picture again and again gives no evidence."""
    shipped.reset()
    first = shipped.step(portrait, t=0.0, box=BOX)
    again = [shipped.step(portrait, t=i / 10, box=BOX) for i in range(1, 5)]
    assert not math.isnan(first.live_score)
    assert again[-1].reason is Reason.FROZEN


def test_the_documented_table_is_this_table():
    """docs/bad-inputs.md lists every row above."""
    page = Path(__file__).parent.parent / "docs" / "bad-inputs.md"
    rows = page.read_text()
    assert [name for name in (*FRAMES, *ARGUMENTS, *MODELS) if f"| {name} |" not in rows] == []


def _rows():
    engine = ratta.load()
    import cv2

    face = cv2.imread(str(Path(ratta.__file__).parent / "camera" / "assets" / "astronaut.jpg"))
    for name, (make, arguments) in FRAMES.items():
        score = engine.score(make(face), **arguments)
        yield name, f"REFUSED: {score.reason}", score.detail
    for name, arguments in ARGUMENTS.items():
        try:
            engine.step(face, **({"t": 0.0, "box": BOX} | arguments))
        except ratta.InputError as error:
            yield name, "InputError", str(error)
    for name, harm in MODELS.items():
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "model"
            shutil.copytree(find_bundle(ratta.bundle.DEFAULT_MODEL), folder)
            harm(folder)
            try:
                ratta.load(folder)
            except ratta.BundleError as error:
                yield name, "BundleError", str(error).replace(place, "...")


if __name__ == "__main__":
    print("# What happens to bad inputs\n")
    print("Made by `python tests/test_bad_inputs.py`; the same table is a test.\n")
    print("| input | answer | message |\n|---|---|---|")
    for row in _rows():
        print("| " + " | ".join(" ".join(cell.split()).replace("|", "/")[:200] for cell in row) + " |")
