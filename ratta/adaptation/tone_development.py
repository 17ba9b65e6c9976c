"""From labelled development sessions to what the source knows of tones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.drift import shrunk_precision
from ratta.adaptation.guard import LIVE
from ratta.adaptation.tones import ToneReference
from ratta.adaptation.update.tone import ToneCorrection, fit_tone, tone_of
from ratta.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ratta.adaptation.reference import Network, Pixels

    Doubles = npt.NDArray[np.float64]

QUANTILES = 129
CASTS = tuple((warm, 1.0, 1 / warm) for warm in (1.0, 1.1, 1.2, 1.3, 1.4, 1 / 1.1, 1 / 1.2, 1 / 1.3, 1 / 1.4))
GAMMAS = (0.4, 0.5, 0.63, 0.79, 1.0, 1.26, 1.59, 2.0, 2.52)
"""Brightness in thirds of a doubling."""
CONTRASTS = (0.45, 0.6, 0.8, 1.35)


def known_changes() -> Iterator[ToneCorrection]:
    """Yield the changes of tone that are declared adaptable: brightness, contrast, colour cast, and some together."""
    for gamma in GAMMAS:
        for cast in CASTS if 0.7 < gamma < 1.4 else CASTS[:1]:
            yield ToneCorrection(gamma, np.array(cast), np.zeros(3), 0.0)
    for contrast in CONTRASTS:
        for gamma in (0.7, 1.0, 1.4):
            yield ToneCorrection(gamma, np.full(3, contrast), np.full(3, (1 - contrast) / 2), 0.0)


def measure_tones(
    network: Network,
    samples: Iterable[tuple[Pixels, bool, str, str]],
    *,
    threshold_logit: float,
    per_session: int = 2,
) -> ToneReference:
    """Measure the source's tones, and its error rates under every known change of tone.

    Parameters
    ----------
    network : Network
        The source.
    samples : iterable of (crop (S, S, 3) uint8 RGB, is_live, species, session)
        Development sessions of the source camera, as `read_development` takes them.
    threshold_logit : float
        Live from here on.
    per_session : int
        Frames of a session that are looked at.

    Raises
    ------
    InputError
        If a class is missing, or the source calls all sessions the same.
    """
    crops, kind = _first_frames(samples, per_session)
    kinds_of_attack = np.unique(kind[kind != LIVE])
    if not len(kinds_of_attack) or not (kind == LIVE).any():
        raise InputError("measure_tones: expected live faces and attacks, got one class")
    order = [LIVE, *kinds_of_attack.tolist()]

    def read(seen: list[Pixels]) -> Doubles:
        return np.array([network.read(crop).live_logit for crop in seen])

    def quantiles(logits: Doubles) -> Doubles:
        return np.array([np.quantile(logits[kind == name], np.linspace(0, 1, QUANTILES)) for name in order])

    logits, tones = read(crops), np.stack([tone_of(crop) for crop in crops])
    sides = _sides(tones, logits >= threshold_logit)
    middle = sides.mean(axis=0)
    passing, shifted, corrected = [], [], []
    for change in known_changes():
        seen = [change.apply(crop) for crop in crops]
        tone = change.curve(middle)
        back, _ = fit_tone(tone, middle)
        now, then = read(seen), read([back.apply(crop) for crop in seen])
        passing.append([(now[kind == name] >= threshold_logit).mean() for name in order])
        corrected.append(quantiles(then))
        shifted.append(tone)
    flat = tones.reshape(len(tones), -1)
    return ToneReference(
        sides=sides,
        precision=shrunk_precision(flat - middle.reshape(-1)),
        shifted=np.array(shifted),
        shift_passing=np.array(passing),
        corrected=np.array(corrected),
        logits=quantiles(logits),
        species=kinds_of_attack,
    )


def _first_frames(
    samples: Iterable[tuple[Pixels, bool, str, str]], per_session: int
) -> tuple[list[Pixels], npt.NDArray[np.str_]]:
    """Take the first frames of each session, session by session, and what each frame shows."""
    sessions: dict[str, list[Pixels]] = {}
    kinds: dict[str, str] = {}
    for crop, is_live, species, session in samples:
        kinds[session] = LIVE if is_live else species
        frames = sessions.setdefault(session, [])
        if len(frames) < per_session:
            frames.append(crop)
    kind = np.array([kinds[name] for name, frames in sessions.items() for _ in frames], np.str_)
    return [crop for frames in sessions.values() for crop in frames], kind


def _sides(tones: Doubles, is_live: npt.NDArray[np.bool_]) -> Doubles:
    if is_live.all() or not is_live.any():
        raise InputError("measure_tones: expected frames on both sides of the threshold, got one side")
    return np.stack([np.median(tones[is_live == side], axis=0) for side in (False, True)])
