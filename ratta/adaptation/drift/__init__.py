"""Whether the camera has moved away from the calibrated source, and whether it is too far to trust."""

from ratta.adaptation.drift.band import Band, DriftDetector
from ratta.adaptation.drift.betting import BettingDrift
from ratta.adaptation.drift.reference import DriftReference, DriftSample

__all__ = ["Band", "BettingDrift", "DriftDetector", "DriftReference", "DriftSample"]
