"""From a foreign network and what is known of it to a bundle, with what the examples say of every claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ratta.bundle import Bundle, Calibration, write_bundle
from ratta.contract import Contract, OutputRule
from ratta.errors import BundleError, InputError
from ratta.inference import Network, OrtSession
from ratta.inference.network import Feed
from ratta.wrap.card import card_of
from ratta.wrap.evidence import Examiner, Finding
from ratta.wrap.wishes import RANGES

if TYPE_CHECKING:
    from pathlib import Path

    from ratta.contract import InputRule
    from ratta.wrap.examples import Examples
    from ratta.wrap.foreign import Foreign
    from ratta.wrap.wishes import Wishes

UNCALIBRATED = "nothing: the network's own log-odds, cut at 0; run ratta calibrate"
Choice = tuple["InputRule", tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wrapped:
    """What came of it.

    Attributes
    ----------
    bundle : Bundle or None
        `None` where something looks swapped and nothing was written.
    contract : Contract
    findings : tuple of Finding
        On layout, range, colour order and class order.
    deviation : float
        Largest difference of a score between ratta and the network's own runtime, on the examples.
    """

    bundle: Bundle | None
    contract: Contract
    findings: tuple[Finding, ...]
    deviation: float


def wrap(network: Foreign, wishes: Wishes, examples: Examples, *, folder: str | Path, trust: bool = False) -> Wrapped:
    """Make a bundle of a foreign network.

    Parameters
    ----------
    network : Foreign
    wishes : Wishes
        What is known; the rest is found.
    examples : Examples
        Crops of the first crop rule.
    folder : path
        Of the bundle.
    trust : bool
        Write it even where something looks swapped.

    Raises
    ------
    BundleError, InputError
        If it cannot be wrapped; the message says why.
    """
    if not wishes.licence:
        raise InputError("licence: expected the licence of the weights, got none; say --licence, or 'not stated'")
    crops, scores = wishes.crops(network), network.scores(wishes.scores)
    kind = wishes.kind or network.kind(scores)
    examiner = Examiner(network, scores=scores, kind=kind, examples=examples)
    used, findings = examine(network, wishes, examiner)
    embedding = wishes.embedding or network.embedding(scores)
    graph = network.with_outputs(scores, *([embedding] if embedding else []))
    contract = Contract(
        input=used[0],
        crops=crops,
        outputs=OutputRule(scores=scores, kind=kind, classes=used[1], embedding=embedding),
    )
    deviation = _deviation(network, graph, contract, examples)
    bundle = None
    if trust or not any(one.swapped for one in findings):
        bundle = write_bundle(
            folder,
            name=wishes.name or network.name,
            version=wishes.version,
            licence=wishes.licence,
            contract=contract,
            calibration=Calibration(
                temperature=1.0, bias=0.0, live_threshold=0.5, spoof_threshold=0.5, origin=UNCALIBRATED
            ),
            graph=graph,
            card=card_of(network, wishes, contract, findings, examples, deviation),
        )
    return Wrapped(bundle=bundle, contract=contract, findings=findings, deviation=deviation)


def examine(network: Foreign, wishes: Wishes, examiner: Examiner) -> tuple[Choice, tuple[Finding, ...]]:
    """Choose input and class order, and hold every property against what else it could be."""
    used = _chosen(network, wishes, examiner)
    return used, (_layout(network, wishes), *_findings(network, wishes, examiner, used))


def _chosen(network: Foreign, wishes: Wishes, examiner: Examiner) -> Choice:
    """Take what was given, and of everything else what the examples speak for."""
    ranges = [wishes.range or "0-1"] if wishes.range or wishes.mean or network.dtype == "uint8" else list(RANGES)
    colors = [wishes.color] if wishes.color else ["rgb", "bgr"]
    first = wishes.input(network, color=colors[0], range_name=ranges[0])
    orders = [wishes.classes] if wishes.classes else _orders(examiner.look(first).scores.shape[1])
    if len(orders[0]) != examiner.look(first).scores.shape[1]:
        count = examiner.look(first).scores.shape[1]
        raise InputError(f"classes: expected {count} names, one for each score, got {list(orders[0])}")
    best = first, orders[0]
    for range_name, color, order in product(ranges, colors, orders):
        choice = wishes.input(network, color=color, range_name=range_name), order
        if choice != best and examiner.weigh(choice, best) > 0:
            best = choice
    return best


def _orders(count: int) -> list[tuple[str, ...]]:
    if count == 1:
        return [("live",), ("spoof",)]
    attacks = ["spoof"] if count == 2 else [f"attack {number}" for number in range(1, count)]
    return [(*attacks[:place], "live", *attacks[place:]) for place in range(count)]


def _findings(network: Foreign, wishes: Wishes, examiner: Examiner, used: Choice) -> list[Finding]:
    """Hold what is used against everything else that it could be, one property after another."""
    rule, classes = used
    color, range_name = rule.color, _range_name(rule)
    found = []
    if network.dtype == "float32":
        others: dict[str, Choice] = {
            name: (_varied(network, rule, color=color, range_name=name), classes)
            for name in RANGES
            if name != range_name
        }
        found.append(_finding("range", range_name, used, others, examiner, given=bool(wishes.range or wishes.mean)))
    turned = "bgr" if color == "rgb" else "rgb"
    swapped = _varied(network, rule, color=turned, range_name=range_name)
    found.append(
        _finding("colour order", color, used, {turned: (swapped, classes)}, examiner, given=bool(wishes.color))
    )
    orders = {_shown(order): (rule, order) for order in _alternatives(classes)}
    return [*found, _finding("class order", _shown(classes), used, orders, examiner, given=bool(wishes.classes))]


def _finding(
    what: str, name: str, used: Choice, others: dict[str, Choice], examiner: Examiner, *, given: bool
) -> Finding:
    weights = {other: examiner.weigh(used, choice) for other, choice in others.items()}
    other = min(weights, key=lambda one: weights[one])
    return Finding(what=what, used=name, other=other, weight=weights[other], given=given)


def _alternatives(classes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the orders with "live" in the place of another."""
    if len(classes) == 1:
        return [("spoof",) if classes == ("live",) else ("live",)]
    live = classes.index("live")
    found = []
    for place in range(len(classes)):
        if place != live:
            order = list(classes)
            order[live], order[place] = order[place], order[live]
            found.append(tuple(order))
    return found


