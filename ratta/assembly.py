"""From a verified bundle to what adapts it: the source, its reference, and the parts with their settings."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.budget import Budget, allowance_for
from ratta.adaptation.controller import Controller
from ratta.adaptation.drift import BettingDrift
from ratta.adaptation.source import SourceReference
from ratta.errors import BundleError, InputError
from ratta.records import logit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ratta.adaptation.settings import Adaptation
    from ratta.bundle import Bundle
    from ratta.decision import Policy
    from ratta.inference import Corrected, Ensemble, Network
    from ratta.profile import CameraProfile
    from ratta.records import Pixels

TIMED_RUNS = 5
LEAST_MS = 0.1
"""No run of a network takes less: a clock that says so is coarse."""


def make_adapter(
    bundle: Bundle,
    network: Network | Ensemble | Corrected,
    settings: Adaptation,
    *,
    profile: CameraProfile | None = None,
    learning: bool = True,
    policy: Policy | None = None,
) -> Controller:
    """Make what adapts a bundle's model.

    Parameters
    ----------
    bundle : Bundle
    network : Network
        The bundle's, in a runtime.
    settings : Adaptation
    profile : CameraProfile, optional
        Of the camera that the engine will see.
    learning : bool
        Whether anything is learnt; without it the profile's anchor stays as it is.
    policy : Policy, optional
        By default the one with the bundle's thresholds.

    Raises
    ------
    BundleError
        If the network gives no embedding, or the bundle's statistics do not fit it.
    """
    policy = policy or bundle.policy
    probe, reference = probe_of(bundle), source_of(bundle, network)
    clock = settings.clock or processor_ms
    inference_ms = settings.inference_ms or timed_inference_ms(network, probe, clock)
    adapter = Controller(
        network,
        reference,
        live_logit=logit(policy.live_threshold),
        slot_s=policy.slot_s,
        min_slots=policy.min_slots,
        budget=Budget(
            watts=settings.watts,
            time=settings.time or allowance_for(inference_ms),
            energy=settings.energy,
            policy=settings.power,
        ),
        clock=clock,
        inference_ms=inference_ms,
        alpha=settings.alpha,
        gated=settings.gated,
        shadow=settings.shadow,
        anchors=settings.anchors,
        learning=learning,
        confirm_s=settings.confirm_s,
        detector=BettingDrift(reference.drift) if reference.drift and settings.drift else None,
        on_event=settings.journal or (lambda _: None),
    )
    if profile is not None and profile.anchor:
        adapter.use(profile.level, profile.anchor)
    return adapter


def source_of(bundle: Bundle, network: Network | Ensemble | Corrected) -> SourceReference:
    """Read what the bundle knows of the source.

    Raises
    ------
    BundleError
        As in `make_adapter`.
    """
    width = network.read(probe_of(bundle)).embedding.size
    if not width:
        raise BundleError(
            f"{bundle.name}: expected a network that gives an embedding, got one that does not; load it without adapt"
        )
    try:
        return SourceReference.from_arrays(bundle.statistics, width=width)
    except InputError as error:
        raise BundleError(f"{bundle.name}: {error}") from error


def probe_of(bundle: Bundle) -> Pixels:
    """Grey crops, as many as the contract wants."""
    return tuple(np.full((rule.size, rule.size, 3), 127, np.uint8) for rule in bundle.crops)


def timed_inference_ms(network: Network | Ensemble | Corrected, probe: Pixels, clock: Callable[[], float]) -> float:
    """Time a few runs of the network on a probe, after one that is not counted; the median.

    The budget's margin covers what runs differ by, and what it measures later corrects the rest.
    """
    network.read(probe)
    took = []
    for _ in range(TIMED_RUNS):
        began = clock()
        network.read(probe)
        took.append(clock() - began)
    return max(LEAST_MS, median(took))


def processor_ms() -> float:
    """Processor time of this thread in milliseconds: preemption is not billed; wall time where there is none."""
    try:
        return time.thread_time() * 1e3
    except (AttributeError, OSError):
        return time.perf_counter() * 1e3
