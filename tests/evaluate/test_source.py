"""From a bundle back to a torch module: unfolding is exact, and a wrong bundle is refused."""

import numpy as np
import pytest

from ratta.bundle import Calibration, write_bundle
from ratta.contract import Contract
from ratta.errors import BundleError
from ratta.evaluate.methods import FrameBatch
from ratta.evaluate.source import torch_source

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from ratta.train.export import affine_parts, build_graph, stored_name  # noqa: E402
from ratta.train.network import MobileNetV3Small  # noqa: E402

SIZE = 64


@pytest.fixture(scope="module")
def network():
    """A network with statistics and affine values that are not the initial ones."""
    torch.manual_seed(0)
    network = MobileNetV3Small().eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2.0)
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def make_bundle(network, tmp_path_factory):
    """Export the network, with other affine values than its own if asked for."""

    def make(**changed):
        return write_bundle(
            tmp_path_factory.mktemp("bundle"),
            name="random",
            version="0",
            licence="none",
            contract=Contract.native(size=SIZE),
            calibration=Calibration(
                temperature=2.0, bias=0.5, live_threshold=0.5, spoof_threshold=0.5, origin="a test"
            ),
            graph=build_graph(network, size=SIZE, std=255.0).SerializeToString(),
            affine={**affine_parts(network), **changed},
            statistics={},
            card="",
        )

    return make


def test_unfolded_is_the_network(network, make_bundle) -> None:
    """Every weight comes back, so that gradients and statistics mean what they meant in training."""
    found = torch_source(make_bundle(), MobileNetV3Small(), stored_name=stored_name).module.state_dict()
    for name, expected in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)


def test_scores_are_the_bundles(network, make_bundle) -> None:
    """Normalisation and calibration are the bundle's."""
    source = torch_source(make_bundle(), MobileNetV3Small(), stored_name=stored_name)
    pixels = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    batch = FrameBatch(pixels, np.zeros(3), np.zeros(3, np.int64))
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).logits.numpy()
        found = source.live_scores(source.module(source.inputs(batch)).logits)
    margin = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-(margin / 2 + 0.5))), rtol=1e-4)


def test_altered_affine_is_refused(network, make_bundle) -> None:
    """Affine values that are not those folded into the graph show as a disagreement."""
    name = "features.12.beta"
    bundle = make_bundle(**{name: affine_parts(network)[name] + 10})
    with pytest.raises(BundleError, match=r"expected torch and the graph within 0\.01 logits"):
        torch_source(bundle, MobileNetV3Small(), stored_name=stored_name)


def test_foreign_graph_is_refused(make_bundle) -> None:
    """A weight that the layout needs and the graph lacks is named."""
    with pytest.raises(BundleError, match="expected a weight 'other' for features"):
        torch_source(make_bundle(), MobileNetV3Small(), stored_name=lambda _: "other")
