"""Replay-Attack (Chingovska et al. 2012): 50 people, one laptop camera, print, mobile and tablet attacks.

Layout: `{train,devel,test}/{real,attack/{fixed,hand}}/*.mov`, face boxes per frame in `face-locations/` at the same
place with the suffix `.face`.
"""

from __future__ import annotations

import re
from pathlib import Path

from ratta.data import tree
from ratta.data.presentation import Presentation, checked

CORPUS = "Replay-Attack"
_SPLITS = {"train": "train", "devel": "dev", "test": "test"}
_REAL = re.compile(r"client(?P<client>\d{3})_session\d\d_webcam_authenticate_(?P<light>adverse|controlled)_\d+")
_ATTACK = re.compile(
    r"attack_(?P<species>print|highdef|mobile)_client(?P<client>\d{3})_session\d\d_"
    r"\w+?_(photo|video)_(?P<light>adverse|controlled)"
)


def read_replay_attack(root: str | Path) -> tuple[Presentation, ...]:
    """Read the corpus; `devel` is the development set.

    Parameters
    ----------
    root : path
        Holds `train`, `devel`, `test` and, if boxes are wanted, `face-locations`.

    Raises
    ------
    DataError
        If the tree does not fit; the message says what was expected where.
    """
    root = Path(root)
    found: list[Presentation] = []
    for split in _SPLITS:
        for place in ("real", "attack/fixed", "attack/hand"):
            videos = tree.files(root / split / place, frozenset({".mov"}), corpus=CORPUS, holds="videos *.mov")
            found += [_presentation(root, video, split, place) for video in videos]
    return checked(found, corpus=CORPUS)


def _presentation(root: Path, video: Path, split: str, place: str) -> Presentation:
    is_live = place == "real"
    name = "client001_session01_webcam_authenticate_adverse_1.mov"
    if not is_live:
        name = "attack_print_client001_session01_highres_photo_adverse.mov"
    found = tree.parts(_REAL if is_live else _ATTACK, video, corpus=CORPUS, example=name)
    support = "" if is_live else "-" + place.partition("/")[2]
    boxes = (root / "face-locations" / video.relative_to(root)).with_suffix(".face")
    return Presentation(
        paths=(video,),
        is_live=is_live,
        species=found.get("species", ""),
        subject=found["client"],
        session=video.relative_to(root).with_suffix("").as_posix(),
        camera="laptop",
        condition=found["light"] + support,
        split=_SPLITS[split],
        box_file=boxes if boxes.is_file() else None,
        box_format="replay-faces" if boxes.is_file() else "",
    )
