"""Pools: written one session at a time, mapped on reading, refused when incomplete."""

from dataclasses import replace

import numpy as np
import pytest

from ratta.errors import DataError
from ratta.evaluate.sessions import CropSession, change_session, open_pool, pool_key, read_pool, write_pool


def test_round_trip(corpus, tmp_path) -> None:
    """Everything comes back, and crops are mapped rather than read."""
    written = corpus(2)
    found = write_pool(tmp_path / "pool", iter(written), key="k")
    assert [(s.name, s.subject, s.is_live, s.species) for s in written] == [
        (s.name, s.subject, s.is_live, s.species) for s in found
    ]
    for one, two in zip(written, found, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        np.testing.assert_array_equal(one.t, two.t)
    assert isinstance(found[0].pixels, np.memmap)
    assert "k" == pool_key(tmp_path / "pool")


def test_another_key_is_another_pool(corpus, tmp_path) -> None:
    """A pool that was cut from something else is not opened."""
    write_pool(tmp_path, corpus(2), key="old")
    assert (None, 8) == (open_pool(tmp_path, key="new"), len(open_pool(tmp_path, key="old") or ()))


def test_interrupted_pool_does_not_exist(corpus, tmp_path) -> None:
    """If the source of sessions fails, the old pool is gone and no new one pretends to be whole."""
    write_pool(tmp_path, corpus(2), key="k")

    def broken():
        yield corpus(2)[0]
        raise OSError("camera fell off")

    with pytest.raises(OSError, match="camera fell off"):
        write_pool(tmp_path, broken(), key="k")
    assert None is open_pool(tmp_path, key="k")


def test_cut_pool_is_refused(corpus, tmp_path) -> None:
    """A pool whose crops are not all there is refused with what to do."""
    write_pool(tmp_path, corpus(2), key="k")
    path = tmp_path / "pixels.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"pixels.bin: expected 6144 bytes of crops, got other; delete the pool"):
        read_pool(tmp_path)


@pytest.mark.parametrize("text", [None, "{", '{"format": "other"}'])
def test_no_pool(tmp_path, text) -> None:
    """A folder without a manifest, or with a foreign one, is no pool."""
    if text is not None:
        (tmp_path / "pool.json").write_text(text)
    with pytest.raises(DataError, match=r"pool.json: expected"):
        read_pool(tmp_path)


def test_sizes_must_agree(make_session, tmp_path) -> None:
    """Crops of two models cannot share a pool."""
    one = make_session("a", live=True)
    other = CropSession(
        **{k: getattr(one, k) for k in ("subject", "camera", "is_live", "species", "refusals", "t")},
        name="b",
        pixels=np.zeros((4, 9, 9, 3), np.uint8),
    )
    with pytest.raises(DataError, match=r"session b: expected crops \(8, 8, 3\), got \(9, 9, 3\)"):
        write_pool(tmp_path, [one, other], key="k")


def test_empty_pool(tmp_path) -> None:
    """A pool of nothing is refused."""
    with pytest.raises(DataError, match="expected at least one session, got none"):
        write_pool(tmp_path, [], key="k")


def test_a_session_needs_frames(make_session) -> None:
    """A session without frames, or with unequal columns, cannot be made."""
    with pytest.raises(DataError, match="expected as many crops, refusals and times, at least one, got 0, 0 and 0"):
        make_session("a", live=True, frames=4).take(slice(0, 0))


def test_several_crops_of_a_face_stay_together(corpus, tmp_path) -> None:
    """A pool of a contract with two crops holds both, and another camera shows both the same way."""
    one = corpus(1)[0]
    both = replace(one, pixels=np.stack([one.pixels, one.pixels[:, ::-1]], axis=1))
    (found,) = write_pool(tmp_path, [both], key="k")
    np.testing.assert_array_equal(both.pixels, found.pixels)
    changed, alone = change_session(found, "dark-2.2"), change_session(one, "dark-2.2")
    np.testing.assert_array_equal(changed.pixels[:, 0], alone.pixels)
