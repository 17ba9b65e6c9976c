"""CASIA-FASD (Zhang et al. 2012): 50 people, three cameras, warped print, cut print and replay.

Layout: `{train,test}_release/<subject>/{1..8,HR_1..HR_4}.avi`. There is no development set.
"""

from __future__ import annotations

from pathlib import Path

from ratta.data import tree
from ratta.data.presentation import Presentation, checked
from ratta.errors import DataError

CORPUS = "CASIA-FASD"
_SPECIES = {
    **dict.fromkeys(("1", "2", "HR_1"), ""),
    **dict.fromkeys(("3", "4", "HR_2"), "print-warped"),
    **dict.fromkeys(("5", "6", "HR_3"), "print-cut"),
    **dict.fromkeys(("7", "8", "HR_4"), "replay"),
}


def read_casia_fasd(root: str | Path) -> tuple[Presentation, ...]:
    """Read the corpus.

    Subjects are numbered from 1 in both releases and are different people, so their names carry the split.

    Parameters
    ----------
    root : path
        Holds `train_release` and `test_release`.

    Raises
    ------
    DataError
        If the tree does not fit; the message says what was expected where.
    """
    found: list[Presentation] = []
    for split in ("train", "test"):
        release = tree.folder(Path(root) / f"{split}_release", corpus=CORPUS, holds="one folder per subject")
        for subject in tree.folders(release):
            videos = tree.files(
                subject, frozenset({".avi"}), corpus=CORPUS, holds="videos 1.avi to 8.avi, HR_1.avi ..."
            )
            found += [_presentation(video, split) for video in videos]
    return checked(found, corpus=CORPUS)


def _presentation(video: Path, split: str) -> Presentation:
    if video.stem not in _SPECIES:
        raise DataError(f"{CORPUS}: {video}: expected 1.avi to 8.avi or HR_1.avi to HR_4.avi, got {video.name}")
    species = _SPECIES[video.stem]
    high = video.stem.startswith("HR")
    subject = f"{split}-{video.parent.name}"
    return Presentation(
        paths=(video,),
        is_live=not species,
        species=species,
        subject=subject,
        session=f"{subject}/{video.stem}",
        camera="high" if high else ("low" if int(video.stem) % 2 else "normal"),
        split=split,
    )
