"""From a bundle to the torch module that the baselines adapt: the same network, the same weights, unfolded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import BundleError, MissingExtraError
from ratta.inference.graph import read_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from torch import nn

    from ratta.bundle import Bundle
    from ratta.evaluate.methods.torch_source import TorchSource


def torch_source(bundle: Bundle, module: nn.Module, *, stored_name: Callable[[str], str]) -> TorchSource:
    """Fill a torch module with a bundle's weights, undoing the folding of batch normalisation.

    A folded weight is `w gamma / sqrt(var + eps)`, so the unfolded one is had by dividing, and the first layer's is
    multiplied by the pixel scale that was folded into it. A channel whose gamma is 0 has lost its weight and is
    constant either way. The result is compared with the graph on random crops.

    Parameters
    ----------
    bundle : Bundle
    module : nn.Module
        The network's layout with `features.N...` units of convolution, normalisation and activation. Changed.
    stored_name : callable
        From a layer's parameter name to its name in the graph.

    Raises
    ------
    BundleError
        If a weight is missing, or the filled module and the graph disagree.
    """
    try:
        import torch

        from ratta.evaluate.methods.torch_source import TorchSource
    except ModuleNotFoundError as error:
        raise MissingExtraError("ratta.evaluate needs torch: pip install 'ratta[train]'") from error
    state = module.state_dict()
    weights = {name: one.array for name, one in read_graph(bundle.graph).initializers.items()}
    filled = {name: _value(name, state, weights, bundle, stored_name) for name in state}
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in filled.items()})
    calibration, contract = bundle.calibration, bundle.contract
    source = TorchSource(
        module=module.eval(),
        mean=contract.input.mean,
        std=contract.input.std,
        temperature=calibration.temperature,
        bias=calibration.bias,
        bundle=bundle,
    )
    _check(source, bundle)
    return source


def _value(
    name: str,
    state: dict[str, object],
    weights: dict[str, npt.NDArray[np.float32]],
    bundle: Bundle,
    stored_name: Callable[[str], str],
) -> npt.NDArray[np.generic]:
    owner, _, part = name.rpartition(".")
    unit, _, place = owner.rpartition(".")
    folded = f"{unit}.gamma" in bundle.affine
    if folded and place == "1":
        known = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}
        return np.array(0) if part == "num_batches_tracked" else bundle.affine[f"{unit}.{known[part]}"]
    stored = stored_name(f"{unit}.{part}" if folded else name)
    if stored not in weights:
        raise BundleError(f"model.onnx: expected a weight {stored!r} for {name}, got none; export the model again")
    if not folded:
        return weights[stored]
    gamma, var = (bundle.affine[f"{unit}.{p}"].astype(np.float64) for p in ("gamma", "var"))
    back = np.divide(np.sqrt(var + 1e-3), gamma, out=np.zeros_like(gamma), where=np.abs(gamma) > 1e-12)
    scale = np.array(bundle.contract.input.std) if name == next(iter(state)) else np.ones(1)
    return (weights[stored] * back[:, None, None, None] * scale[:, None, None]).astype(np.float32)


def _check(source: TorchSource, bundle: Bundle) -> None:
    import torch

    from ratta.evaluate.methods.method import FrameBatch
    from ratta.inference import OrtSession

    size = bundle.contract.size
    pixels = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        found = source.module(source.inputs(FrameBatch(pixels, np.zeros(4), np.zeros(4, np.int64)))).logits.numpy()
    session = OrtSession(bundle.graph, threads=1)
    expected = np.concatenate([session.run({session.inputs[0]: one[None]})[0] for one in pixels])
    worst = float(np.abs(found - expected).max())
    if not worst < 1e-2:
        raise BundleError(f"model: expected torch and the graph within 0.01 logits, got {worst:.3g}; report this")
