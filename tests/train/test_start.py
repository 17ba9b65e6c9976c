"""A start from folded features: the function of the file, with normalisation that can be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ratta.errors import DataError
from ratta.train.network import MobileNetV3Small
from ratta.train.start import from_folded_features


@pytest.fixture
def folded(tmp_path: Path) -> Path:
    """Random convolutions under torchvision's names."""
    rng, arrays = np.random.default_rng(0), {}
    for name, module in MobileNetV3Small().features.named_modules(prefix="features"):
        if isinstance(module, nn.Conv2d):
            arrays[f"{name}.weight"] = rng.normal(0, 0.3, module.weight.shape).astype(np.float32)
            arrays[f"{name}.bias"] = rng.normal(0, 0.1, module.weight.shape[0]).astype(np.float32)
    np.savez(tmp_path / "folded.npz", **arrays)
    return tmp_path / "folded.npz"


def test_the_first_layer_says_what_the_file_says_of_pixels_around_zero(folded: Path) -> None:
    """Away from the borders: the file's convolution of pixels in [-1, 1] is the network's of pixels in [0, 1]."""
    pixels = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = from_folded_features(folded, pixels).eval()
    x = pixels.permute(0, 3, 1, 2).float() / 255
    with np.load(folded) as archive:
        weight, bias = (torch.from_numpy(archive[f"features.0.0.{part}"]) for part in ("weight", "bias"))
    expected = functional.conv2d(2 * x - 1, weight, bias, stride=2, padding=1)
    found = network.features[0][1](network.features[0][0](x))
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=1e-4)


def test_normalisation_knows_its_inputs(folded: Path) -> None:
    """On the pictures it was measured on, every normalisation's statistics are those of its input."""
    pixels = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = from_folded_features(folded, pixels).eval()
    seen: list[tuple[nn.BatchNorm2d, torch.Tensor]] = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda one, inputs: seen.append((one, inputs[0])))
    with torch.no_grad():
        network(pixels.permute(0, 3, 1, 2).float() / 255)
    assert len(seen) == 34
    for norm, x in seen:
        scale = x.std() + 1e-3
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert float((norm.running_mean - x.mean((0, 2, 3))).abs().max() / scale) < 1e-2
        assert float(norm.running_var.min()) >= 0


def test_features_of_another_network_are_refused(tmp_path: Path) -> None:
    """A missing convolution is named, a file that is none too."""
    np.savez(tmp_path / "other.npz", **{"features.0.0.weight": np.zeros((16, 3, 3, 3), np.float32)})
    pixels = torch.zeros((1, 32, 32, 3), dtype=torch.uint8)
    with pytest.raises(DataError, match=r"other\.npz: expected folded features"):
        from_folded_features(tmp_path / "other.npz", pixels)
    with pytest.raises(DataError, match="expected folded features"):
        from_folded_features(tmp_path / "absent.npz", pixels)
