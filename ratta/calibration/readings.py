"""What a network says of labelled development crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ratta.bundle import Calibration
    from ratta.inference import Network

    Floats = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]
    Sample = tuple[Pixels | tuple[Pixels, ...], bool, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceReadings:
    """What the network said of N development crops.

    Attributes
    ----------
    margins : (N,) float
        `logit_live - logit_spoof`, before calibration.
    embeddings : (N, D) float32
        Of K crops; of no length where the contract names none.
    is_live : (N,) bool
    species : (N,) str
        Attack species; empty for bona fide.
    subjects, sessions : (N,) str

    Raises
    ------
    DataError
        If lengths differ, a value is not finite, or a class is empty.
    """

    margins: Floats
    embeddings: npt.NDArray[np.float32]
    is_live: npt.NDArray[np.bool_]
    species: npt.NDArray[np.str_]
    subjects: npt.NDArray[np.str_]
    sessions: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(set(lengths.values())) != 1:
            raise DataError(f"readings: expected arrays of one length, got {lengths}")
        if not self.is_live.any() or self.is_live.all():
            raise DataError(
                f"readings: expected live faces and attacks, got {self.is_live.sum()} live of {len(self.is_live)}; "
                "calibrate on development data that hold both"
            )
        if not all(np.isfinite(a).all() for a in (self.margins, self.embeddings)):
            raise DataError("readings: expected finite numbers, got nan or inf; check the network and the crops")

    def logits(self, calibration: Calibration) -> Floats:
        """Calibrated log-odds of live, (N,)."""
        return self.margins / calibration.temperature + calibration.bias


def read_sources(network: Network, samples: Iterable[Sample]) -> SourceReadings:
    """Run the network over labelled crops.

    Parameters
    ----------
    network : Network
        Uncalibrated: of temperature 1 and bias 0.
    samples : iterable of (crops, is_live, species, subject, session)
        The crops of one face, each (S, S, 3) uint8 RGB, in the contract's order; or, where there is one, the crop.

    Returns
    -------
    SourceReadings
    """
    rows: list[tuple[Any, ...]] = []
    for crops, is_live, species, subject, session_id in samples:
        seen = network.read(crops if isinstance(crops, tuple) else (crops,))
        rows.append((seen.live_logit, seen.embedding, bool(is_live), species, subject, session_id))
    if not rows:
        raise DataError("read_sources: expected labelled crops, got none")
    columns = list(zip(*rows, strict=True))
    return SourceReadings(
        margins=np.array(columns[0]),
        embeddings=np.stack(columns[1]),
        is_live=np.array(columns[2]),
        species=np.array(columns[3]),
        subjects=np.array(columns[4]),
        sessions=np.array(columns[5]),
    )
