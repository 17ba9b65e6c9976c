"""The adapted tail of the network: forward from the cut, and exact gradients of what adaptation may move, in NumPy.

One layer is one function. It takes its input and the parameters in force, and returns its output and a *pull*: the
vector-Jacobian product of that very call, which takes the gradient of the output, adds the gradients of its parameters
to a dict and returns the gradient of its input. Forward and backward of a layer thus stand side by side and share what
was saved; a network is layers in turn, and its backward pass their pulls in reverse.

Batch normalisation is unfolded and its statistics are frozen. A convolution keeps its weights over the source's
`gamma`, so that up to a constant it yields the standardised feature `y = (conv(x) - mean) / sigma` by itself, and

    z = gamma y + beta,    dgamma = sum(dz y),    dbeta = sum(dz),    dy = gamma dz

(Ioffe and Szegedy 2015). The folded graph tells all of it: its weight is `gamma W / sigma` and its bias
`beta - gamma mean / sigma`, so both over `gamma`, less `beta / gamma`, are the standardised convolution. A `gamma`
nearer to zero than `GAMMA_FLOOR` is moved out to it and the channel's weights shrink to match: the function stays the
same, and a channel that was nearly off learns slowly instead of exploding.

Maps are (N, H, W, C). A few frames at once share the cost of a call; memory grows with N (`docs/inference.md`), so many
frames are run in a loop that accumulates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ratta.errors import BundleError, InputError
from ratta.inference import layers
from ratta.inference.graph import Array, Graph, read_graph

Parameters = Mapping[str, Array]
Gradients = dict[str, Array]
Pull = Callable[[Array, Gradients], Array]
Affine = tuple[Array, Array]  # weight, bias
Layer = Callable[[Array, Parameters], tuple[Array, Pull]]

GAMMA_FLOOR = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Intermediate values of some frames in the tail.

    Attributes
    ----------
    logits : (N, 2)
        Spoof, live.
    embedding : (N, 576)
        The pooled feature.
    hidden : (N, 64)
        The feature between the head's two linear maps.
    pull : callable
        The backward pass of these frames, for `Tail.backward`.
    """

    logits: Array
    embedding: Array
    hidden: Array
    pull: Pull


