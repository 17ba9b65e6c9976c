"""Whether the camera has moved away from the calibrated source, and if so, whether it is too far to trust."""

from ratta.adaptation.drift.band import Band, DriftDetector, Horizon
from ratta.adaptation.drift.betting import BettingDrift
from ratta.adaptation.drift.ema import EmaDrift
from ratta.adaptation.drift.reference import DriftReference
from ratta.adaptation.drift.statistics import (
    DriftSample,
    SessionStatistics,
    SourceStatistics,
    class_minimum_mahalanobis,
    entropy,
    gaussian_kl,
    shrunk_precision,
)

__all__ = [
    "Band",
    "BettingDrift",
    "DriftDetector",
    "DriftReference",
    "DriftSample",
    "EmaDrift",
    "Horizon",
    "SessionStatistics",
    "SourceStatistics",
    "class_minimum_mahalanobis",
    "entropy",
    "gaussian_kl",
    "shrunk_precision",
]
