"""An ensemble: several models put together into one folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.bundle import (
    FORMAT,
    Bundle,
    Calibration,
    file_entries,
    read_bundle,
    write_bundle,
    write_manifest,
)
from ratta.errors import InputError
from ratta.outputs import replace_file
from ratta.records import logit, sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_ensemble(folder: str | Path, members: Sequence[Bundle], *, name: str, version: str) -> Bundle:
    """Put models together: their answer is the mean of their calibrated log-odds.

    The thresholds are those whose log-odds are the mean of the members': a beginning, until the whole is calibrated.

    Parameters
    ----------
    folder : path
        Made if absent; each member goes into a folder of its own in it.
    members : sequence of Bundle
        Two or more, none of them an ensemble.
    name, version : str

    Raises
    ------
    InputError
        If there are not two models.
    """
    if len(members) < 2 or any(one.members for one in members):
        raise InputError(f"ensemble: expected two or more models, no ensembles, got {[one.name for one in members]}")
    folder, entries = Path(folder), {}
    parts = ("name", "version", "licence", "contract", "calibration", "graph", "affine", "statistics", "card")
    for number, one in enumerate(members, 1):
        place = f"member-{number}"
        written = write_bundle(folder / place, **{part: getattr(one, part) for part in parts})
        entries[place] = {"sha256": written.sha256}
    licences = list(dict.fromkeys(one.licence for one in members))
    card = f"# {name}\n\nThe mean of the log-odds of {len(members)} models, each with its own card:\n\n"
    rows = [f"- {place}: {one.name}, {one.licence}\n" for place, one in zip(entries, members, strict=True)]
    files = {"CARD.md": (card + "".join(rows)).encode()}
    replace_file(folder / "CARD.md", files["CARD.md"])
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "licence": " AND ".join(licences),
        "members": entries,
        "calibration": asdict(_mean_calibration(members)),
        "files": file_entries(files),
    }
    write_manifest(folder, manifest)
    return read_bundle(folder)


def _mean_calibration(members: Sequence[Bundle]) -> Calibration:
    def mean(field: str) -> float:
        return sigmoid(sum(logit(getattr(one.calibration, field)) for one in members) / len(members))

    return Calibration(
        temperature=1.0,
        bias=0.0,
        live_threshold=mean("live_threshold"),
        spoof_threshold=mean("spoof_threshold"),
        origin="the mean of the members' thresholds, in log-odds; not measured",
    )
