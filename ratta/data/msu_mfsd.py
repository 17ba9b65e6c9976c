"""MSU-MFSD (Wen, Han and Jain 2015): 35 people, a phone and a laptop, printed photo, iPad and iPhone replay.

Layout: `scene01/{real,attack}/{real,attack}_clientNNN_{android,laptop}_SD_...`, subjects of the training and test set
in `train_sub_list.txt` and `test_sub_list.txt`. There is no development set.
"""

from __future__ import annotations

import re
from pathlib import Path

from ratta.data import tree
from ratta.data.presentation import Presentation, checked
from ratta.errors import DataError

CORPUS = "MSU-MFSD"
_SPECIES = {"printed_photo": "print", "ipad_video": "ipad", "iphone_video": "iphone"}
_NAME = re.compile(
    r"(?P<kind>real|attack)_client(?P<client>\d{3})_(?P<camera>android|laptop)_SD_"
    r"((?P<medium>printed_photo|ipad_video|iphone_video)_)?scene01"
)


def read_msu_mfsd(root: str | Path) -> tuple[Presentation, ...]:
    """Read the corpus.

    Parameters
    ----------
    root : path
        Holds `scene01` and the two subject lists.

    Raises
    ------
    DataError
        If the tree does not fit, or a subject is in no list; the message says what was expected where.
    """
    root = Path(root)
    splits = {name: _subjects(root / f"{name}_sub_list.txt") for name in ("train", "test")}
    found = []
    for kind in ("real", "attack"):
        videos = tree.files(root / "scene01" / kind, tree.VIDEOS, corpus=CORPUS, holds=f"videos {kind}_client*")
        found += [_presentation(video, kind, splits) for video in videos]
    return checked(found, corpus=CORPUS)


def _subjects(listing: Path) -> frozenset[int]:
    found = []
    for number, line in tree.lines(listing, corpus=CORPUS, holds="one subject number a line"):
        if not line.isdigit():
            raise DataError(f"{CORPUS}: {listing}:{number}: expected a subject number, got {line!r}")
        found.append(int(line))
    return frozenset(found)


def _presentation(video: Path, kind: str, splits: dict[str, frozenset[int]]) -> Presentation:
    example = "real_client001_android_SD_scene01 or attack_client001_laptop_SD_ipad_video_scene01"
    found = tree.parts(_NAME, video, corpus=CORPUS, example=example)
    if found["kind"] != kind or (kind == "attack") != bool(found["medium"]):
        raise DataError(f"{CORPUS}: {video}: expected a name like {example} in scene01/{kind}, got {video.name}")
    listed = [name for name, subjects in splits.items() if int(found["client"]) in subjects]
    if len(listed) != 1:
        where = " and in ".join(listed) or "neither"
        raise DataError(
            f"{CORPUS}: client{found['client']}: expected it in one of the two subject lists, found it in {where}"
        )
    return Presentation(
        paths=(video,),
        is_live=kind == "real",
        species=_SPECIES.get(found["medium"], ""),
        subject=found["client"],
        session=video.stem,
        camera=found["camera"],
        split=listed[0],
    )
