"""OULU-NPU (Boulkenafet et al. 2017): 55 people, 6 phones, 4 protocols.

Layout: `{Train,Dev,Test}_files/P_S_UU_T.avi` with eye positions in `P_S_UU_T.txt`, and
`Protocols/Protocol_{1..4}/{Train,Dev,Test}[_fold].txt` of lines `+1,P_S_UU_T` (+1 live, -1 print, -2 replay).
"""

from __future__ import annotations

import re
from pathlib import Path

from ratta.data import tree
from ratta.data.presentation import Presentation, checked
from ratta.errors import DataError, InputError

CORPUS = "OULU-NPU"
_SPLITS = {"Train": "train", "Dev": "dev", "Test": "test"}
_KIND = {"+1": "", "-1": "print", "-2": "replay"}
_SPECIES = {"1": "", "2": "print", "3": "print", "4": "replay", "5": "replay"}
_NAME = re.compile(r"(?P<phone>[1-6])_(?P<session>[1-3])_(?P<user>\d\d)_(?P<type>[1-5])")


def folds(protocol: int) -> tuple[int, ...]:
    """Return the folds of a protocol: 1 to 6 for protocols 3 and 4 (report mean and deviation), none for 1 and 2."""
    if protocol not in (1, 2, 3, 4):
        raise InputError(f"protocol: expected 1, 2, 3 or 4, got {protocol}")
    return tuple(range(1, 7)) if protocol in (3, 4) else ()


def read_oulu_npu(root: str | Path, *, protocol: int, fold: int | None = None) -> tuple[Presentation, ...]:
    """Read one protocol.

    Parameters
    ----------
    root : path
        Holds `Train_files`, `Dev_files`, `Test_files` and `Protocols`.
    protocol : int
        1 to 4.
    fold : int, optional
        1 to 6, for protocols 3 and 4 only.

    Raises
    ------
    InputError
        If protocol and fold do not fit.
    DataError
        If the tree does not; the message says what was expected where.
    """
    if (fold is None) == bool(folds(protocol)) or (fold is not None and fold not in folds(protocol)):
        raise InputError(f"fold: expected one of {folds(protocol) or None} for protocol {protocol}, got {fold}")
    root = Path(root)
    base = tree.folder(root / "Protocols" / f"Protocol_{protocol}", corpus=CORPUS, holds="the protocol's lists")
    found: list[Presentation] = []
    for name in _SPLITS:
        tree.folder(root / f"{name}_files", corpus=CORPUS, holds="videos P_S_UU_T.avi")
        listing = base / (f"{name}.txt" if fold is None else f"{name}_{fold}.txt")
        found += _read_list(root, listing, name)
    return checked(found, corpus=CORPUS)


def _read_list(root: Path, listing: Path, split: str) -> list[Presentation]:
    found = []
    for number, line in tree.lines(listing, corpus=CORPUS, holds="lines +1,P_S_UU_T"):
        kind, _, stem = (part.strip() for part in line.partition(","))
        match = _NAME.fullmatch(stem)
        if kind not in _KIND or match is None:
            raise DataError(f"{CORPUS}: {listing}:{number}: expected a line like +1,1_1_01_1, got {line!r}")
        species = _SPECIES[match["type"]]
        if species != _KIND[kind]:
            raise DataError(
                f"{CORPUS}: {listing}:{number}: expected +1 for type 1, -1 for 2-3, -2 for 4-5, got {line!r}"
            )
        video = root / f"{split}_files" / f"{stem}.avi"
        eyes = video.with_suffix(".txt")
        found.append(
            Presentation(
                paths=(video,),
                is_live=not species,
                species=species,
                subject=match["user"],
                session=stem,
                camera=f"phone{match['phone']}",
                condition=f"session{match['session']}",
                split=_SPLITS[split],
                box_file=eyes if eyes.is_file() else None,
                box_format="oulu-eyes" if eyes.is_file() else "",
            )
        )
    tree.all_there([one.paths[0] for one in found], corpus=CORPUS, listed_in=listing)
    return found
