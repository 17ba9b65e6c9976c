"""A camera profile: what is known of one camera, made from labelled sessions, beside the model that it belongs to.

The format, `ratta-profile/1`: a folder with

- `profile.json`: the format, `model_sha256` (of the manifest of the bundle that it belongs to), `level`, `made_from`
  (what a person wants to know of it) and the SHA-256 of the other file;
- `profile.npz`: the live anchor, as plain arrays of sums and scores; no frame, no picture, no single session.

Nothing in a profile is ever executed, and a live profile can only deny.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratta import bundle
from ratta.errors import BundleError
from ratta.outputs import replace_file
from ratta.records import as_float

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

FORMAT = "ratta-profile/1"
MANIFEST = "profile.json"
ARRAYS = "profile.npz"
FILES = (MANIFEST, ARRAYS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraProfile:
    """A verified camera profile, in memory.

    Attributes
    ----------
    model_sha256 : str
        Of the bundle's manifest.
    level : float
        At which the anchor's conformal threshold is taken.
    anchor : mapping of str to array
        The evidence of the live anchor.
    made_from : mapping
        Sessions, people, and what was found on those left out.
    """

    model_sha256: str
    level: float
    anchor: Mapping[str, npt.NDArray[Any]]
    made_from: Mapping[str, Any]


def read_profile(folder: str | Path, *, model_sha256: str, sha256: str | None = None) -> CameraProfile:
    """Read and verify a profile.

    Parameters
    ----------
    folder : path
    model_sha256 : str
        Of the bundle that the engine runs.
    sha256 : str, optional
        The expected SHA-256 of `profile.json`; pin it where others may write to the folder.

    Raises
    ------
    BundleError
        If a file is missing or altered, or the profile belongs to another model.
    """
    folder = Path(folder)
    raw = bundle._read_file(folder, MANIFEST)
    digest = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise BundleError(
            f"{folder / MANIFEST}: expected the pinned SHA-256 {sha256}, got {digest}; restore the profile"
        )
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST}: expected JSON, got: {error}") from error
    if not isinstance(manifest, dict):
        raise BundleError(f"{folder / MANIFEST}: expected a mapping, got {type(manifest).__name__}")
    level, made_from = as_float(manifest.get("level")), manifest.get("made_from")
    if manifest.get("format") != FORMAT or not 0 <= level <= 1 or not isinstance(made_from, dict):
        raise BundleError(
            f"{folder / MANIFEST}: expected a profile of format {FORMAT!r} with level and made_from, got "
            f"{manifest.get('format')!r}; make one with ratta calibrate --live"
        )
    if manifest.get("model_sha256") != model_sha256:
        raise BundleError(
            f"{folder / MANIFEST}: expected a profile of the model {model_sha256[:12]}, got one of "
            f"{str(manifest.get('model_sha256'))[:12]}; calibrate this model on this camera"
        )
    content = bundle._verified(folder, ARRAYS, {"sha256": manifest.get("arrays_sha256")})
    return CameraProfile(
        model_sha256=model_sha256,
        level=level,
        anchor=bundle._arrays({ARRAYS: content}, folder, ARRAYS),
        made_from=made_from,
    )


def write_profile(folder: str | Path, profile: CameraProfile) -> None:
    """Write a profile, the manifest last; an existing one is replaced.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = bundle._npz_bytes(dict(profile.anchor))
    replace_file(folder / ARRAYS, content)
    manifest = {
        "format": FORMAT,
        "model_sha256": profile.model_sha256,
        "level": profile.level,
        "made_from": dict(profile.made_from),
        "arrays_sha256": hashlib.sha256(content).hexdigest(),
    }
    replace_file(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
