"""Guard: a candidate must prove harmless before it answers, and what was committed must stay so."""

from ratta.adaptation.guard.canaries import LIVE, Canaries, CanaryCheck
from ratta.adaptation.guard.exact import at_least
from ratta.adaptation.guard.finding import Finding
from ratta.adaptation.guard.nearness import Arbiter, DeepCheck, DeepReference, Landmarks, Nearness
from ratta.adaptation.guard.snapshots import SOURCE, Snapshot, Snapshots
from ratta.adaptation.guard.watch import Alarm, Watch

__all__ = [
    "LIVE",
    "SOURCE",
    "Alarm",
    "Arbiter",
    "Canaries",
    "CanaryCheck",
    "DeepCheck",
    "DeepReference",
    "Finding",
    "Landmarks",
    "Nearness",
    "Snapshot",
    "Snapshots",
    "Watch",
    "at_least",
]
