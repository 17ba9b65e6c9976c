"""From a bundle to the network that answers: opened, and seen to do what its contract says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import BundleError, InputError
from ratta.inference import Ensemble, Network

if TYPE_CHECKING:
    from ratta.bundle import Bundle
    from ratta.inference import Session as GraphSession


def open_network(bundle: Bundle, graph: GraphSession | tuple[GraphSession, ...]) -> Network | Ensemble:
    """Make the network of a bundle, or of an ensemble's members, and see that it does what the contract says.

    Parameters
    ----------
    bundle : Bundle
    graph : Session, or tuple of Session
        Runs the bundle's graph; of an ensemble, one for each member.

    Raises
    ------
    BundleError
        If a graph does not do what its contract says.
    """
    if isinstance(graph, tuple):
        members = [_single(one, opened) for one, opened in zip(bundle.members, graph, strict=True)]
        calibration = bundle.calibration
        return Ensemble(members, temperature=calibration.temperature, bias=calibration.bias)
    return _single(bundle, graph)


def _single(bundle: Bundle, graph: GraphSession) -> Network:
    try:
        network = Network(
            graph, bundle.contract, temperature=bundle.calibration.temperature, bias=bundle.calibration.bias
        )
    except InputError as error:
        raise BundleError(f"model.onnx: {error}; wrap or export the model again") from error
    _check(bundle, network)
    return network


def _check(bundle: Bundle, network: Network) -> None:
    contract = bundle.contract
    size, rule = contract.size, contract.outputs
    grey = tuple(np.full((size, size, 3), 127, np.uint8) for _ in contract.crops)
    try:
        reading = network.read(grey)
    except (InputError, IndexError, ValueError, TypeError) as error:
        raise BundleError(
            f"model.onnx: expected a graph for ({size}, {size}, 3) uint8 crops, as the contract says: {error}"
        ) from error
    widths = (reading.logits.shape[-1], reading.embedding.size > 0, reading.cut.ndim == 4)
    expected = (len(rule.classes), bool(rule.embedding), bool(rule.split))
    if widths != expected or not math.isfinite(reading.live_logit):
        raise BundleError(
            f"model.onnx: expected {rule.classes} as {rule.scores!r}, features as {rule.embedding!r} and "
            f"{rule.split!r}, all finite, got shapes {reading.logits.shape}, {reading.embedding.shape} and "
            f"{reading.cut.shape} and a live_logit of {reading.live_logit}"
        )
