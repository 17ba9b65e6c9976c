"""CelebA-Spoof (Zhang et al. 2020): 625,537 pictures of 10,177 people, ten kinds of attack.

Layout: `Data/{train,test}/<id>/{live,spoof}/*.{png,jpg}`, a face box in `<picture>_BB.txt` (x y w h in a frame of 224
x 224), and `metas/intra_test/{train,test}_label.json`: picture -> 44 numbers, of which 40 is the spoof type, 41 the
illumination, 42 the environment and 43 whether it is a spoof. There is no development set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratta.data import tree
from ratta.data.presentation import Presentation, checked
from ratta.errors import DataError
from ratta.files import read_json

CORPUS = "CelebA-Spoof"
_SPECIES = (
    "", "photo", "poster", "a4", "face-mask", "upper-body-mask", "region-mask", "pc", "pad", "phone", "3d-mask",
)  # fmt: skip
_LABELS = 44
_SPOOF_TYPE, _ILLUMINATION, _ENVIRONMENT, _IS_SPOOF = 40, 41, 42, 43


def read_celeba_spoof(root: str | Path) -> tuple[Presentation, ...]:
    """Read the intra-corpus protocol; every picture is a session of its own.

    Parameters
    ----------
    root : path
        Holds `Data` and `metas`.

    Raises
    ------
    DataError
        If the tree does not fit; the message says what was expected where.
    """
    root = Path(root)
    found: list[Presentation] = []
    for split in ("train", "test"):
        tree.folder(root / "Data" / split, corpus=CORPUS, holds="one folder per subject")
        listing = tree.file(
            root / "metas" / "intra_test" / f"{split}_label.json", corpus=CORPUS, holds="picture -> 44 labels"
        )
        entries = _entries(listing)
        tree.all_there([root / name for name in entries], corpus=CORPUS, listed_in=listing)
        found += [_presentation(root, name, labels, split, listing) for name, labels in entries.items()]
    return checked(found, corpus=CORPUS)


def _entries(listing: Path) -> dict[str, Any]:
    try:
        entries = read_json(listing)
    except DataError as error:
        raise DataError(f"{CORPUS}: {error}") from error
    if not isinstance(entries, dict):
        raise DataError(f"{CORPUS}: {listing}: expected picture -> labels, got a {type(entries).__name__}")
    return entries


def _presentation(root: Path, name: str, labels: Any, split: str, listing: Path) -> Presentation:
    where = Path(name).parts
    expected = f"Data/{split}/<id>/<live|spoof>/<picture> with {_LABELS} labels"
    shaped = len(where) == 5 and where[:2] == ("Data", split) and where[3] in ("live", "spoof")
    if not shaped or not isinstance(labels, list) or len(labels) != _LABELS:
        raise DataError(f"{CORPUS}: {listing}: {name}: expected {expected}, got other")
    kind = labels[_SPOOF_TYPE]
    is_live = labels[_IS_SPOOF] == 0
    if kind not in range(len(_SPECIES)) or is_live != (kind == 0) or is_live != (where[3] == "live"):
        raise DataError(
            f"{CORPUS}: {listing}: {name}: expected spoof type 0 (live) to 10, agreeing with label {_IS_SPOOF} and the "
            f"folder, got type {kind} and label {labels[_IS_SPOOF]}"
        )
    picture = root / name
    box = picture.with_name(f"{picture.stem}_BB.txt")
    return Presentation(
        paths=(picture,),
        is_live=is_live,
        species=_SPECIES[kind],
        subject=where[2],
        session=f"{split}/{where[2]}/{where[3]}/{picture.stem}",
        condition=f"illumination{labels[_ILLUMINATION]}-environment{labels[_ENVIRONMENT]}",
        split=split,
        box_file=box if box.is_file() else None,
        box_format="celeba-box" if box.is_file() else "",
    )
