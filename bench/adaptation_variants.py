"""What `bench/adaptation.py` compares: the rule, the rule with one part switched off, and others' rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ratta.adaptation.adapter import Adapter
from ratta.adaptation.drift import Band, BettingDrift
from ratta.adaptation.gate import Gate
from ratta.adaptation.guard import Arbiter, CanaryCheck, Finding, Watch
from ratta.adaptation.learner import LAST_BIAS, Learner
from ratta.adaptation.model import SourceModel
from ratta.adaptation.reference import Reference
from ratta.adaptation.settings import Early
from ratta.adaptation.tones import ToneMatching
from ratta.adaptation.trials import Trials
from ratta.adaptation.update.late import LATE, LateStep
from ratta.bundle import Bundle
from ratta.evaluate import FrameBatch, Method, make_method, torch_source
from ratta.evaluate.methods.ours import CalibratedBudget

BASELINES = ("tent", "t3a", "eata-two-class", "sar-two-class")
TRUTH = "true labels"
"""The same rule, told of every session what it was: a ceiling."""

# -- tones


class Unpunished(ToneMatching):
    """Proposes without the penalty, wherever the change is a known one."""

    def propose(self):
        proposal = super().propose()
        if proposal.correction is None:
            return proposal
        return replace(proposal, correction=replace(proposal.correction, penalty=0.0))


class OneClassWillDo(ToneMatching):
    """Does not ask whether people of both classes were there."""

    both_classes = True


class Hasty(ToneMatching):
    """Believes what is found once."""

    def propose(self):
        self._found_before = True
        return super().propose()


# -- guard and drift


class Untried(Trials):
    """Lets every proposal of tone pass."""

    def tone(self, correction, recent):
        trial = yield from super().tone(correction, recent)
        sample = recent.sample(1)
        if trial.network is not None or not sample:
            return trial
        network = self.model.open(trial.snapshot, sample[0][0].pixels)
        return replace(trial, finding=Finding(True, "not asked", {}), network=network)


class Unasked(Arbiter):
    """Lets a correction answer always."""

    nearer = True


class Unseeing(Watch):
    """Never alarms."""

    alarm = None


class DeadCanaries(CanaryCheck):
    """Finds every late candidate harmless."""

    def judge(self, *args, **named):
        return replace(super().judge(*args, **named), passed=True)


class EverAway(BettingDrift):
    """Holds every camera for one to adapt to."""

    band = Band.ADAPT


# -- gate


class Believing(Gate):
    """Asks, or does not ask, whether answer and source agree."""

    def __init__(self, *args, agreement: bool = True, **named) -> None:
        super().__init__(*args, **named)
        self._agreement = agreement

    def _doubt(self, evidence, is_live, margin):
        if not self._agreement:
            evidence = replace(evidence, answer_logit=math.inf if is_live else -math.inf)
        return super()._doubt(evidence, is_live, margin)


def _with_gate(
    model: SourceModel, reference: Reference, *, agreement: bool = True, quota: bool = True, **limits: float
) -> dict[str, Any]:
    """Make a learner whose gate has other limits, or leaves a part of itself out."""
    quotas = {} if quota else {"per_session": 10**6, "min_sessions": 1, "min_frames": 1}
    chosen = replace(reference.limits, **limits)
    gate = Believing(chosen, reference.prototypes, reference.variance, agreement=agreement, **quotas)
    return {"learner": Learner(model, reference, gate=gate)}


def _unsure(model: SourceModel, reference: Reference) -> dict[str, Any]:
    """Make a learner that takes every verdict for a sure one."""
    threshold = model.threshold_logit
    return _with_gate(model, reference, live_above=threshold, spoof_below=math.nextafter(threshold, -math.inf))


def _late_step(model: SourceModel, reference: Reference, begin: str) -> LateStep:
    """Make a step that moves only the late parameters whose names begin so."""
    names = tuple(name for name in LATE if name.startswith(begin))
    return LateStep(model.tail, reference.fisher, temperature=model.temperature, bias=model.bias, names=names)


class NoPrototypes(Learner):
    """Leaves the last bias where the source has it."""

    def _shifted_bias(self, after):
        return after[LAST_BIAS]


PARTS: dict[str, Callable[[SourceModel, Reference], dict[str, Any]]] = {
    "no penalty": lambda m, r: {"tones": Unpunished(r.tones, threshold_logit=m.threshold_logit)},
    "no table": lambda m, r: {"tones": Unpunished(r.tones, threshold_logit=m.threshold_logit, min_gain=-1.0)},
    "no both classes": lambda m, r: {"tones": OneClassWillDo(r.tones, threshold_logit=m.threshold_logit)},
    "no second finding": lambda m, r: {"tones": Hasty(r.tones, threshold_logit=m.threshold_logit)},
    "no trial": lambda m, r: {"trials": Untried(m, r)},
    "no arbiter": lambda _m, _r: {"arbiter": Unasked()},
    "no watch": lambda _m, r: {"watch": Unseeing(overturn_rate=r.overturn_rate)},
    "no canaries": lambda m, r: {"trials": Trials(m, r, canary_check=DeadCanaries())},
    "no band": lambda _m, r: {"detector": EverAway(r.drift, restarting=True)},
    "no tones": lambda _m, _r: {"early": Early.OFF},
    "moments": lambda _m, _r: {"early": Early.MOMENTS},
    "no late": lambda _m, _r: {"late": False},
    "no head": lambda m, r: {"learner": Learner(m, r, late_step=_late_step(m, r, "features"))},
    "no late normalisation": lambda m, r: {"learner": Learner(m, r, late_step=_late_step(m, r, "classifier"))},
    "no prototypes": lambda m, r: {"learner": NoPrototypes(m, r)},
    "no confidence": _unsure,
    "no margin": lambda m, r: _with_gate(m, r, live_margin=-1e9, spoof_margin=-1e9),
    "no agreement": lambda m, r: _with_gate(m, r, agreement=False),
    "no views": lambda m, r: _with_gate(m, r, view_sd=1e9),
    "no quotas": lambda m, r: _with_gate(m, r, quota=False),
}
"""What `Adapter` is given instead, by the name of the variant."""


def make_adapter(model: SourceModel, reference: Reference, variant: str, on_event) -> Adapter:
    """Make an adapter whose work is billed as calibrated."""
    named = PARTS[variant](model, reference) if variant in PARTS else {}
    budget = CalibratedBudget(watts=2.0)
    return Adapter(model, reference, budget=budget, clock=lambda: 0.0, inference_ms=2.0, on_event=on_event, **named)


# -- others' rules, on the same network


def make_baseline(name: str, bundle: Bundle, anchors: np.ndarray) -> Method:
    """Make a baseline that starts as the bundle's network; anchors are development crops, (N, S, S, 3)."""
    from ratta.train.export import stored_name
    from ratta.train.network import MobileNetV3Small

    source = torch_source(bundle, MobileNetV3Small(), stored_name=stored_name)
    zeros = np.zeros(len(anchors))
    return make_method(name, source, anchors=FrameBatch(anchors, zeros, zeros.astype(np.int64)))


def answers_of(method: Method, frames: list[np.ndarray]) -> Iterator[float]:
    """Log-odds of each frame in order, answered before the method learns from it."""
    for start in range(0, len(frames), method.batch):
        some = frames[start : start + method.batch]
        zeros = np.zeros(len(some))
        scores = method.observe(FrameBatch(np.stack(some), zeros, zeros.astype(np.int64))).clip(1e-9, 1 - 1e-9)
        yield from np.log(scores / (1 - scores)).tolist()
