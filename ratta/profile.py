"""A camera profile: what is known of one camera, made from labelled sessions, beside the model that it belongs to.

The format, `ratta-profile/1`: a folder with

- `profile.json`: the format, `model_sha256` (of the manifest of the bundle that it belongs to), `level`, `made_from`
  (what a person wants to know of it) and the SHA-256 of the other file;
- `profile.npz`: the live anchor, as plain arrays of sums and scores; or, of a labelled profile, a head: `head.weight`
  (D,) and `head.offset`. No frame, no picture, no single session.

Nothing in a profile is ever executed. A live profile can only deny. A labelled one corrects the source's log-odds,
`logit + embedding @ weight + offset`, and may grant: whoever makes one has labels of both classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratta.bundle import npz_bytes
from ratta.errors import BundleError
from ratta.outputs import replace_file
from ratta.records import as_float
from ratta.untrusted import read_arrays, read_object, read_pinned, read_verified

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
        The evidence of the live anchor; empty where there is none.
    head : mapping of str to array
        The correction of a labelled profile; empty where there is none.
    made_from : mapping
        Sessions, people, and what was found on those left out.
    """

    model_sha256: str
    level: float
    anchor: Mapping[str, npt.NDArray[Any]]
    made_from: Mapping[str, Any]
    head: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


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
    raw, _ = read_pinned(folder / MANIFEST, sha256=sha256, what="profile")
    manifest = read_object(raw, where=folder / MANIFEST)
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
    arrays = read_arrays(read_verified(folder / ARRAYS, sha256=manifest.get("arrays_sha256")), where=folder / ARRAYS)
    head = {name: array for name, array in arrays.items() if name.startswith("head.")}
    return CameraProfile(
        model_sha256=model_sha256,
        level=level,
        anchor={name: array for name, array in arrays.items() if name not in head},
        made_from=made_from,
        head=head,
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
    content = npz_bytes({**profile.anchor, **profile.head})
    replace_file(folder / ARRAYS, content)
    manifest = {
        "format": FORMAT,
        "model_sha256": profile.model_sha256,
        "level": profile.level,
        "made_from": dict(profile.made_from),
        "arrays_sha256": hashlib.sha256(content).hexdigest(),
    }
    replace_file(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
