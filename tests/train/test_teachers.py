"""Teachers are read from their files, and their colour order and range matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ratta.errors import DataError
from ratta.train.teachers import OnnxTeacher, SilentFaceTeacher, live_margin


def test_live_margin_is_the_log_odds_of_the_softmax() -> None:
    """By hand: logits (0, 2, 0) give p = e^2 / (e^2 + 2)."""
    p = np.exp(2) / (np.exp(2) + 2)
    assert float(live_margin(torch.tensor([[0.0, 2.0, 0.0]]), live=1)) == pytest.approx(np.log(p / (1 - p)))


def test_teacher_takes_rgb_and_gives_its_network_bgr(silent_face_file: Path) -> None:
    """The house's RGB is swapped inside, undivided; a swap or a division by the caller changes the answer."""
    teacher = SilentFaceTeacher(silent_face_file)
    crops = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), dtype=np.uint8)
    bgr = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected = teacher.network(bgr).margin.numpy()
    np.testing.assert_allclose(teacher.live_margin(crops), expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(teacher.live_margin(crops[..., ::-1].copy()), expected, atol=1e-3)
    assert not np.allclose(teacher.live_margin(crops // 255), expected, atol=1e-3)


def test_teacher_shapes(silent_face_file: Path) -> None:
    """Three logits, a 128-d embedding, 512 pooled features and two maps."""
    out = SilentFaceTeacher(silent_face_file)(np.zeros((2, 80, 80, 3), np.uint8))
    assert out.logits.shape == (2, 3)
    assert out.embedding.shape == (2, 128)
    assert out.pooled.shape == (2, 512)
    assert out.middle.shape[2:] == (10, 10)
    assert out.last.shape[2:] == (5, 5)


def test_files_that_are_no_teachers_are_refused(tmp_path: Path) -> None:
    """Missing and foreign files give an error of ours that names the file."""
    with pytest.raises(DataError, match=r"nowhere\.pth: expected a Silent-Face state dictionary"):
        SilentFaceTeacher(tmp_path / "nowhere.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth: expected a Silent-Face state dictionary"):
        SilentFaceTeacher(tmp_path / "other.pth")
    pytest.importorskip("onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match=r"broken\.onnx: expected a readable ONNX file"):
        OnnxTeacher(tmp_path / "broken.onnx")


def test_onnx_teacher_follows_its_contract(tmp_path: Path) -> None:
    """Size, colour order, divisor and live class are the caller's: checked on a graph that averages channels."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper = onnx.helper
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    port = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [port("x", 1, ("N", 3, 8, 8))], [port("y", 1, ("N", 3))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "mean.onnx")
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 255
    rgb = OnnxTeacher(tmp_path / "mean.onnx", size=8, live=0)
    bgr = OnnxTeacher(tmp_path / "mean.onnx", size=8, live=0, bgr=True)
    assert float(rgb.live_margin(red)[0]) == pytest.approx(1 - np.log(2), abs=1e-5)
    assert float(bgr.live_margin(red)[0]) == pytest.approx(0 - np.log(1 + np.e), abs=1e-5)
