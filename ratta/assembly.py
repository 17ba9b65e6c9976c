"""From a verified bundle to what adapts: the source model, its reference, and the rooms with their settings."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from ratta.adaptation.adapter import Adapter
from ratta.adaptation.budget import Budget, allowance_for
from ratta.adaptation.drift import BettingDrift, EmaDrift
from ratta.adaptation.model import SourceModel
from ratta.adaptation.reference import Reference
from ratta.adaptation.settings import Adaptation, Drift
from ratta.adaptation.update import Stem
from ratta.errors import BundleError, InputError
from ratta.inference import Network
from ratta.inference.backward import Tail
from ratta.inference.graph import patched, read_graph
from ratta.records import logit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

    from ratta.bundle import Bundle
    from ratta.inference.session import Session
    from ratta.records import Reading

TIMED_RUNS = 5
LEAST_MS = 0.1
"""No run of a network takes less: a clock that says so is coarse."""


def make_source_model(bundle: Bundle, session: Session, *, open_graph: Callable[[bytes], Session]) -> SourceModel:
    """Put together the source model as adaptation sees it.

    Parameters
    ----------
    bundle : Bundle
    session : Session
        Runs the bundle's graph.
    open_graph : callable
        Opens another graph in the same runtime.
    """
    graph, calibration = read_graph(bundle.graph), bundle.calibration
    weight = graph.weight("features.0.weight", (None, 3, 3, 3))

    def network(of: Session) -> OneCrop:
        return OneCrop(Network(of, bundle.contract, temperature=calibration.temperature, bias=calibration.bias))

    def open_network(weights: Mapping[str, npt.NDArray[Any]]) -> OneCrop:
        return network(open_graph(patched(bundle.graph, weights)))

    return SourceModel(
        network=network(session),
        open_network=open_network,
        # The graph takes raw pixels: what the contract normalises by is part of its first weights.
        stem=Stem(weight, graph.weight("features.0.bias", (len(weight),)), mean=(0, 0, 0), std=(1, 1, 1)),
        tail=Tail(bundle.graph, bundle.affine),
        size=bundle.contract.size,
        temperature=calibration.temperature,
        bias=calibration.bias,
        threshold_logit=logit(calibration.live_threshold),
    )


class OneCrop:
    """A network of one crop as adaptation asks it: a crop for a crop, a map for a map."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def read(self, pixels: npt.NDArray[np.uint8]) -> Reading:
        """Read one `(S, S, 3)` uint8 RGB crop."""
        reading = self._network.read((pixels,))
        return replace(reading, logits=reading.logits[0], cut=reading.cut[0])


def make_adapter(
    bundle: Bundle, session: Session, settings: Adaptation, *, open_graph: Callable[[bytes], Session]
) -> Adapter:
    """Make what adapts a bundle's model; arguments as in `make_source_model`.

    Raises
    ------
    BundleError
        If the bundle was not calibrated for adaptation.
    """
    outputs = bundle.contract.outputs
    if len(bundle.contract.crops) > 1 or not outputs.split or outputs.head != "classifier":
        raise BundleError(
            f"{bundle.name}: expected a model of one crop whose tail can be trained, got another; load it without adapt"
        )
    try:
        reference = Reference.from_arrays(bundle.statistics)
    except InputError as error:
        raise BundleError(
            f"{bundle.name}: expected a model calibrated for adaptation, got one that is not ({error}); run "
            "`ratta calibrate`, or load it without adapt"
        ) from error
    betting = settings.drift is Drift.BETTING
    model, clock = make_source_model(bundle, session, open_graph=open_graph), settings.clock or _milliseconds
    inference_ms = settings.inference_ms or timed_inference_ms(model, clock)
    allowance = settings.time or allowance_for(inference_ms)
    return Adapter(
        model,
        reference,
        budget=Budget(watts=settings.watts, time=allowance, energy=settings.energy, policy=settings.power),
        clock=clock,
        inference_ms=inference_ms,
        shadow=settings.shadow,
        early=settings.early,
        late=settings.late,
        detector=BettingDrift(reference.drift, restarting=True) if betting else EmaDrift(reference.drift),
        on_event=settings.journal or (lambda _: None),
    )


def timed_inference_ms(model: SourceModel, clock: Callable[[], float]) -> float:
    """Time a few runs of the source network on a probe, after one that is not counted; the median.

    The budget's margin covers what runs differ by, and what it measures later corrects the rest.
    """
    model.network.read(model.probe)
    took = []
    for _ in range(TIMED_RUNS):
        began = clock()
        model.network.read(model.probe)
        took.append(clock() - began)
    return max(LEAST_MS, median(took))


def _milliseconds() -> float:
    return time.perf_counter() * 1e3
