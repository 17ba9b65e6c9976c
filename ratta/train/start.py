"""A start from features that others have learnt: MobileNetV3-Small of ImageNet, its normalisation folded away.

The file holds each convolution's ``.weight`` and ``.bias`` under torchvision's names. The network expects pixels in
[-1, 1] and ours are in [0, 1]: the first convolution is doubled, its bias lowered by the sum of its weights. To learn
with batch normalisation, the folded network is run over pictures and each normalisation is given the mean and variance
of its convolution, with weight and bias such that the function stays as it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ratta.errors import DataError
from ratta.train.network import MobileNetV3Small, normalise

STATISTICS_PICTURES = 384


def from_folded_features(path: str | Path, pixels: Tensor) -> MobileNetV3Small:
    """Give a fresh network with the features of a file.

    Parameters
    ----------
    path : path
        ``.npz`` of folded convolutions.
    pixels : Tensor
        ``(N, S, S, 3) uint8`` pictures that the normalisation is measured on; the first 384 are used.

    Raises
    ------
    DataError
        If the file is missing, or holds another network.
    """
    network = MobileNetV3Small()
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive.files}
        _fill(network, arrays)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{Path(path).name}: expected folded features of MobileNetV3-Small, got {type(error).__name__}: {error}"
        ) from error
    _unfold(network, normalise(pixels[:STATISTICS_PICTURES]))
    return network


@torch.no_grad()
def _fill(network: MobileNetV3Small, arrays: dict[str, Tensor]) -> None:
    """Put weights into convolutions, and folded biases into normalisations that do nothing else."""
    for name, module in network.features.named_modules(prefix="features"):
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(arrays[f"{name}.weight"].view_as(module.weight))
            if module.bias is not None:
                module.bias.copy_(arrays[f"{name}.bias"])
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
            module.bias.copy_(arrays[f"{name.rpartition('.')[0]}.0.bias"])
    first, norm = network.features[0][0], network.features[0][1]  # type: ignore[index]
    norm.bias -= first.weight.sum((1, 2, 3))
    first.weight *= 2


@torch.no_grad()
def _unfold(network: MobileNetV3Small, pictures: Tensor) -> None:
    """Give every normalisation the mean and variance of its input, and undo that in its weight and bias."""
    found: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        x = inputs[0].double()
        found.setdefault(module, []).append(torch.stack((x.mean((0, 2, 3)), x.square().mean((0, 2, 3)))) * len(x))

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    network.eval()
    for chunk in torch.split(pictures, 32):
        network(chunk)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = torch.stack(found[norm]).sum(0) / len(pictures)
        var = (square - mean.square()).clamp_min(0)
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.add_(mean)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(var)  # type: ignore[union-attr]