class Tail:
    """`features.10` to `features.12` and the head: from the cut to the logits, and back.

    Parameters
    ----------
    graph : bytes
        The exported model, batch normalisation folded.
    affine : mapping of str to array
        Its unfolded batch normalisation: `<layer>.gamma` and `<layer>.beta` of the source.
    dtype : dtype
        float32 in service; float64 to check gradients.

    Raises
    ------
    BundleError
        If graph and normalisation do not belong together, or the layout is another one.

    Attributes
    ----------
    cut : tuple of int
        Shape of one frame's cut feature, (C, H, W).
    source : mapping of str to array
        What adaptation may move, as the source model has it: `gamma` and `beta` of the seven normalisations, `weight`
        and `bias` of the two linear maps. Read-only.
    """

    def __init__(self, graph: bytes, affine: Parameters, *, dtype: npt.DTypeLike = np.float32) -> None:
        weights = _Weights(read_graph(graph), affine, dtype)
        self.dtype = np.dtype(dtype)
        self._features = (
            weights.residual("features.10.block", lowest=True),
            weights.residual("features.11.block"),
            *weights.pointwise("features.12"),
            hardswish,
            mean,
        )
        self._hidden = (weights.linear("classifier.0"), hardswish)
        self._logits = weights.linear("classifier.2")
        self._convolutions = weights.convolutions
        self.cut = weights.cut
        self.source: Parameters = weights.source

    def forward(self, cuts: Array, parameters: Parameters) -> Trace:
        """Run frames from the cut.

        Parameters
        ----------
        cuts : (N, C, H, W)
            The inputs of `features.10`, as the graph's output `cut` has them.
        parameters : mapping of str to array
            Under the names and in the shapes of `source`.
        """
        if cuts.ndim != 4 or cuts.shape[1:] != self.cut:
            raise InputError(f"tail.forward: expected cut features {('N', *self.cut)}, got {cuts.shape}")
        x = np.ascontiguousarray(cuts.transpose(0, 2, 3, 1), self.dtype)
        embedding, to_cut = in_turn(x, parameters, stages=self._features)
        hidden, to_embedding = in_turn(embedding, parameters, stages=self._hidden)
        logits, to_hidden = self._logits(hidden, parameters)

        def pull(dlogits: Array, gradients: Gradients) -> Array:
            return to_cut(to_embedding(to_hidden(dlogits, gradients), gradients), gradients)

        return Trace(logits, embedding, hidden, pull)

    def backward(self, trace: Trace, dlogits: Array, into: Gradients | None = None) -> Gradients:
        """Return the gradient of a loss, summed over the frames, with respect to every parameter.

        Parameters
        ----------
        trace : Trace
            From `forward`.
        dlogits : (N, 2)
            Gradient of the loss with respect to the logits.
        into : dict of str to array, optional
            Gradients of earlier frames; this frame's are added to them in place.

        Returns
        -------
        dict of str to array
            Under the names and in the shapes of `source`; `into` itself where it was given.
        """
        gradients: Gradients = {} if into is None else into
        trace.pull(np.asarray(dlogits, self.dtype), gradients)
        return gradients

    def fold(self, parameters: Parameters) -> dict[str, npt.NDArray[np.float32]]:
        """Return the graph's initializers with these parameters in force, for `ratta.inference.graph.patched`."""
        folded = {name: value for name, value in parameters.items() if name.startswith("classifier.")}
        for name, (weight, offset) in self._convolutions.items():
            gamma, beta = parameters[f"{name}.gamma"], parameters[f"{name}.beta"]
            folded[f"{name}.weight"] = weight * gamma[:, None, None, None]
            folded[f"{name}.bias"] = beta + gamma * offset
        return {name: np.ascontiguousarray(value, np.float32) for name, value in folded.items()}


def in_turn(x: Array, parameters: Parameters, *, stages: Sequence[Layer]) -> tuple[Array, Pull]:
    """Run layers one after another; the pull is theirs in reverse."""
    pulls = []
    for stage in stages:
        x, pull_stage = stage(x, parameters)
        pulls.append(pull_stage)

    def pull(dy: Array, gradients: Gradients) -> Array:
        for pull_stage in reversed(pulls):
            dy = pull_stage(dy, gradients)
        return dy

    return x, pull


def shortcut(x: Array, parameters: Parameters, *, stages: Sequence[Layer]) -> tuple[Array, Pull]:
    """`x + f(x)`, where `f` is some layers in turn."""
    y, pull_inner = in_turn(x, parameters, stages=stages)

    def pull(dy: Array, gradients: Gradients) -> Array:
        return pull_inner(dy, gradients) + dy

    return y + x, pull


def pointwise(x: Array, _: Parameters, *, weight: Array, lowest: bool = False) -> tuple[Array, Pull]:
    """Convolve with a frozen (D, C) kernel of size 1; the `lowest` layer of all pulls nothing: nobody asks."""
    y = x.reshape(-1, x.shape[-1]) @ weight.T

    def pull(dy: Array, _: Gradients) -> Array:
        return np.zeros_like(x) if lowest else (dy.reshape(-1, dy.shape[-1]) @ weight).reshape(x.shape)

    return y.reshape(*x.shape[:-1], -1), pull


