"""From graphs to what answers: a runtime's session, the detector, a network that does what its contract says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ratta.bundle import read_detector
from ratta.errors import BundleError, InputError
from ratta.inference import Corrected, Ensemble, Network, NumpySession, OrtSession, WebSession
from ratta.perception import BlazeFace

if TYPE_CHECKING:
    from ratta.bundle import Bundle
    from ratta.inference import Session as GraphSession
    from ratta.profile import CameraProfile

RUNTIMES = ("numpy", "onnxruntime", "web")


def open_graph(graph: bytes, *, runtime: str, threads: int = 1, name: str = "model.onnx") -> GraphSession:
    """Open a graph in one of the runtimes.

    Raises
    ------
    InputError
        If there is no such runtime.
    """
    if runtime == "onnxruntime":
        return OrtSession(graph, threads=threads, name=name)
    if runtime == "numpy":
        return NumpySession(graph)
    if runtime == "web":
        return WebSession(graph, name=name)
    raise InputError(f"runtime: expected one of {RUNTIMES}, got {runtime!r}")


def open_detector(*, runtime: str = "onnxruntime", threads: int = 1) -> BlazeFace:
    """Open the shipped face detector."""
    return BlazeFace(open_graph(read_detector(), runtime=runtime, threads=threads, name="blazeface.onnx"))


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
        members = [open_single(one, opened) for one, opened in zip(bundle.members, graph, strict=True)]
        calibration = bundle.calibration
        return Ensemble(members, temperature=calibration.temperature, bias=calibration.bias)
    return open_single(bundle, graph)


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


def open_single(bundle: Bundle, graph: GraphSession) -> Network:
    """Make the network of one model, and see that it does what the contract says; errors as in `open_network`."""
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
