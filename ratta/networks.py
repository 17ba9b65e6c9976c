"""From a bundle to the network that answers: opened, and seen to do what its contract says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import BundleError, InputError
from ratta.inference import Corrected, Ensemble, Network

if TYPE_CHECKING:
    from ratta.bundle import Bundle
    from ratta.inference import Session as GraphSession
    from ratta.profile import CameraProfile


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


def corrected(
    network: Network | Ensemble, profile: CameraProfile | None, *, bundle: Bundle
) -> Network | Ensemble | Corrected:
    """Put a labelled profile's head behind a network; of a live profile, the network as it is.

    Raises
    ------
    BundleError
        If the head does not fit the network's embedding.
    """
    if profile is None or not profile.head:
        return network
    weight, offset = profile.head.get("head.weight"), profile.head.get("head.offset")
    if weight is None or offset is None or weight.ndim != 1 or offset.shape != ():
        raise BundleError("profile: expected head.weight (D,) and head.offset, got others; calibrate again")
    if not (np.isfinite(weight).all() and np.isfinite(offset)):
        raise BundleError("profile: expected a finite head, got nan or infinity; calibrate again")
    grey = tuple(np.full((rule.size, rule.size, 3), 127, np.uint8) for rule in bundle.crops)
    width = network.read(grey).embedding.size
    if width != len(weight):
        raise BundleError(
            f"profile: expected a head for an embedding of {width} numbers, got one for {len(weight)}; make it with "
            "the crops that the engine uses"
        )
    return Corrected(network, weight.astype(np.float32), float(offset))


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