def depthwise(x: Array, _: Parameters, *, kernel: Array) -> tuple[Array, Pull]:
    """Convolve every channel with its own frozen kernel, (K, K, C) with K odd, and keep the map's size.

    The pull is the same convolution with the kernel turned by 180 degrees.
    """
    pads = (len(kernel) // 2,) * 4

    def pull(dy: Array, _: Gradients) -> Array:
        return layers.depthwise(dy, kernel[::-1, ::-1], pads=pads)

    return layers.depthwise(x, kernel, pads=pads), pull


def all_to_all(x: Array, _: Parameters, *, transfer: Array) -> tuple[Array, Pull]:
    """Compute `depthwise` as `transfer` (inputs, outputs, C): faster where the map is no larger than its kernel."""

    def pull(dy: Array, _: Gradients) -> Array:
        dx: Array = np.einsum("ioc,noc->nic", transfer, dy.reshape(flat))
        return dx.reshape(x.shape)

    flat = (len(x), -1, x.shape[-1])
    y: Array = np.einsum("ioc,nic->noc", transfer, x.reshape(flat))
    return y.reshape(x.shape), pull


def normalisation(x: Array, parameters: Parameters, *, name: str, offset: Array) -> tuple[Array, Pull]:
    """`gamma (x + offset) + beta`, where `x + offset` is the standardised feature."""
    gamma, beta = parameters[f"{name}.gamma"], parameters[f"{name}.beta"]
    z = x * gamma
    z += gamma * offset + beta

    def pull(dz: Array, gradients: Gradients) -> Array:
        dbeta = np.add.reduce(dz, axis=(0, 1, 2))
        _add(gradients, f"{name}.beta", dbeta)
        _add(gradients, f"{name}.gamma", np.einsum("nhwc,nhwc->c", dz, x) + offset * dbeta)
        return dz * gamma

    return z, pull


def squeeze_excite(x: Array, parameters: Parameters, *, squeeze: Affine, excite: Affine) -> tuple[Array, Pull]:
    """Scale every channel by a gate that has seen the mean of the map; weights and biases are frozen."""
    average, pull_mean = mean(x, parameters)
    squeezed = layers.relu(layers.linear(average, *squeeze))
    gate = layers.hardsigmoid(layers.linear(squeezed, *excite))
    wide = gate[:, None, None]

    def pull(dy: Array, gradients: Gradients) -> Array:
        dgate = np.einsum("nhwc,nhwc->nc", dy, x) * ((gate > 0) & (gate < 1)) / 6
        dsqueezed = (dgate @ excite[0]) * (squeezed > 0)
        return dy * wide + pull_mean(dsqueezed @ squeeze[0], gradients)

    return x * wide, pull


def hardswish(x: Array, _: Parameters) -> tuple[Array, Pull]:
    """`x g` with the gate `g = clip(x / 6 + 1/2, 0, 1)`.

    The derivative is 0 left of -3, 1 right of 3 and `x / 3 + 1/2 = 2 g - 1/2` between: it runs from -1/2 to 3/2 and
    jumps at both ends. As `(floor(g) + ceil(g)) / 2` is 1/2 between and `g` at the ends, `2 g` less that is all of it.
    """
    gate = layers.hardsigmoid(x)

    def pull(dy: Array, _: Gradients) -> Array:
        slope = np.floor(gate)
        slope += np.ceil(gate)
        slope *= -0.5
        slope += gate
        slope += gate
        slope *= dy
        return slope

    return x * gate, pull


def mean(x: Array, _: Parameters) -> tuple[Array, Pull]:
    """Mean over the map: (N, H, W, C) to (N, C). The pull is (N, 1, 1, C): the same for every pixel."""

    def pull(dy: Array, _: Gradients) -> Array:
        dx: Array = dy[:, None, None] / (x.shape[1] * x.shape[2])
        return dx

    return layers.global_average(x), pull


def linear(x: Array, parameters: Parameters, *, name: str) -> tuple[Array, Pull]:
    """`W x + b` of vectors (N, C); both are adapted."""
    weight = parameters[f"{name}.weight"]

    def pull(dy: Array, gradients: Gradients) -> Array:
        _add(gradients, f"{name}.weight", np.einsum("nd,nc->dc", dy, x))
        _add(gradients, f"{name}.bias", np.add.reduce(dy))
        return dy @ weight

    return layers.linear(x, weight, parameters[f"{name}.bias"]), pull


def _add(gradients: Gradients, name: str, gradient: Array) -> None:
    if name in gradients:
        gradients[name] += gradient
    else:
        gradients[name] = gradient


class _Weights:
    """Takes layers out of the graph; notes what is adapted (`source`) and what is folded (`convolutions`)."""

    def __init__(self, graph: Graph, affine: Parameters, dtype: npt.DTypeLike) -> None:
        self.graph = graph
        self.affine = affine
        self.dtype = np.dtype(dtype)
        shape = next((port.shape for port in graph.outputs if port.name == "cut"), ())
        self.cut = tuple(size for size in shape[1:] if size is not None)
        if len(self.cut) != 3:
            raise BundleError(f"graph: expected an output 'cut' (N, C, H, W) of fixed C, H and W, got {shape}")
        self.source: dict[str, Array] = {}
        self.convolutions: dict[str, tuple[Array, Array]] = {}

    def residual(self, name: str, *, lowest: bool = False) -> Layer:
        """Take an inverted residual: expand, filter, gate, project."""
        stages = (
            *self.pointwise(f"{name}.0", lowest=lowest),
            hardswish,
            *self.depthwise(f"{name}.1"),
            hardswish,
            partial(squeeze_excite, squeeze=self._frozen(f"{name}.2.fc1"), excite=self._frozen(f"{name}.2.fc2")),
            *self.pointwise(f"{name}.3"),
        )
        return partial(shortcut, stages=stages)

    def pointwise(self, name: str, *, lowest: bool = False) -> tuple[Layer, Layer]:
        weight, offset = self._standardised(name, (None, None, 1, 1))
        layer = partial(pointwise, weight=weight[:, :, 0, 0], lowest=lowest)
        return layer, partial(normalisation, name=name, offset=offset)

    def depthwise(self, name: str) -> tuple[Layer, Layer]:
        weight, offset = self._standardised(name, (None, 1, None, None))
        kernel = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0))
        layer: Layer = partial(depthwise, kernel=kernel)
        _, height, width = self.cut
        pixels = height * width
        if pixels <= len(kernel) ** 2:
            points = np.eye(pixels, dtype=self.dtype).reshape(pixels, height, width, 1)
            spread, _ = layer(np.broadcast_to(points, (pixels, height, width, len(weight))), {})
            layer = partial(all_to_all, transfer=spread.reshape(pixels, pixels, -1))
        return layer, partial(normalisation, name=name, offset=offset)

    def linear(self, name: str) -> Layer:
        self._adapt(f"{name}.weight", self.graph.weight(f"{name}.weight", (None, None)))
        self._adapt(f"{name}.bias", self.graph.weight(f"{name}.bias", (None,)))
        return partial(linear, name=name)

    def _standardised(self, name: str, shape: tuple[int | None, ...]) -> Affine:
        """Take a folded convolution over the source's gamma; see the top of this file."""
        weight = self.graph.weight(f"{name}.weight", shape).astype(self.dtype)
        bias = self.graph.weight(f"{name}.bias", weight.shape[:1]).astype(self.dtype)
        gamma, beta = (self._normalisation(f"{name}.{part}", weight.shape[:1]) for part in ("gamma", "beta"))
        gamma = np.copysign(np.maximum(np.abs(gamma), GAMMA_FLOOR), gamma)
        self._adapt(f"{name}.gamma", gamma)
        self._adapt(f"{name}.beta", beta)
        self.convolutions[name] = weight / gamma[:, None, None, None], (bias - beta) / gamma
        return self.convolutions[name]

    def _normalisation(self, name: str, shape: tuple[int, ...]) -> Array:
        array = self.affine.get(name)
        if array is None or array.shape != shape or not np.isfinite(array).all():
            got = "none" if array is None else f"{array.shape}"
            raise BundleError(f"affine.{name}: expected finite numbers {shape}, got {got}; export the model again")
        return array.astype(self.dtype)

    def _frozen(self, name: str) -> Affine:
        """Take a 1x1 convolution of one pixel: a matrix and a bias."""
        weight = self.graph.weight(f"{name}.weight", (None, None, 1, 1)).astype(self.dtype)
        return weight[:, :, 0, 0], self.graph.weight(f"{name}.bias", weight.shape[:1]).astype(self.dtype)

    def _adapt(self, name: str, array: Array) -> None:
        self.source[name] = array.astype(self.dtype)
        self.source[name].setflags(write=False)
