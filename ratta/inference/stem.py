"""What the first convolution sees, before its normalisation: the evidence of camera and light, from one crop.

An early layer's channel moments carry sensor and illumination and little class. They are read from the folded graph by
running it no further than its first convolution and undoing the folding channel by channel: the folded output is
`z = gamma (y - mean) / sigma + beta` with bias `b = beta - gamma mean / sigma`, hence `y = (z - b) sigma / gamma`, and
the moments of `y` follow from those of `z`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ratta.errors import BundleError, InputError
from ratta.inference import layers
from ratta.inference.graph import Array, read_graph
from ratta.inference.numpy_session import NumpySession

BN_EPS = 1e-3
LAYER = "features.0"


class Moments(NamedTuple):
    """Mean and variance of each channel over the map, (C,) float32 each."""

    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]


class Stem:
    """The first convolution of the network.

    Parameters
    ----------
    graph : bytes
        The exported model, batch normalisation folded.
    affine : mapping of str to array
        Its unfolded batch normalisation; `features.0.gamma` and `features.0.var` are read.

    Raises
    ------
    BundleError
        If graph and normalisation do not belong together, or a channel's `gamma` is zero: folding has erased it.
    """

    def __init__(self, graph: bytes, affine: Mapping[str, Array]) -> None:
        parsed = read_graph(graph)
        self._bias = parsed.weight(f"{LAYER}.bias", (None,)).astype(np.float32)
        gamma, variance = (affine.get(f"{LAYER}.{part}", np.zeros(0)) for part in ("gamma", "var"))
        if gamma.shape != self._bias.shape or variance.shape != self._bias.shape or not gamma.all():
            expected = f"gamma, none of it zero, and var of shape {self._bias.shape}"
            raise BundleError(
                f"affine.{LAYER}: expected {expected}, got {gamma.shape}, {variance.shape}; export it again"
            )
        self._unfold = (np.sqrt(variance + BN_EPS) / gamma).astype(np.float32)
        found = [node.outputs[0] for node in parsed.nodes if f"{LAYER}.weight" in node.inputs]
        if len(found) != 1 or len(parsed.inputs) != 1:
            raise BundleError(f"graph: expected one input and one reader of {LAYER}.weight, got {len(found)} readers")
        self._input = parsed.inputs[0].name
        self._session = NumpySession(graph, outputs=(found[0],))

    def moments(self, pixels: npt.NDArray[np.uint8]) -> Moments:
        """Return the moments of one crop.

        Parameters
        ----------
        pixels : (S, S, 3) uint8
            RGB, as `Crop.pixels` has it.
        """
        if pixels.ndim != 3:
            raise InputError(f"stem.moments: expected one crop (S, S, 3), got {pixels.shape}")
        (z,) = self._session.run({self._input: pixels[None]})
        flat = z.transpose(0, 2, 3, 1)
        mean = layers.global_average(flat)[0]
        variance = layers.global_average(np.square(flat - mean))[0]
        return Moments((mean - self._bias) * self._unfold, variance * self._unfold**2)
