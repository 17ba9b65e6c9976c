"""The CASIA-FASD reader on a small tree in the corpus's layout."""

import pytest

from ratta.data import read_casia_fasd
from ratta.errors import DataError

NAMES = [str(i) for i in range(1, 9)] + [f"HR_{i}" for i in range(1, 5)]
TREE = [f"{split}_release/1/{name}.avi" for split in ("train", "test") for name in NAMES]


def test_reads(plant) -> None:
    """Attack and camera come from the number; the two subjects 1 are two people."""
    found = read_casia_fasd(plant(TREE))
    by_name = {p.paths[0].stem: p for p in found if p.split == "test"}
    kinds = ["", "", "print-warped", "print-warped", "print-cut", "print-cut", "replay", "replay"]
    assert [*kinds, "", "print-warped", "print-cut", "replay"] == [by_name[name].species for name in NAMES]
    assert ["low", "normal"] * 4 + ["high"] * 4 == [by_name[name].camera for name in NAMES]
    assert {"train-1", "test-1"} == {p.subject for p in found}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (TREE[:12], r"CASIA-FASD: expected the folder \S+test_release with one folder per subject"),
        ([*TREE, "test_release/2/readme.txt"], r"expected videos 1.avi to 8.avi, HR_1.avi ... in \S+test_release/2"),
        ([*TREE, "test_release/2/9.avi"], r"9.avi: expected 1.avi to 8.avi or HR_1.avi to HR_4.avi, got 9.avi"),
        (["train_release/x", "test_release/x"], "CASIA-FASD: expected presentations, found none"),
    ],
)
def test_wrong_trees(plant, tree, message) -> None:
    """What is missing or foreign is named with what was expected where."""
    with pytest.raises(DataError, match=message):
        read_casia_fasd(plant(tree))
