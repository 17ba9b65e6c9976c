"""On-device face presentation attack detection that adapts itself to its camera and never becomes less safe for it."""

from typing import TYPE_CHECKING, Any

from ratta.bundle import read_bundle
from ratta.decision import Policy
from ratta.engine import Engine, load
from ratta.errors import (
    BundleError,
    DataError,
    InputError,
    MissingExtraError,
    OutputError,
    RattaError,
    SourceError,
    StateError,
    TrainingError,
)
from ratta.perception import QualityLimits
from ratta.records import Box, Decision, Reason, Score, Verdict
from ratta.session import Session

if TYPE_CHECKING:
    from ratta.adaptation import Adaptation

__version__ = "0.6.0"

__all__ = [
    "Adaptation",
    "Box",
    "BundleError",
    "DataError",
    "Decision",
    "Engine",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "Policy",
    "QualityLimits",
    "RattaError",
    "Reason",
    "Score",
    "Session",
    "SourceError",
    "StateError",
    "TrainingError",
    "Verdict",
    "load",
    "read_bundle",
]


def __getattr__(name: str) -> Any:
    if name == "Adaptation":  # whoever does not adapt does not pay for its import
        from ratta.adaptation import Adaptation

        return Adaptation
    raise AttributeError(f"module 'ratta' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
