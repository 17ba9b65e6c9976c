"""Update: from admitted frames to a candidate. Nothing here changes what is in force."""

from ratta.adaptation.update.early import Correction, MomentMatching, Moments, Stem, StemReference
from ratta.adaptation.update.late import LATE, LateStep, Lesson, Tail, fisher_information
from ratta.adaptation.update.prototypes import Prototypes, hidden_feature
from ratta.adaptation.update.tone import ToneCorrection, fit_tone, tone_of

__all__ = [
    "LATE",
    "Correction",
    "LateStep",
    "Lesson",
    "MomentMatching",
    "Moments",
    "Prototypes",
    "Stem",
    "StemReference",
    "Tail",
    "ToneCorrection",
    "fisher_information",
    "fit_tone",
    "hidden_feature",
    "tone_of",
]
