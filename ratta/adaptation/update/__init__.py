"""Update: from admitted frames to a candidate. Nothing here changes what is in force."""

from ratta.adaptation.update.early import Correction, MomentMatching, Moments, Stem, StemReference
from ratta.adaptation.update.late import LATE, LateStep, Lesson, Tail, fisher_information
from ratta.adaptation.update.prototypes import Prototypes, hidden_feature

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
    "fisher_information",
    "hidden_feature",
]
