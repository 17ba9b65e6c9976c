"""Tiny stand-ins: a producer of random judged batches and a random Silent-Face state dictionary."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

NEEDED = ("torch", "cv2", "onnx", "onnxruntime")
collect_ignore_glob = [] if all(map(importlib.util.find_spec, NEEDED)) else ["test_*.py"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks on many threads only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def producer() -> Callable[..., object]:
    """Judged batches whose live margin is the brightness of the picture: something that can be learnt."""
    import torch

    from ratta.train.pool import JudgedBatch, judged_shapes

    def produce(rng: np.random.Generator, count: int) -> JudgedBatch:
        shapes = judged_shapes(count, size=32, views=2, extra=0)
        batch = JudgedBatch(**{name: torch.zeros(s, dtype=getattr(torch, kind)) for name, (s, kind) in shapes.items()})
        bright = rng.uniform(0, 255, count)
        shape = (count, 2, 32, 32, 3)
        batch.pixels.copy_(torch.from_numpy(rng.uniform(0.5, 1, shape) * bright[:, None, None, None, None]))
        batch.target.copy_(torch.from_numpy((bright - 128) / 32))
        batch.logits[..., 1] = batch.target[:, None]
        for name in ("embedding", "pooled", "middle", "last"):
            values = getattr(batch, name)
            values.copy_(torch.from_numpy(rng.standard_normal(values.shape)))
        return batch

    return produce


@pytest.fixture
def silent_face_file(tmp_path: Path) -> Path:
    """A state dictionary with the published names and small widths."""
    import torch

    generator = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}

    def unit(name: str, shape: tuple[int, ...], prelu: bool = True) -> None:
        state[f"module.{name}.conv.weight"] = torch.randn(shape, generator=generator) * 0.3
        state[f"module.{name}.bn.weight"] = torch.ones(shape[0])
        for part, fill in (("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            state[f"module.{name}.bn.{part}"] = torch.full((shape[0],), fill)
        state[f"module.{name}.bn.num_batches_tracked"] = torch.tensor(0)
        if prelu:
            state[f"module.{name}.prelu.weight"] = torch.full((shape[0],), 0.25)

    def bottleneck(name: str, inputs: int, inner: int, outputs: int) -> None:
        unit(f"{name}.conv", (inner, inputs, 1, 1))
        unit(f"{name}.conv_dw", (inner, 1, 3, 3))
        unit(f"{name}.project", (outputs, inner, 1, 1), prelu=False)

    unit("conv1", (4, 3, 3, 3))
    unit("conv2_dw", (4, 1, 3, 3))
    width = 4
    plan = (("conv_23", "conv_3", 2, 8), ("conv_34", "conv_4", 1, 128), ("conv_45", "conv_5", 1, 128))
    for down, chain, count, outputs in plan:
        bottleneck(down, width, 6, outputs)
        width = outputs
        for index in range(count):
            bottleneck(f"{chain}.model.{index}", width, 5, width)
    unit("conv_6_sep", (512, 128, 1, 1))
    unit("conv_6_dw", (512, 1, 5, 5), prelu=False)
    state["module.linear.weight"] = torch.randn((128, 512), generator=generator) * 0.05
    for part, fill in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        state[f"module.bn.{part}"] = torch.full((128,), fill)
    state["module.bn.num_batches_tracked"] = torch.tensor(0)
    state["module.prob.weight"] = torch.randn((3, 128), generator=generator) * 0.1
    path = tmp_path / "teacher.pth"
    torch.save(state, path)
    return path