def _shown(classes: tuple[str, ...]) -> str:
    return ",".join(classes)


def _range_name(rule: InputRule) -> str:
    turn = 1 if rule.color == "rgb" else -1
    for name, (mean, std) in RANGES.items():
        if (rule.mean[::turn], rule.std[::turn]) == (mean, std):
            return name
    return f"mean {rule.mean}, std {rule.std}"


def _varied(network: Foreign, rule: InputRule, *, color: str, range_name: str) -> InputRule:
    from ratta.wrap.wishes import Wishes

    if range_name in RANGES:
        return Wishes(range=range_name).input(network, color=color, range_name=range_name)
    return Wishes(mean=rule.mean[::-1], std=rule.std[::-1]).input(network, color=color, range_name="")


def _layout(network: Foreign, wishes: Wishes) -> Finding:
    """Believe the graph's declared input: nothing has to be tried."""
    other = "NHWC" if network.layout == "NCHW" else "NCHW"
    if wishes.layout in ("", network.layout):
        return Finding(what="layout", used=network.layout, other=other, weight=99.0, given=bool(wishes.layout))
    return Finding(what="layout", used=wishes.layout, other=network.layout, weight=-99.0, given=True)


def _deviation(network: Foreign, graph: bytes, contract: Contract, examples: Examples) -> float:
    """Run the file as it came beside the network as ratta runs it."""
    try:
        ours = Network(OrtSession(graph), replace(contract, crops=contract.crops[:1]))
        theirs, feed = OrtSession(network.graph, name=network.name), Feed(contract.input, contract.size)
        place, worst = theirs.outputs.index(contract.outputs.scores), 0.0
        for crop in examples.pixels:
            expected = theirs.run({contract.input.name: feed((crop,)).copy()})[place].ravel()
            worst = max(worst, float(np.abs(ours.read((crop,)).logits.ravel() - expected).max()))
    except InputError as error:
        raise BundleError(f"{network.name}: expected a network that takes crops of a face, got: {error}") from error
    return worst
