"""The peers: for each, a builder that returns what one call does. Libraries are imported where they are needed."""

from __future__ import annotations

import importlib.metadata
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Context:
    """What a builder may use: paths as text, the threads of every peer, the frames' rate."""

    frames: str
    graph: str
    converted: str
    model: str
    peers: str
    threads: int
    fps: float

    def stream(self) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Yield frame (480, 640, 3) BGR, box (4,) xyxy and time, for ever."""
        with np.load(self.frames) as archive:
            frames, boxes = list(archive["frames"]), list(archive["boxes"])
        for tick in itertools.count():
            yield frames[tick % len(frames)], boxes[tick % len(boxes)], tick / self.fps


@dataclass(frozen=True)
class Peer:
    """What to call, and the versions of the libraries behind it."""

    call: Callable[[], object]
    libraries: tuple[str, ...] = ()
    versions: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        found = {name: _version(name) for name in ("numpy", *self.libraries)}
        object.__setattr__(self, "versions", {name: version for name, version in found.items() if version})


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def any_crop() -> np.ndarray:
    """Return a crop as the network takes it, (1, 128, 128, 3) uint8; the values do not matter for the time."""
    return np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)


# ratta


def ratta_bare(context: Context) -> Peer:
    session = ort_session(context.graph, context.threads)
    feeds = {session.get_inputs()[0].name: any_crop()}
    return Peer(lambda: session.run(None, feeds)[0].shape, ("onnxruntime",))


def ratta_pipeline(context: Context) -> Peer:
    import ratta

    engine, stream = ratta.load(context.model, threads=context.threads), context.stream()

    def call() -> object:
        frame, _, t = next(stream)
        return _scored(engine.step(frame, t=t))

    return Peer(call, ("ratta", "onnxruntime"))


def ratta_step(context: Context) -> Peer:
    import ratta

    engine, stream = ratta.load(context.model, threads=context.threads), context.stream()

    def call() -> object:
        frame, box, t = next(stream)
        return _scored(engine.step(frame, t=t, box=tuple(box)))

    return Peer(call, ("ratta", "onnxruntime"))


def ratta_numpy(context: Context) -> Peer:
    from ratta.inference import NumpySession

    session = NumpySession(Path(context.graph).read_bytes())
    feeds = {session.inputs[0]: any_crop()}
    return Peer(lambda: session.run(feeds)[0].shape, ("ratta",))


def ratta_detector(context: Context) -> Peer:
    import ratta

    engine, stream = ratta.load(context.model, threads=context.threads), context.stream()
    detector = engine.new_perception().detector
    return Peer(lambda: _found(detector.detect(next(stream)[0])), ("ratta", "onnxruntime"))


def _scored(decision: Any) -> Any:
    if np.isnan(decision.live_score):
        raise RuntimeError(f"refused: {decision.reason} {decision.detail}")
    return decision.live_score


def _found(faces: Any) -> int:
    if faces is None or len(faces) == 0:
        raise RuntimeError("no face found")
    return len(faces)


# The same network in other runtimes


def ort_session(path: str | Path, threads: int) -> Any:
    from ratta.inference.session import import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def torch_network(context: Context) -> Any:
    import torch

    from ratta.train.network import MobileNetV3Small

    torch.set_num_threads(context.threads)
    return MobileNetV3Small().eval().requires_grad_(False)


def torch_eager(context: Context) -> Peer:
    return _torch(context, lambda network: network)


def torch_compiled(context: Context) -> Peer:
    import torch

    return _torch(context, torch.compile)


def _torch(context: Context, prepare: Callable[[Any], Any]) -> Peer:
    import torch

    network = torch_network(context)
    pixels = torch.from_numpy(any_crop())
    run = prepare(lambda x: network(x.permute(0, 3, 1, 2).float() / 127.5 - 1).logits)

    def call() -> object:
        with torch.inference_mode():
            return tuple(run(pixels).shape)

    return Peer(call, ("torch",))


def openvino_network(context: Context) -> Peer:
    import openvino

    core = openvino.Core()
    model = core.read_model(context.graph)
    model.reshape(list(any_crop().shape))  # a free batch dimension costs OpenVINO half as much again
    settings = {"INFERENCE_NUM_THREADS": context.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    pixels = openvino.Tensor(any_crop(), shared_memory=True)
    request.set_input_tensor(pixels)
    return Peer(lambda: request.infer()[0].shape, ("openvino",))


def ncnn_network(context: Context) -> Peer:
    """Enter as ncnn does: bytes to a normalised Mat, then the network that `peers_convert.py` made."""
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = context.threads
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_bf16_storage = False
    param, weights = converted(context, "model.ncnn.param"), converted(context, "model.ncnn.bin")
    if network.load_param(str(param)) or network.load_model(str(weights)):
        raise ValueError(f"{param.name}: ncnn cannot read it")
    pixels = any_crop()[0]

    def call() -> object:
        mat = ncnn.Mat.from_pixels(pixels, ncnn.Mat.PixelType.PIXEL_RGB, 128, 128)
        mat.substract_mean_normalize([127.5] * 3, [1 / 127.5] * 3)
        with network.create_extractor() as extractor:
            extractor.input("in0", mat)
            return np.array(extractor.extract("out0")[1]).shape

    return Peer(call, ("ncnn",))


def litert_network(context: Context) -> Peer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(converted(context, "model.tflite")), num_threads=context.threads)
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    values = np.random.default_rng(0).random(entry["shape"]).astype(entry["dtype"])

    def call() -> object:
        interpreter.set_tensor(entry["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(result).shape

    return Peer(call, ("ai-edge-litert",))


def converted(context: Context, name: str) -> Path:
    path = Path(context.converted, name)
    if not context.converted or not path.is_file():
        raise FileNotFoundError(f"{name}: make it with peers_convert.py and pass its folder as --converted")
    return path


# Detectors


def yunet(size: tuple[int, int]) -> Callable[[Context], Peer]:
    def build(context: Context) -> Peer:
        detect, stream = yunet_at(context, size), context.stream()
        return Peer(lambda: _found(detect(next(stream)[0])), ("opencv-python-headless", "opencv-contrib-python"))

    return build


def yunet_at(context: Context, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray | None]:
    """Return a function from a frame to its faces, (n, 15), in pixels of `size`, to which it is scaled down first."""
    import cv2

    cv2.setNumThreads(context.threads)
    path = Path(context.peers, "face-antispoof-onnx", "yunet.onnx")
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} in the folder of --peers")
    detector = cv2.FaceDetectorYN.create(str(path), "", size, 0.6)

    def detect(frame: np.ndarray) -> np.ndarray | None:
        small = frame if frame.shape[1::-1] == size else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        faces = detector.detect(small)[1]
        return None if faces is None else np.asarray(faces)

    return detect


def mediapipe_detector(context: Context) -> Peer:
    import mediapipe

    detector = mediapipe.solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5)
    stream = context.stream()

    def call() -> object:
        frame = next(stream)[0]
        return _found(detector.process(np.ascontiguousarray(frame[..., ::-1])).detections)

    return Peer(call, ("mediapipe",))


# Pipelines: frame in, live or spoof out


def face_antispoof(file_name: str) -> Callable[[Context], Peer]:
    """face-antispoof-onnx: YuNet on the whole frame, crop 1.5x with mirrored borders, RGB / 255, two logits."""

    def build(context: Context) -> Peer:
        import cv2

        detect = yunet_at(context, (640, 480))
        session = ort_session(Path(context.peers, "face-antispoof-onnx", file_name), context.threads)
        name, stream = session.get_inputs()[0].name, context.stream()

        def call() -> object:
            frame = next(stream)[0]
            faces = detect(frame)
            _found(faces)
            crop = mirrored_crop(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), faces[0][:4], scale=1.5)
            small = cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA)
            planes = small.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
            live, spoof = session.run(None, {name: planes})[0][0]
            return live - spoof

        return Peer(call, ("onnxruntime", "opencv-python-headless"))

    return build


def mirrored_crop(frame: np.ndarray, box_xywh: np.ndarray, *, scale: float) -> np.ndarray:
    """Cut a square around the box, what lies outside of the frame mirrored."""
    import cv2

    x, y, width, height = (float(v) for v in box_xywh)
    side = int(max(width, height) * scale)
    left, top = int(x + width / 2 - side / 2), int(y + height / 2 - side / 2)
    outside = (max(0, -top), max(0, top + side - frame.shape[0]), max(0, -left), max(0, left + side - frame.shape[1]))
    inside = frame[max(0, top) : top + side, max(0, left) : left + side]
    return np.asarray(cv2.copyMakeBorder(inside, *outside, cv2.BORDER_REFLECT_101) if any(outside) else inside)


SILENT_FACE = (("2.7_80x80_MiniFASNetV2.pth", 2.7), ("4_0_0_80x80_MiniFASNetV1SE.pth", 4.0))


def silent_face(*, keep_weights: bool) -> Callable[[Context], Peer]:
    """Silent-Face: a detector, then two networks in torch on crops of their own, probabilities added.

    Its own Caffe detector is not at hand; YuNet at the frame's full size stands in for it. `test.py` of that project
    loads the weights anew for every picture; with `keep_weights` that is mended.
    """

    def build(context: Context) -> Peer:
        import torch

        from ratta.train.teachers import load_silent_face

        torch.set_num_threads(context.threads)
        detect, stream = yunet_at(context, (640, 480)), context.stream()
        folder = Path(context.peers, "silent-face")
        kept = {name: load_silent_face(folder / name) for name, _ in SILENT_FACE}

        def call() -> object:
            frame = next(stream)[0]
            faces = detect(frame)
            _found(faces)
            total = np.zeros(3)
            for name, scale in SILENT_FACE:
                network = kept[name] if keep_weights else load_silent_face(folder / name)
                total += _silent_face_score(network, frame, faces[0][:4], scale)
            return total.argmax() == 1

        return Peer(call, ("torch", "opencv-python-headless"))

    return build


def _silent_face_score(network: Any, frame: np.ndarray, box_xywh: np.ndarray, scale: float) -> np.ndarray:
    import cv2
    import torch

    crop = shifted_crop(frame, box_xywh, scale=scale)
    small = cv2.resize(crop, (80, 80))
    planes = torch.from_numpy(small.transpose(2, 0, 1).copy()).float()[None]
    with torch.inference_mode():
        return np.asarray(network(planes).logits.softmax(1)[0].numpy())


def shifted_crop(frame: np.ndarray, box_xywh: np.ndarray, *, scale: float) -> np.ndarray:
    """Cut the box made `scale` times as large, as far as the frame allows, then shifted into the frame."""
    rows, columns = frame.shape[:2]
    x, y, width, height = (float(v) for v in box_xywh)
    scale = min((rows - 1) / height, (columns - 1) / width, scale)
    new_width, new_height = int(width * scale), int(height * scale)
    left = int(min(max(x + width / 2 - new_width / 2, 0), columns - new_width))
    top = int(min(max(y + height / 2 - new_height / 2, 0), rows - new_height))
    return frame[top : top + new_height, left : left + new_width]


BUILDERS: dict[str, Callable[[Context], Peer]] = {
    "ratta: bare run": ratta_bare,
    "ratta: step, box given": ratta_step,
    "ratta: pipeline": ratta_pipeline,
    "ratta: network in NumPy": ratta_numpy,
    "ratta: detector": ratta_detector,
    "face-antispoof-onnx fp32": face_antispoof("MiniFASNetV2-SE-128.onnx"),
    "face-antispoof-onnx int8": face_antispoof("MiniFASNetV2-SE-128-int8.onnx"),
    "Silent-Face, weights kept": silent_face(keep_weights=True),
    "Silent-Face, as shipped": silent_face(keep_weights=False),
    "YuNet 640x480": yunet((640, 480)),
    "YuNet 320x240": yunet((320, 240)),
    "YuNet 160x120": yunet((160, 120)),
    "mediapipe face detection": mediapipe_detector,
    "torch eager": torch_eager,
    "torch.compile": torch_compiled,
    "OpenVINO": openvino_network,
    "ncnn": ncnn_network,
    "LiteRT": litert_network,
}
PIPELINES = "whole pipelines, frame to verdict"
GROUPS: dict[str, tuple[str, ...]] = {
    PIPELINES: (
        "ratta: step, box given",
        "ratta: pipeline",
        "face-antispoof-onnx fp32",
        "face-antispoof-onnx int8",
        "Silent-Face, weights kept",
        "Silent-Face, as shipped",
    ),
    "face detectors": (
        "ratta: detector",
        "YuNet 640x480",
        "YuNet 320x240",
        "YuNet 160x120",
        "mediapipe face detection",
    ),
    "the same network in other runtimes": (
        "ratta: bare run",
        "ratta: network in NumPy",
        "torch eager",
        "torch.compile",
        "OpenVINO",
        "ncnn",
        "LiteRT",
    ),
}
