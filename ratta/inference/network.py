"""From a crop to a reading: one run of the graph, one calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratta.records import Reading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ratta.inference.session import Session


class Network:
    """The liveness network with its calibration.

    Parameters
    ----------
    session : Session
        Runs the graph `pixels (N, S, S, 3) uint8 -> logits (N, 2), embedding (N, 576), cut (N, 96, h, w)`.
    temperature, bias : float
        `live_logit = (logit_live - logit_spoof) / temperature + bias` (temperature scaling, Guo et al. 2017, with
        a bias for the change of class balance).
    """

    def __init__(self, session: Session, *, temperature: float, bias: float) -> None:
        self.session = session
        self.temperature = temperature
        self.bias = bias
        self._input = session.inputs[0]

    def read(self, pixels: npt.NDArray[np.uint8]) -> Reading:
        """Run the network on one `(S, S, 3)` uint8 RGB crop."""
        logits, embedding, cut = self.session.run({self._input: pixels[None]})
        margin = float(logits[0, 1]) - float(logits[0, 0])
        return Reading(logits[0], embedding[0], cut[0], margin / self.temperature + self.bias)
