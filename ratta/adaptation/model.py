"""The source model as adaptation sees it: what it can do, and how to make another network of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.adaptation.update.tone import ToneCorrection
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from ratta.adaptation.guard import Snapshot
    from ratta.adaptation.reference import Network, Pixels
    from ratta.adaptation.update import Stem, Tail
    from ratta.records import Reading

PROBE_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceModel:
    """The shipped model with everything that adapts it.

    Attributes
    ----------
    network : Network
        The frozen source.
    open_network : callable
        From new weights, by their names in the graph, to a network with them; takes milliseconds.
    stem : Stem
    tail : Tail
    size : int
        Side of a crop in pixels.
    temperature, bias : float
        `live_logit = (logit_live - logit_spoof) / temperature + bias`.
    threshold_logit : float
        From which a frame counts as live, in log-odds; frozen.
    """

    network: Network
    open_network: Callable[[Mapping[str, npt.NDArray[np.float32]]], Network]
    stem: Stem
    tail: Tail
    size: int
    temperature: float
    bias: float
    threshold_logit: float

    @property
    def probe(self) -> Pixels:
        """A grey crop, for a network that must answer before it may be used."""
        return np.full((self.size, self.size, 3), 127, np.uint8)

    def parameters(self, late: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """All of the tail's parameters where these differ from the source's."""
        return {**self.tail.source, **late}

    def live_logit(self, logits: npt.NDArray[Any]) -> float:
        """Calibrated log-odds of live from the two logits."""
        return float(logits[1] - logits[0]) / self.temperature + self.bias

    def open(self, snapshot: Snapshot, probe: Pixels) -> Network:
        """Open a network with a snapshot in force; it must have answered before anyone may use it.

        Raises
        ------
        InputError
            If it answers the probe with no number, or not as the tail says it must.
        """
        tone = snapshot.early if isinstance(snapshot.early, ToneCorrection) else None
        weights = self.stem.fold(None if isinstance(snapshot.early, ToneCorrection) else snapshot.early)
        if snapshot.late:
            weights |= self.tail.fold(self.parameters(snapshot.late))
        if not weights:
            return self.network if tone is None else TonedNetwork(self.network, tone)
        network = self.open_network(weights)
        reading = network.read(probe)
        logits = self.tail.forward(reading.cut[None], self.parameters(snapshot.late)).logits[0]
        expected = self.live_logit(logits)
        if not abs(reading.live_logit - expected) <= PROBE_TOLERANCE * (1 + abs(expected)) or math.isinf(expected):
            raise InputError(
                f"adapted network: expected {expected} log-odds on the probe, got {reading.live_logit}; it is dropped"
            )
        return network if tone is None else TonedNetwork(network, tone)


class TonedNetwork:
    """A network before which a correction of tone stands.

    Parameters
    ----------
    network : Network
    tone : ToneCorrection
    """

    def __init__(self, network: Network, tone: ToneCorrection) -> None:
        self.network = network
        self.tone = tone

    def read(self, pixels: Pixels) -> Reading:
        """Read one crop under the correction; to be live it must be surer by the penalty."""
        reading = self.network.read(self.tone.apply(pixels))
        return replace(reading, live_logit=reading.live_logit - self.tone.penalty)
