"""Teachers: networks of other people, loaded from the user's own files, each with its own preprocessing contract.

The two Silent-Face networks (minivision-ai, Apache-2.0) are rebuilt here from the names and shapes of their published
state dictionaries: MobileFaceNet-like depthwise bottlenecks (Chen et al. 2018) with PReLU, a 5x5 depthwise end, a
128-d embedding and three logits of which the second means live.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ratta.errors import DataError, TrainingError
from ratta.train.checkpoint import load_checkpoint
from ratta.train.network import NETWORKS, Network, make_network
from ratta.train.onnx_network import open_classifier

SILENT_FACE_SIZE = 80
GROUPS = (("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutput:
    """A teacher's opinion: ``logits (N, 3)``, ``embedding (N, 128)``, ``pooled (N, 512)`` and two feature maps."""

    logits: Tensor
    embedding: Tensor
    pooled: Tensor
    middle: Tensor
    last: Tensor

    @property
    def margin(self) -> Tensor:
        """Live margin ``l1 - logsumexp(l0, l2)``: the log-odds of live."""
        return live_margin(self.logits, live=1)


def live_margin(logits: Tensor, *, live: int) -> Tensor:
    """Log-odds of class ``live`` under a softmax over all classes, ``(N,)``."""
    others = torch.cat((logits[:, :live], logits[:, live + 1 :]), 1)
    return logits[:, live] - torch.logsumexp(others, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What any teacher says of N inputs: live margins ``(N,)``, and the features it has to offer, by layer."""

    margin: Tensor
    features: dict[str, Tensor] = field(default_factory=dict)


class Teacher(Protocol):
    """A network that judges crops, with its own preprocessing contract.

    Attributes
    ----------
    size : int
        Side of its input in pixels.
    crop_scale : float
        Side of the crop it wants over the longer side of the face box.
    widths : mapping of str to int
        Channels of each layer it offers: some of ``middle``, ``last``, ``embedding``.
    """

    size: int
    crop_scale: float

    @property
    def widths(self) -> Mapping[str, int]:
        """Channels by layer."""
        ...

    def opinion(self, view: Tensor) -> Opinion:
        """Judge ``(N, 3, size, size) float32`` RGB, 0-255."""
        ...


def ask(teacher: Teacher, pixels: Tensor, *, crop_scale: float) -> Opinion:
    """Show a teacher crops ``(N, 3, S, S) float32`` RGB, 0-255, cut at ``crop_scale``, the way it wants them.

    A teacher of tighter crops sees the middle; one of wider crops sees all there is.
    """
    side = pixels.shape[-1]
    inner = max(1, round(side * min(1.0, teacher.crop_scale / crop_scale)))
    start = (side - inner) // 2
    view = pixels[:, :, start : start + inner, start : start + inner]
    if inner != teacher.size:
        view = nn.functional.interpolate(view, size=teacher.size, mode="bilinear", antialias=True).clamp(0, 255)
    with torch.no_grad():
        return teacher.opinion(view)


def save_network(network: Network, **facts: object) -> dict[str, object]:
    """Put a network of ours and plain facts about it into a state that `load_network` reads."""
    names = [name for name, kind in NETWORKS.items() if type(network) is kind]
    return {"network": names[0] if names else "", "ema": network.state_dict(), **facts}


def load_network(path: str | Path) -> tuple[Network, dict[str, object]]:
    """Load a network of ours from a checkpoint, in evaluation mode, and what the checkpoint says of it.

    A checkpoint that names no network holds MobileNetV3-Small.

    Raises
    ------
    TrainingError
        If it is no checkpoint, or its weights are another network's.
    """
    state = load_checkpoint(Path(path))
    try:
        network = make_network(str(state.get("network") or "mobilenet-v3-small"))
        network.load_state_dict(state["ema"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"{Path(path).name}: expected a checkpoint of {', '.join(NETWORKS)}, got {type(error).__name__}: {error}"
        ) from error
    return network.eval().requires_grad_(False), {k: v for k, v in state.items() if k not in ("model", "ema")}


class NetworkTeacher:
    """A network of ours as a teacher.

    Parameters
    ----------
    path : path
        A checkpoint: ``best.pt`` of a labelled run, or ``last.pt`` of a distillation.
    """

    def __init__(self, path: str | Path) -> None:
        self.network, facts = load_network(path)
        self.size = int(str(facts.get("size", 128)))
        self.crop_scale = float(str(facts.get("crop_scale", 2.7)))
        middle, last = self.network.middle_width, self.network.last_width
        self.widths = {"middle": middle, "last": last, "embedding": last}

    def opinion(self, view: Tensor) -> Opinion:
        """Judge ``(N, 3, size, size) float32`` RGB, 0-255."""
        out = self.network.to(view.device)(view / 255)
        features = {"middle": out.middle, "last": out.last, "embedding": out.embedding}
        return Opinion(margin=out.logits[:, 1] - out.logits[:, 0], features=features)


class _Unit(nn.Module):
    """Convolution and normalisation, with PReLU where the state dictionary has one."""

    def __init__(self, weight: Tensor, *, stride: int, padding: int, prelu: bool) -> None:
        super().__init__()
        outputs, per_group, kernel, _ = weight.shape
        groups = outputs if per_group == 1 and outputs > 1 else 1
        self.conv = nn.Conv2d(per_group * groups, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs) if prelu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.prelu(self.bn(self.conv(x)))
        return out


class _Gate(nn.Module):
    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(squeezed)
        self.fc2 = nn.Conv2d(squeezed, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        squeezed: Tensor = self.bn1(self.fc1(x.mean((2, 3), keepdim=True))).relu()
        gate: Tensor = self.bn2(self.fc2(squeezed)).sigmoid()
        return x * gate


class _Bottleneck(nn.Module):
    def __init__(self, state: Mapping[str, Tensor], prefix: str, *, stride: int) -> None:
        super().__init__()
        self.conv = _unit(state, f"{prefix}.conv", stride=1, padding=0)
        self.conv_dw = _unit(state, f"{prefix}.conv_dw", stride=stride, padding=1)
        self.project = _unit(state, f"{prefix}.project", stride=1, padding=0)
        self.shortcut = stride == 1
        gate = state.get(f"{prefix}.se_module.fc1.weight")
        self.se_module = nn.Identity() if gate is None else _Gate(gate.shape[1], gate.shape[0])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.se_module(self.project(self.conv_dw(self.conv(x))))
        return x + y if self.shortcut else y


class _Chain(nn.Module):
    def __init__(self, state: Mapping[str, Tensor], prefix: str) -> None:
        super().__init__()
        stem = f"{prefix}.model."
        count = 1 + max(int(key.removeprefix(stem).split(".")[0]) for key in state if key.startswith(stem))
        self.model = nn.Sequential(*(_Bottleneck(state, f"{prefix}.model.{i}", stride=1) for i in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


def _unit(state: Mapping[str, Tensor], prefix: str, *, stride: int, padding: int) -> _Unit:
    return _Unit(
        state[f"{prefix}.conv.weight"], stride=stride, padding=padding, prelu=f"{prefix}.prelu.weight" in state
    )


class SilentFaceNetwork(nn.Module):
    """A Silent-Face network whose widths are read off its state dictionary.

    Parameters
    ----------
    state : mapping of str to Tensor
        The published state dictionary, ``module.`` prefixes removed.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.conv1 = _unit(state, "conv1", stride=2, padding=1)
        self.conv2_dw = _unit(state, "conv2_dw", stride=1, padding=1)
        for down, chain in GROUPS:
            self.add_module(down, _Bottleneck(state, down, stride=2))
            self.add_module(chain, _Chain(state, chain))
        self.conv_6_sep = _unit(state, "conv_6_sep", stride=1, padding=0)
        self.conv_6_dw = _unit(state, "conv_6_dw", stride=1, padding=0)
        width, inputs = state["linear.weight"].shape
        self.linear = nn.Linear(inputs, width, bias=False)
        self.bn = nn.BatchNorm1d(state["bn.weight"].shape[0])
        self.prob = nn.Linear(width, state["prob.weight"].shape[0], bias=False)

    def forward(self, x: Tensor) -> TeacherOutput:
        """Run ``(N, 3, 80, 80) float32``, BGR, 0-255 and *not* divided."""
        maps: list[Tensor] = []
        x = self.conv2_dw(self.conv1(x))
        for down, chain in GROUPS:
            x = self.get_submodule(chain)(self.get_submodule(down)(x))
            maps.append(x)
        pooled = self.conv_6_dw(self.conv_6_sep(x)).flatten(1)
        embedding = self.bn(self.linear(pooled))
        return TeacherOutput(
            logits=self.prob(embedding), embedding=embedding, pooled=pooled, middle=maps[1], last=maps[2]
        )


def load_silent_face(path: str | Path) -> SilentFaceNetwork:
    """Load a published Silent-Face state dictionary (``*.pth``), in evaluation mode.

    Raises
    ------
    DataError
        If the file is missing, unreadable, or not such a state dictionary.
    """
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
        state = {str(key).removeprefix("module."): value for key, value in raw.items()}
        network = SilentFaceNetwork(state)
        network.load_state_dict(state)
    except (OSError, KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"teacher {Path(path).name}: expected a Silent-Face state dictionary, got {type(error).__name__}: "
            f"{error}; pass the published .pth file"
        ) from error
    return network.eval().requires_grad_(False)


class _Scores(nn.Module):
    def __init__(self, network: SilentFaceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x).logits
        return logits


def export_silent_face(path: str | Path) -> bytes:
    """Export a published Silent-Face state dictionary as ONNX: ``input (N, 3, 80, 80)``, ``logits (N, 3)``."""
    network, stream = _Scores(load_silent_face(path)).eval(), io.BytesIO()
    shape, free = (1, 3, SILENT_FACE_SIZE, SILENT_FACE_SIZE), {"input": {0: "N"}, "logits": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces its next exporter at every call
        torch.onnx.export(
            network,
            (torch.zeros(shape),),
            stream,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["input"],
            output_names=["logits"],
            dynamic_axes=free,
        )
    return stream.getvalue()


class SilentFaceTeacher:
    """A Silent-Face network behind the common interface: RGB uint8 in, live margin out.

    Parameters
    ----------
    path : path
        The published ``.pth`` file.
    crop_scale : float
        The crop the network was trained on: 2.7 or 4.0.
    """

    def __init__(self, path: str | Path, *, crop_scale: float = 2.7) -> None:
        self.path = Path(path)
        self.crop_scale = crop_scale
        self.size = SILENT_FACE_SIZE
        self.network = load_silent_face(path).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        width = self.network.conv_6_sep.conv.in_channels
        self.widths = {"middle": width, "last": width, "embedding": self.network.linear.out_features}

    def __call__(self, pixels: NDArray[np.uint8]) -> TeacherOutput:
        """Judge crops ``(N, 80, 80, 3)`` uint8 RGB."""
        with torch.inference_mode():
            return self.output(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float())

    def output(self, view: Tensor) -> TeacherOutput:
        """Everything the network says of ``(N, 3, 80, 80) float32`` RGB, 0-255."""
        out: TeacherOutput = self.network.to(view.device)(view.flip(1))
        return out

    def opinion(self, view: Tensor) -> Opinion:
        """Judge ``(N, 3, 80, 80) float32`` RGB, 0-255."""
        out = self.output(view)
        features = {"middle": out.middle, "last": out.last, "embedding": out.embedding}
        return Opinion(margin=out.margin, features=features)

    def live_margin(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Log-odds of live for crops ``(N, 80, 80, 3)`` uint8 RGB, ``(N,) float32``."""
        return self(pixels).margin.numpy().astype(np.float32)


class OnnxTeacher:
    """Any ONNX classifier as a teacher, with its preprocessing contract spelt out.

    Parameters
    ----------
    path : path
        The ONNX file; one float input ``(N, 3, size, size)``.
    size : int
        Side of the input in pixels.
    crop_scale : float
        Crop side over the longer side of the face box.
    bgr : bool
        Whether the network wants blue first.
    divisor : float
        What 0-255 pixels are divided by.
    live : int
        Index of the live class among the logits.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: int = 128,
        crop_scale: float = 1.5,
        bgr: bool = False,
        divisor: float = 255.0,
        live: int = 0,
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.crop_scale = crop_scale
        self.bgr = bgr
        self.divisor = divisor
        self.live = live
        self.network = open_classifier(path, size=size)
        self.widths: dict[str, int] = {}

    def opinion(self, view: Tensor) -> Opinion:
        """Judge ``(N, 3, size, size) float32`` RGB, 0-255."""
        ordered = view.flip(1) if self.bgr else view
        return Opinion(margin=live_margin(self.network.to(view.device)(ordered / self.divisor), live=self.live))

    def live_margin(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Log-odds of live for crops ``(N, size, size, 3)`` uint8 RGB, ``(N,) float32``."""
        with torch.inference_mode():
            margin = self.opinion(torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()).margin
        return margin.numpy().astype(np.float32)
