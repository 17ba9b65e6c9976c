"""A model folder: everything an engine needs, verified before the first use.

The format, `ratta-bundle/2` (`docs/models.md` has all of it):

- `bundle.json` names every other file with its size and SHA-256, and holds the contract of the network
  (`ratta.contract`), the calibration, the thresholds and where each of these came from.
- `model.onnx` is the graph; what it takes and gives is what the contract says.
- `affine.npz`, where the tail can be trained, holds the unfolded batch normalisation: `<layer>.gamma`, `.beta`,
  `.mean`, `.var`.
- `statistics.npz`, where the model was calibrated, holds what is known of the source.
- `CARD.md` says what the model is, what it was trained on, and what it cannot do.

`ratta-bundle/1` is still read: it knew one family of networks and one crop.

Nothing in a bundle is ever executed: JSON, raw tensors and an ONNX graph without custom operators.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.contract import Contract, CropRule, read_contract, read_record
from ratta.errors import BundleError, InputError, did_you_mean
from ratta.outputs import replace_file
from ratta.policy import Policy
from ratta.records import as_float
from ratta.untrusted import is_plain_name, read_arrays, read_object, read_pinned, read_verified

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[Any]]

FORMAT = "ratta-bundle/2"
READABLE = ("ratta-bundle/1", FORMAT)
MANIFEST = "bundle.json"
REQUIRED_FILES = ("model.onnx", "CARD.md")
MOST_FILES = 64
DEFAULT_MODEL = "ratta-mnv3s-128"
DETECTOR_FOLDER = "blazeface-short-range"
DETECTOR_FILE = "blazeface.onnx"
DETECTOR_SHA256 = "9ee6a223920c2ebe124d6492068f4eccbed195e87d546788b4cb2d5424f05e60"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """From the two logits to `live_score`, and from scores to verdicts.

    Attributes
    ----------
    temperature, bias : float
        `live_score = sigmoid((logit_live - logit_spoof) / temperature + bias)`.
    live_threshold : float
        A session at or above this score may be LIVE.
    spoof_threshold : float
        A session at or below this score may be SPOOF; between the two it stays UNCERTAIN.
    origin : str
        Data, split and policy that these four numbers come from.
    """

    temperature: float
    bias: float
    live_threshold: float
    spoof_threshold: float
    origin: str

    def __post_init__(self) -> None:
        if not 1e-3 <= as_float(self.temperature) <= 1e3 or not abs(as_float(self.bias)) <= 1e3:
            raise BundleError(
                "calibration: expected a temperature from 0.001 to 1000 and a bias from -1000 to 1000, "
                f"got {self.temperature!r:.80} and {self.bias!r:.80}"
            )
        if not 0 < as_float(self.spoof_threshold) <= as_float(self.live_threshold) < 1:
            raise BundleError(
                "calibration: expected 0 < spoof_threshold <= live_threshold < 1, "
                f"got {self.spoof_threshold!r:.80} and {self.live_threshold!r:.80}"
            )
        if not isinstance(self.origin, str) or not self.origin:
            raise BundleError(
                "calibration.origin: expected a sentence saying where the thresholds come from, got "
                f"{self.origin!r:.80}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bundle:
    """A verified model folder, in memory.

    Attributes
    ----------
    name, version, licence : str
        As the manifest says.
    contract : Contract
    calibration : Calibration
    graph : bytes
        The ONNX model.
    affine, statistics : dict of str to array
        Empty where the bundle has none.
    card : str
        The model card, Markdown.
    sha256 : str
        Of the manifest, which names the SHA-256 of every other file: the model's identity.
    members : tuple of Bundle
        Of an ensemble, whose answer is the mean of their calibrated log-odds; `contract` and `graph` are then the
        first one's.
    """

    name: str
    version: str
    licence: str
    contract: Contract
    calibration: Calibration
    graph: bytes
    affine: Arrays
    statistics: Arrays
    card: str
    sha256: str
    members: tuple[Bundle, ...] = ()

    @property
    def policy(self) -> Policy:
        """The default policy, with the thresholds of the calibration."""
        made = self.calibration
        return Policy(live_threshold=made.live_threshold, spoof_threshold=made.spoof_threshold)

    @property
    def crops(self) -> tuple[CropRule, ...]:
        """Every crop rule, of one member after the other where there are several."""
        return tuple(rule for one in self.members for rule in one.crops) or self.contract.crops

    def __repr__(self) -> str:
        return f"<Bundle {self.name} {self.version}, sha256 {self.sha256[:12]}>"


def read_bundle(folder: str | Path, *, sha256: str | None = None) -> Bundle:
    """Read and verify a model folder.

    Parameters
    ----------
    folder : path
        Holds `bundle.json` and the files it names.
    sha256 : str, optional
        The manifest's expected SHA-256. Pin it where the folder may be written by others: whoever can rewrite the
        whole folder can rewrite the hashes in it too.

    Raises
    ------
    BundleError
        If a file is missing, altered, or does not fit the format; nothing is ever defaulted.
    """
    folder = Path(folder)
    raw, digest = read_pinned(folder / MANIFEST, sha256=sha256, what="model folder")
    manifest = _parse_manifest(raw, folder)
    files = {
        name: read_verified(folder / name, sha256=entry.get("sha256"), size=entry.get("bytes"))
        for name, entry in manifest["files"].items()
    }
    if "members" in manifest:
        return _read_ensemble(folder, manifest, files, digest)
    return Bundle(
        name=manifest["name"],
        version=manifest["version"],
        licence=manifest["licence"],
        contract=read_contract(manifest["contract"], where=str(folder / MANIFEST)),
        calibration=read_record(Calibration, manifest["calibration"], where=f"{folder / MANIFEST}: calibration"),
        graph=files["model.onnx"],
        affine=_arrays(files, folder, "affine.npz"),
        statistics=_arrays(files, folder, "statistics.npz"),
        card=files["CARD.md"].decode(errors="replace"),
        sha256=digest,
    )


def _read_ensemble(folder: Path, manifest: dict[str, Any], files: dict[str, bytes], digest: str) -> Bundle:
    members = tuple(read_bundle(folder / name, sha256=entry["sha256"]) for name, entry in manifest["members"].items())
    if any(one.members for one in members):
        raise BundleError(f"{folder / MANIFEST}: members: expected models, got an ensemble of ensembles")
    return Bundle(
        name=manifest["name"],
        version=manifest["version"],
        licence=manifest["licence"],
        contract=members[0].contract,
        calibration=read_record(Calibration, manifest["calibration"], where=f"{folder / MANIFEST}: calibration"),
        graph=members[0].graph,
        affine={},
        statistics={},
        card=files["CARD.md"].decode(errors="replace"),
        sha256=digest,
        members=members,
    )


def write_bundle(
    folder: str | Path,
    *,
    name: str,
    version: str,
    licence: str,
    contract: Contract,
    calibration: Calibration,
    graph: bytes,
    affine: Arrays | None = None,
    statistics: Arrays | None = None,
    card: str,
) -> Bundle:
    """Write a model folder and read it back, so that what is on disk is what was verified.

    Parameters
    ----------
    folder : path
        Made if absent; an existing bundle in it is replaced, the manifest last.

    Returns
    -------
    Bundle
        As `read_bundle` gives it.
    """
    folder = Path(folder)
    files = {
        "model.onnx": graph,
        **{name: npz_bytes(held) for name, held in (("affine.npz", affine), ("statistics.npz", statistics)) if held},
        "CARD.md": card.encode(),
    }
    for file_name, content in files.items():
        replace_file(folder / file_name, content)
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "licence": licence,
        "contract": contract.to_json(),
        "calibration": asdict(calibration),
        "files": file_entries(files),
    }
    write_manifest(folder, manifest)
    for left_over in {"affine.npz", "statistics.npz"} - set(files):
        (folder / left_over).unlink(missing_ok=True)
    return read_bundle(folder)


def file_entries(files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return what a manifest says of files: their size and SHA-256, by name."""
    return {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in files.items()}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest at once or not at all."""
    replace_file(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def read_detector(folder: str | Path | None = None) -> bytes:
    """Read and verify the shipped face detector, BlazeFace short range (see `models/blazeface-short-range`).

    Raises
    ------
    BundleError
        If the file is missing or is not the one this version was made with.
    """
    folder = models_folder() / DETECTOR_FOLDER if folder is None else Path(folder)
    return read_verified(folder / DETECTOR_FILE, sha256=DETECTOR_SHA256)


def models_folder() -> Path:
    """Where the shipped models lie: inside the installed package, or beside it in a source checkout."""
    package = Path(__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def shipped_models() -> list[str]:
    """Return the names of the models that come with the package, sorted."""
    return sorted(p.parent.name for p in models_folder().glob(f"*/{MANIFEST}"))


def find_bundle(name_or_path: str | Path) -> Path:
    """Resolve a shipped model's name, or a path to a model folder.

    Raises
    ------
    BundleError
        If neither exists; the message lists the shipped names.
    """
    if not isinstance(name_or_path, str | Path):
        raise InputError(f"model: expected a name or a path, got {type(name_or_path).__name__}")
    name = str(name_or_path)
    if isinstance(name_or_path, str) and not name.strip():
        raise InputError("model: expected a name or a path, got an empty one; leave it out for the shipped model")
    # A shipped name means the shipped model, whatever lies in the working directory under that name.
    places = [models_folder() / name] if name == Path(name).name else []
    for folder in (*places, Path(name)):
        if _has_manifest(folder):
            return folder
    shipped = shipped_models()
    raise BundleError(
        f"model: expected a folder with {MANIFEST} or one of {shipped}, got {str(name_or_path)!r}"
        f"{did_you_mean(name, shipped)}"
    )


def model_files(name_or_path: str | Path) -> tuple[Path, ...]:
    """Give the folder of a model and the files in it, which nothing else may be written over.

    Raises
    ------
    BundleError
        If there is no such model.
    """
    folder = find_bundle(name_or_path)
    return (folder, *(folder / name for name in (MANIFEST, *REQUIRED_FILES, "affine.npz", "statistics.npz")))


def _has_manifest(folder: Path) -> bool:
    try:
        return (folder / MANIFEST).is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def _parse_manifest(raw: bytes, folder: Path) -> dict[str, Any]:
    where = folder / MANIFEST
    manifest = read_object(raw, where=where)
    if manifest.get("format") not in READABLE:
        raise BundleError(
            f"{where}: expected format {' or '.join(READABLE)}, got {manifest.get('format')!r:.80}; "
            "this version of ratta cannot read it"
        )
    whole = "members" if "members" in manifest else "contract"
    kinds = {"name": str, "version": str, "licence": str, whole: dict, "calibration": dict, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(manifest.get(key), kind):
            raise BundleError(f"{where}: {key}: expected a {kind.__name__}, got {manifest.get(key)!r:.80}")
    named = (*manifest["files"].items(), *manifest.get("members", {}).items())
    odd = [name for name, entry in named if not isinstance(entry, dict) or not is_plain_name(name)]
    if odd or len(named) > MOST_FILES:
        raise BundleError(
            f"{where}: files: expected at most {MOST_FILES} plain file names with a sha256 each, got {odd[:1]!a:.80}"
        )
    required = ("CARD.md",) if whole == "members" else REQUIRED_FILES
    missing = [name for name in required if name not in manifest["files"]]
    if missing:
        raise BundleError(f"{where}: files: expected entries for {list(required)}, missing {missing}")
    if whole == "members" and (len(manifest["members"]) < 2 or not all(e.get("sha256") for _, e in named)):
        raise BundleError(f"{where}: members: expected two or more with a sha256 each, got {manifest['members']}")
    return manifest


def _arrays(files: dict[str, bytes], folder: Path, name: str) -> Arrays:
    return read_arrays(files[name], where=folder / name) if name in files else {}


def npz_bytes(arrays: Arrays) -> bytes:
    """Pack arrays as a compressed `.npz`."""
    buffer = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()
