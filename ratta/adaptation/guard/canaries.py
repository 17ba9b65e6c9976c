"""Sealed canaries: cut features of the source camera on which a late candidate must prove harmless."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.guard.exact import at_least, paired_rise
from ratta.adaptation.guard.finding import Finding
from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Bools = npt.NDArray[np.bool_]

LIVE = "live"


@dataclass(frozen=True, slots=True, eq=False)
class Canaries:
    """Held-back cut features of every attack species and of live faces; never pictures.

    Attributes
    ----------
    cuts : (K, C, H, W) float16
    species : (K,) str
        `live` for bona fide.

    Raises
    ------
    InputError
        If lengths differ, a value is not finite, or a class is missing.
    """

    cuts: npt.NDArray[np.float16]
    species: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        if self.cuts.ndim != 4 or self.species.shape != self.cuts.shape[:1] or not np.isfinite(self.cuts).all():
            raise InputError(
                f"canaries: expected finite (K, C, H, W) cuts, K species, got {self.cuts.shape}, {self.species.shape}"
            )
        if not self.is_live.any() or self.is_live.all():
            raise InputError("canaries: expected live faces and attacks, got one class; calibrate again")

    def __len__(self) -> int:
        return len(self.species)

    @property
    def is_live(self) -> Bools:
        """Which are bona fide, (K,)."""
        live: Bools = self.species == LIVE
        return live

    def cut(self, index: int) -> npt.NDArray[np.float32]:
        """One canary's cut feature, (C, H, W)."""
        cut: npt.NDArray[np.float32] = self.cuts[index].astype(np.float32)
        return cut


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryCheck:
    """A late candidate commits only if it does no harm on the canaries and stays with the source.

    Always compared with the *source*, never with what is in force: many small steps cannot add up to a large one.

    Attributes
    ----------
    alpha : float
        A species' APCER has risen when the exact paired test over its canaries says so at this level. At 0.5 a single
        attack more that passes is enough.
    max_bpcer_rise : float
        Over the live canaries.
    agreement_alpha : float
        Level of the exact test that candidate and source agree, on canaries and recent frames, as often as the
        development says.
    """

    alpha: float = 0.5
    max_bpcer_rise: float = 0.005
    agreement_alpha: float = 0.05

    def __post_init__(self) -> None:
        if not (0 < self.alpha < 1 and 0 < self.agreement_alpha < 1 and 0 <= self.max_bpcer_rise < math.inf):
            raise InputError(
                "canary check: expected levels in (0, 1) and max_bpcer_rise >= 0, "
                f"got {self.alpha}, {self.agreement_alpha} and {self.max_bpcer_rise}"
            )

    def judge(
        self, species: npt.NDArray[np.str_], before: Bools, after: Bools, *, agreeing: Bools, agreement: float
    ) -> Finding:
        """Compare which canaries pass as live before and after.

        Parameters
        ----------
        species : (K,) str
            Of each canary; `live` for bona fide.
        before, after : (K,) bool
            Whether source and candidate call it live, at the frozen threshold.
        agreeing : (M,) bool
            Whether source and candidate agree on each recent frame.
        agreement : float
            Share of development frames on which the source agrees with itself.
        """
        numbers: dict[str, float] = {}
        reasons = []
        for name in (str(n) for n in np.unique(species) if n != LIVE):
            of = species == name
            gained, lost = int((of & after & ~before).sum()), int((of & before & ~after).sum())
            numbers[f"apcer_rise.{name}"] = (gained - lost) / int(of.sum())
            if paired_rise(gained, lost) <= self.alpha:
                reasons.append(f"APCER of {name} rises")
        live = species == LIVE
        rise = numbers["bpcer_rise"] = (int(before[live].sum()) - int(after[live].sum())) / int(live.sum())
        if rise > self.max_bpcer_rise:
            reasons.append("BPCER rises")
        same = np.concatenate((before == after, agreeing))
        numbers["agreement"] = float(same.mean())
        if at_least(int((~same).sum()), len(same), 1 - agreement) <= self.agreement_alpha:
            reasons.append("disagrees with the source")
        return Finding(not reasons, "; ".join(reasons) or "harmless", numbers)
