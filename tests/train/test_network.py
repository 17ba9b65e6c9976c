"""The student has the published layout, and its export says what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ratta.errors import TrainingError
from ratta.train.export import MAX_BYTES, affine_parts, export_graph, stored_name
from ratta.train.network import MobileNetV3Small, normalise


def random_network(seed: int) -> MobileNetV3Small:
    """A network whose normalisations are not the identity."""
    torch.manual_seed(seed)
    network = MobileNetV3Small()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def test_parameter_counts_and_names() -> None:
    """964,066 parameters, 927,008 of them features, 34 normalisations, torchvision's names."""
    network = MobileNetV3Small()
    names = {name for name, _ in network.named_parameters()}
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert sum(p.numel() for p in network.parameters()) == 964_066
    assert sum(p.numel() for p in network.features.parameters()) == 927_008
    assert len(norms) == 34
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}
    assert {"features.0.0.weight", "features.1.block.1.fc1.bias", "features.12.1.weight"} <= names
    assert {"classifier.0.weight", "classifier.2.bias"} <= names


def test_outputs_have_the_promised_shapes() -> None:
    """Two logits, 576 features, for any input side."""
    out = MobileNetV3Small().eval()(normalise(torch.zeros((2, 64, 64, 3), dtype=torch.uint8)))
    assert out.logits.shape == (2, 2)
    assert out.embedding.shape == (2, 576)
    assert out.hidden.shape == (2, 64)


@pytest.mark.parametrize("size", [64, 96])
def test_export_agrees_with_torch_and_is_small_enough(size: int, tmp_path: Path) -> None:
    """The folded graph gives torch's logits, embedding and cut on uint8 crops, one at a time or many."""
    onnxruntime = pytest.importorskip("onnxruntime")
    network = random_network(size)
    crops = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    report = export_graph(network, size=size, path=tmp_path / "model.onnx", crops=crops)
    assert report.max_deviation < 1e-3
    assert report.crops == 5
    assert report.size_bytes == (tmp_path / "model.onnx").stat().st_size <= MAX_BYTES == 3_840_000
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    logits, embedding, cut = session.run(["logits", "embedding", "cut"], {"pixels": crops[:1]})
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(crops[:1]))
        expected = network(pixels)
        before_tail = network.features[:10](pixels)
    np.testing.assert_allclose(logits, expected.logits, atol=1e-3)
    np.testing.assert_allclose(embedding, expected.embedding, atol=1e-3)
    np.testing.assert_allclose(cut, before_tail, atol=1e-3)


def test_graph_and_affine_parts_refold(tmp_path: Path) -> None:
    """Folding the stored affine parts into the raw convolution gives the stored weights back."""
    network = random_network(3)
    export_graph(network, size=64, path=tmp_path / "model.onnx")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "model.onnx").graph.initializer}
    parts = np.load(tmp_path / "affine.npz", allow_pickle=False)
    name = "features.10.block.1"
    scale = parts[f"{name}.gamma"] / np.sqrt(parts[f"{name}.var"] + 1e-3)
    raw = network.features[10].block[1][0].weight.detach().numpy()
    np.testing.assert_allclose(weights[f"{name}.weight"], raw * scale[:, None, None, None], rtol=1e-5)
    bias = parts[f"{name}.beta"] - parts[f"{name}.mean"] * scale
    np.testing.assert_allclose(weights[f"{name}.bias"], bias, rtol=1e-4, atol=1e-6)
    assert len(affine_parts(network)) == 4 * 34 == len(parts.files)
    assert all(t.raw_data for t in onnx.load(tmp_path / "model.onnx").graph.initializer)


def test_names_of_the_tail_are_kept_and_of_the_middle_shortened() -> None:
    """Short names are unique and only used where nothing is adapted."""
    names = [n for n, _ in MobileNetV3Small().named_parameters()]
    assert stored_name("features.0.weight") == "features.0.weight"
    assert stored_name("features.11.block.2.fc2.bias") == "features.11.block.2.fc2.bias"
    assert stored_name("features.3.block.0.weight") == "f3.0.w"
    assert len({stored_name(n) for n in names}) == len(names)


def test_a_mean_that_cannot_be_folded_is_refused(tmp_path: Path) -> None:
    """Padding is zero, so only a zero mean folds exactly."""
    with pytest.raises(TrainingError, match=r"expected mean 0, got 0\.5"):
        export_graph(MobileNetV3Small(), size=64, mean=0.5, path=tmp_path / "model.onnx")
