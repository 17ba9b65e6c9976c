"""Networks that `ratta train` makes, wrapped as if they were somebody else's."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("cv2")
torch = pytest.importorskip("torch")

import onnx  # noqa: E402

from ratta.contract import Contract, CropRule, InputRule, OutputRule  # noqa: E402
from ratta.inference import Network, OrtSession  # noqa: E402
from ratta.train.graph import build_graph  # noqa: E402
from ratta.train.network import make_network  # noqa: E402
from ratta.wrap import read_foreign  # noqa: E402


def settled(name):
    """A fresh network whose normalisations have seen noise: its logits are then no zeros."""
    torch.manual_seed(0)
    network = make_network(name).train()
    with torch.no_grad():
        for _ in range(8):
            network(torch.rand(8, 3, 64, 64))
        network.classifier[-1].weight.mul_(20)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [("mobilenet-v2", 80, 1280), ("efficientnet-b0", 160, 1280), ("mobilenet-v3-small", 96, 64)],
)
def test_the_graph_is_read_and_the_scores_are_the_networks(name, size, width, tmp_path):
    """Size, layout and type off the input; the feature before the last layer; logits as torch gives them."""
    network = settled(name)
    onnx.save(build_graph(network, size=size, std=255.0), tmp_path / "net.onnx")
    foreign = read_foreign(tmp_path / "net.onnx")
    assert (size, "NHWC", "uint8") == (foreign.size, foreign.layout, foreign.dtype)
    scores = foreign.scores("logits")
    embedding = foreign.embedding(scores)
    contract = Contract(
        input=InputRule(name=foreign.input, layout=foreign.layout, dtype=foreign.dtype),
        crops=(CropRule(size=size, scale=2.7),),
        outputs=OutputRule(scores=scores, embedding=embedding),
    )
    crop = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    seen = Network(OrtSession(foreign.with_outputs(scores, embedding)), contract).read((crop,))
    with torch.no_grad():
        expected = network(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255).logits.numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(seen.logits, expected, atol=1e-3)
    assert width == seen.embedding.size
