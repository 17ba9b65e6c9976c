"""NUAA Imposter (Tan et al. 2010): 15 people, webcams, printed photographs.

Layout: `{ClientRaw,ImposterRaw}/<id>/<id>_<glasses>_<illumination>_<session>_<image>.jpg`. The lists that come with the
corpus put the same people into training and test, so the split is made here, by subject.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from ratta.data import tree
from ratta.data.presentation import Presentation, checked
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

CORPUS = "NUAA"
_NAME = re.compile(r"(?P<subject>\d{4})_(?P<glasses>\d\d)_(?P<light>\d\d)_(?P<session>\d\d)_(?P<image>\d+)")


def read_nuaa(
    root: str | Path, *, train_subjects: Collection[str] = (), dev_subjects: Collection[str] = ()
) -> tuple[Presentation, ...]:
    """Read the corpus; a session is all pictures of one person, class, glasses, illumination and recording session.

    Parameters
    ----------
    root : path
        Holds `ClientRaw` and `ImposterRaw`.
    train_subjects, dev_subjects : collection of str
        Such as `{"0001", "0002"}`; everybody else is in the test set.

    Raises
    ------
    InputError
        If a subject is asked for in both.
    DataError
        If the tree does not fit; the message says what was expected where.
    """
    if set(train_subjects) & set(dev_subjects):
        raise InputError(
            f"subjects: expected different ones, got {sorted(set(train_subjects) & set(dev_subjects))} twice"
        )
    found = []
    for kind, species in (("ClientRaw", ""), ("ImposterRaw", "print")):
        parent = tree.folder(Path(root) / kind, corpus=CORPUS, holds="one folder per subject")
        for subject in tree.folders(parent):
            for session, pictures in _sessions(subject).items():
                split = "train" if subject.name in train_subjects else "dev" if subject.name in dev_subjects else "test"
                found.append(_presentation(pictures, kind, species, session, split))
    return checked(found, corpus=CORPUS)


def _sessions(subject: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for picture in tree.files(subject, tree.PICTURES, corpus=CORPUS, holds="pictures <id>_.._.._.._<image>.jpg"):
        found = tree.parts(_NAME, picture, corpus=CORPUS, example=f"{subject.name}_00_01_01_26.jpg")
        groups[picture.stem.rpartition("_")[0]].append((int(found["image"]), picture))
    return {name: [picture for _, picture in sorted(pictures)] for name, pictures in sorted(groups.items())}


def _presentation(pictures: list[Path], kind: str, species: str, session: str, split: str) -> Presentation:
    subject, glasses, light, _ = session.split("_")
    return Presentation(
        paths=tuple(pictures),
        is_live=not species,
        species=species,
        subject=subject,
        session=f"{kind}/{session}",
        camera="webcam",
        condition=f"glasses{glasses}-light{light}",
        split=split,
    )
