"""From the crops of a face to a reading: the graph's runs as its contract says, and one calibration."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import InputError
from ratta.records import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ratta.contract import Contract, InputRule, OutputRule
    from ratta.inference.session import Session

    Pixels = npt.NDArray[np.uint8]
    Floats = npt.NDArray[np.float32]

SURE = 1e-7
"""Probabilities nearer to 0 or 1 count as this near: their log-odds stay finite."""


class Network:
    """A liveness network with its calibration.

    Parameters
    ----------
    session : Session
        Runs the graph.
    contract : Contract
        What the graph takes and gives.
    temperature, bias : float
        `live_logit = margin / temperature + bias` (temperature scaling, Guo et al. 2017, with a bias for the change of
        class balance), where the margin is the network's own log-odds of live.

    Raises
    ------
    InputError
        If the graph has no input or output of a name that the contract gives.
    """

    def __init__(self, session: Session, contract: Contract, *, temperature: float = 1.0, bias: float = 0.0) -> None:
        missing = {contract.input.name} - set(session.inputs) | set(contract.outputs.names) - set(session.outputs)
        if missing or len(session.inputs) != 1:
            raise InputError(
                f"network: expected the input {contract.input.name!r} and outputs {contract.outputs.names}, as the "
                f"contract says, got {session.inputs} and {session.outputs}"
            )
        self.session = session
        self.contract = contract
        self.temperature = temperature
        self.bias = bias
        self._places = tuple(session.outputs.index(name) for name in contract.outputs.names)
        self.feed = Feed(contract.input, contract.size)
        # One run of all crops costs some 5 % less than a run for each, where the graph leaves the number open.
        shape: tuple[int | None, ...] = getattr(session, "shapes", {}).get(contract.input.name, ())
        self._together = bool(shape) and shape[0] is None

    def read(self, pixels: tuple[Pixels, ...]) -> Reading:
        """Run the network on the crops of one face, each `(S, S, 3)` uint8 RGB, in the contract's order.

        Raises
        ------
        InputError
            If the crops do not fit the contract or the graph.
        """
        count = len(self.contract.crops)
        if len(pixels) != count:
            raise InputError(f"network: expected {count} crops of a face, got {len(pixels)}")
        if count == 1 or self._together:
            scores, embedding, cut = self._run(pixels)
        else:
            runs = [self._run((crop,)) for crop in pixels]
            scores, embedding, cut = (np.concatenate(parts) for parts in zip(*runs, strict=True))
        scores, rule = scores.reshape(count, -1), self.contract.outputs
        margin = sum(live_margin(values, rule) for values in scores.tolist()) / count
        return Reading(scores, embedding.ravel(), cut, margin / self.temperature + self.bias)

    def _run(self, pixels: tuple[Pixels, ...]) -> tuple[Floats, Floats, Floats]:
        """Run some crops at once: what the graph gives as scores, embedding and cut; no length where there is none."""
        found = self.session.run({self.feed.name: self.feed(pixels)})
        scores, *others = (found[place] for place in self._places)
        embedding = others.pop(0) if self.contract.outputs.embedding else _NOTHING
        return scores, embedding, others.pop(0) if others else _NOTHING


class Ensemble:
    """Several networks whose answer is the mean of their calibrated log-odds.

    Parameters
    ----------
    members : sequence of Network
    temperature, bias : float
        Of the mean, as in `Network`.
    """

    def __init__(self, members: Sequence[Network], *, temperature: float = 1.0, bias: float = 0.0) -> None:
        self.members = tuple(members)
        self.temperature = temperature
        self.bias = bias

    @property
    def session(self) -> Session:
        """The first member's."""
        return self.members[0].session

    @property
    def feed(self) -> Feed:
        """The first member's."""
        return self.members[0].feed

    def read(self, pixels: tuple[Pixels, ...]) -> Reading:
        """Read a face by all members: their crops one after the other, their features side by side."""
        waiting = list(pixels)
        seen = []
        for one in self.members:
            count = len(one.contract.crops)
            seen.append(one.read(tuple(waiting[:count])))
            del waiting[:count]
        if waiting:
            raise InputError(f"network: expected {len(pixels) - len(waiting)} crops of a face, got {len(pixels)}")
        mean = sum(reading.live_logit for reading in seen) / len(seen)
        logits = np.array([[0.0, mean]], np.float32)
        embedding = np.concatenate([reading.embedding for reading in seen])
        return Reading(logits, embedding, _NOTHING, mean / self.temperature + self.bias)


