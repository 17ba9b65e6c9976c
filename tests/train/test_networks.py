"""Three networks in published layouts, which all give the same record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ratta.errors import InputError
from ratta.train.export import export_graph
from ratta.train.network import NETWORKS, StudentOutput, make_network
from ratta.train.network.units import StochasticDepth


# Published for 1000 classes: 3,504,872 and 5,288,548 parameters; two classes save 998 * 1281 of them.
@pytest.mark.parametrize(
    ("name", "parameters", "entries", "inner"),
    [
        ("mobilenet-v3-small", 964_066, 244, "features.4.block.2.fc1.bias"),
        ("mobilenet-v2", 3_504_872 - 998 * 1281, 314, "features.2.conv.3.running_var"),
        ("efficientnet-b0", 5_288_548 - 998 * 1281, 360, "features.4.2.block.3.1.weight"),
    ],
)
def test_published_sizes_and_names(name: str, parameters: int, entries: int, inner: str) -> None:
    """As many parameters as published, and torchvision's names."""
    network = make_network(name)
    assert parameters == sum(p.numel() for p in network.parameters())
    assert entries == len(network.state_dict())
    assert inner in network.state_dict()


@pytest.mark.parametrize("name", NETWORKS)
def test_one_record(name: str) -> None:
    """Logits, embedding and two maps, of the widths that the network announces."""
    network = make_network(name).eval()
    out = network(torch.rand(2, 3, 64, 64))
    assert isinstance(out, StudentOutput)
    assert (2, 2) == out.logits.shape
    assert (2, network.hidden_width) == out.hidden.shape
    assert (2, network.last_width) == out.embedding.shape
    assert (2, network.middle_width, 4, 4) == out.middle.shape
    assert (2, network.last_width, 2, 2) == out.last.shape


def test_unknown_network() -> None:
    """The names are listed."""
    with pytest.raises(
        InputError, match="expected one of mobilenet-v3-small, mobilenet-v2, efficientnet-b0, got 'vgg'"
    ):
        make_network("vgg")


def test_stochastic_depth_keeps_the_mean() -> None:
    """A branch is dropped whole, scaled up where it stays, and untouched outside of training."""
    torch.manual_seed(0)
    layer = StochasticDepth(0.5)
    found = layer(torch.ones(400, 1, 2, 2))
    assert {0.0, 2.0} == set(found.unique().tolist())
    assert torch.equal(found[:, 0, 0, 0], found[:, 0, 1, 1])
    assert 1.0 == pytest.approx(float(found.mean()), abs=0.15)
    assert torch.equal(torch.ones(4, 1, 1, 1), layer.eval()(torch.ones(4, 1, 1, 1)))


@pytest.mark.parametrize("name", ["mobilenet-v2", "efficientnet-b0"])
def test_export_agrees_with_torch(name: str, tmp_path: Path) -> None:
    """Logits and embedding of the folded graph are torch's; nothing but the graph is written."""
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = make_network(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.5)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    report = export_graph(network, size=64, path=tmp_path / "model.onnx", crops=crops)
    assert report.max_deviation < 1e-3
    assert ["model.onnx"] == [path.name for path in tmp_path.iterdir()]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    embedding = session.run(["embedding"], {"pixels": crops})[0]
    with torch.inference_mode():
        expected = network(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255).embedding
    np.testing.assert_allclose(embedding, expected, atol=1e-3)
