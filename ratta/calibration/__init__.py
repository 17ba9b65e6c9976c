"""Calibration: labelled sessions become thresholds, a source reference, or a camera profile.

Everything here is computed on *development* identities: people whom the network was not trained on and who are not in
the test set either.
"""

from ratta.calibration.bundles import Parts, calibrated, read_parts, with_statistics
from ratta.calibration.labelled import Labelled, LabelledSession, labelled_profile
from ratta.calibration.live import LiveSession, live_profile
from ratta.calibration.readings import SourceReadings, read_sources
from ratta.calibration.source import source_reference
from ratta.calibration.thresholds import calibrate, fit_temperature

__all__ = [
    "Labelled",
    "LabelledSession",
    "LiveSession",
    "Parts",
    "SourceReadings",
    "calibrate",
    "calibrated",
    "fit_temperature",
    "labelled_profile",
    "live_profile",
    "read_parts",
    "read_sources",
    "source_reference",
    "with_statistics",
]