class Corrected:
    """A network whose log-odds a labelled profile corrects: `live_logit + embedding @ weight + offset`.

    Parameters
    ----------
    network : Network or Ensemble
    weight : (D,) float32
    offset : float
    """

    def __init__(self, network: Network | Ensemble, weight: Floats, offset: float) -> None:
        self.source = network
        self.session = network.session
        self.feed = network.feed
        self._weight = weight
        self._offset = offset

    def read(self, pixels: tuple[Pixels, ...]) -> Reading:
        """Read a face by the source and correct its log-odds.

        Raises
        ------
        InputError
            If the head was made for an embedding of another width.
        """
        reading = self.source.read(pixels)
        if reading.embedding.shape != self._weight.shape:
            raise InputError(
                f"profile: expected an embedding of {len(self._weight)} numbers, got {reading.embedding.size}; make "
                "the profile with the crops that the engine uses"
            )
        change = float(reading.embedding @ self._weight) + self._offset
        return replace(reading, live_logit=reading.live_logit + change)


_NOTHING = np.zeros((1, 0), np.float32)
_NOTHING.setflags(write=False)


class Feed:
    """Makes a graph's input of crops.

    Parameters
    ----------
    rule : InputRule
    size : int
        Side of a crop in pixels.
    """

    def __init__(self, rule: InputRule, size: int) -> None:
        self.name = rule.name
        self.size = size
        self._turned = rule.color == "bgr"
        self._planar = rule.layout == "NCHW"
        self._raw = rule.dtype == "uint8"
        shape = (3, 1, 1) if self._planar else (3,)
        self._mean, self._std = (np.array(one, np.float32).reshape(shape) for one in (rule.mean, rule.std))
        self._shifts, self._scales = bool(self._mean.any()), bool((self._std != 1).any())
        self._floats = np.empty((0, *((3, size, size) if self._planar else (size, size, 3))), np.float32)

    def __call__(self, crops: tuple[Pixels, ...]) -> npt.NDArray[np.uint8] | Floats:
        """Return the input for K `(S, S, 3)` uint8 RGB crops; a float one is written over by the next call.

        Raises
        ------
        InputError
            If a crop has another shape.
        """
        for crop in crops:
            if crop.shape != (self.size, self.size, 3):
                raise InputError(f"network: expected crops ({self.size}, {self.size}, 3), got {crop.shape}")
        views = [self._view(crop) for crop in crops]
        if self._raw:
            return np.ascontiguousarray(views[0][None] if len(views) == 1 else np.stack(views))
        if len(self._floats) != len(views):
            self._floats = np.empty((len(views), *self._floats.shape[1:]), np.float32)
        for target, view in zip(self._floats, views, strict=True):
            np.copyto(target, view)
        if self._shifts:
            self._floats -= self._mean
        if self._scales:  # a product with the inverse differs in the last bit, which a quantising graph makes large
            self._floats /= self._std
        return self._floats

    def _view(self, crop: Pixels) -> Pixels:
        seen = crop[..., ::-1] if self._turned else crop
        return seen.transpose(2, 0, 1) if self._planar else seen


def live_margin(values: list[float], rule: OutputRule) -> float:
    """Return the log-odds of live from one value for each class, before calibration.

    Parameters
    ----------
    values : list of C floats
    rule : OutputRule
        Says what they are.

    Examples
    --------
    >>> from ratta.contract import OutputRule
    >>> live_margin([1.0, 3.0], OutputRule())
    2.0
    >>> round(live_margin([0.25], OutputRule(kind="probabilities", classes=("spoof",))), 6)
    1.098612
    """
    if len(values) != len(rule.classes):
        raise InputError(f"network: expected a value for each of {list(rule.classes)}, got {len(values)}")
    if rule.kind == "probabilities":
        share = min(
            max(values[rule.classes.index("live")] if "live" in rule.classes else 1 - values[0], SURE), 1 - SURE
        )
        return math.log(share) - math.log1p(-share)
    if len(values) == 1:
        return values[0] if rule.classes == ("live",) else -values[0]
    live = rule.classes.index("live")
    others = values[:live] + values[live + 1 :]
    top = max(others)
    if len(others) == 1 or not math.isfinite(top):
        return values[live] - top
    return values[live] - top - math.log(sum(math.exp(value - top) for value in others))
