"""The crop cache: decoded once, never stale, never half."""

import numpy as np
import pytest

from ratta.data import CropReader, Presentation, separate, stacked
from ratta.errors import InputError, SourceError
from ratta.records import Box, Crop, Face, Reason, Refusal

cv2 = pytest.importorskip("cv2")


class Cutter:
    """Takes the corner of a frame, refuses dark ones, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame):
        self.calls += 1
        if frame.pixels.mean() < 50:
            return Refusal(Reason.TOO_DARK)
        return Crop((frame.pixels[:4, :4, ::-1],), Face(Box(0, 0, 4, 4), 1.0))


@pytest.fixture
def session(tmp_path):
    """A dark and a blue picture."""
    paths = (tmp_path / "0.png", tmp_path / "1.png")
    for path, color in zip(paths, ((0, 0, 0), (250, 100, 50)), strict=True):
        cv2.imwrite(str(path), np.full((6, 6, 3), color, np.uint8))
    return Presentation(paths=paths, is_live=True, species="", subject="1", session="1", split="test")


def reader(cut, cache=None, **changes) -> CropReader:
    """A reader with a contract that tests may change."""
    return CropReader(**{"cut": cut, "size": 4, "contract": {"crop_scale": 2.7}, "cache": cache, **changes})


def test_crops(session) -> None:
    """Refused frames are black and keep their reason; the rest is what the cutter gave."""
    crops = reader(Cutter()).read(session)
    assert (2, ["too dark", ""], [0, 1], [0.0, 1.0]) == (
        len(crops),
        crops.refusals.tolist(),
        crops.index.tolist(),
        crops.t.tolist(),
    )
    assert ([0, 0, 0], [50, 100, 250]) == (crops.pixels[0, 0, 0].tolist(), crops.pixels[1, 0, 0].tolist())


def test_second_reading_decodes_nothing(session, tmp_path) -> None:
    """A second reader finds the same crops without cutting."""
    first, second = Cutter(), Cutter()
    made = reader(first, tmp_path / "cache").read(session)
    found = reader(second, tmp_path / "cache").read(session)
    assert (2, 0) == (first.calls, second.calls)
    np.testing.assert_array_equal(made.pixels, found.pixels)
    assert made.refusals.tolist() == found.refusals.tolist()


@pytest.mark.parametrize("changes", [{"contract": {"crop_scale": 1.5}}, {"frames": 1}, {"size": 8}])
def test_another_rule_is_another_key(session, changes) -> None:
    """Crop rule, size and choice of frames are part of the key."""
    assert reader(Cutter()).key(session) != reader(Cutter(), **changes).key(session)


def test_changed_picture_is_cut_again(session, tmp_path) -> None:
    """The key is the content, so an overwritten picture is not answered with its old crop."""
    reader(Cutter(), tmp_path / "cache").read(session)
    cv2.imwrite(str(session.paths[0]), np.full((6, 6, 3), 200, np.uint8))
    crops = reader(Cutter(), tmp_path / "cache").read(session)
    assert ["", ""] == crops.refusals.tolist()


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_damaged_file_is_made_again(session, tmp_path, damage) -> None:
    """A cut or foreign file in the cache is replaced."""
    cache = tmp_path / "cache"
    made = reader(Cutter(), cache).read(session)
    (path,) = cache.glob("*.npz")
    path.write_bytes(path.read_bytes()[:100] if damage is None else damage)
    cut = Cutter()
    again = reader(cut, cache).read(session)
    assert 2 == cut.calls
    np.testing.assert_array_equal(made.pixels, again.pixels)
    assert [path] == list(cache.iterdir())


def test_what_cannot_be_read_is_a_refused_frame(session, tmp_path) -> None:
    """It is counted where it stands, also where nothing is left, and named; strict reading ends there."""
    session.paths[1].write_bytes(b"")
    one = reader(Cutter())
    assert ["too dark", "unusable input"] == one.read(session).refusals.tolist()
    assert [session.paths[1]] == [skipped.path for skipped in one.skipped]
    session.paths[0].unlink()
    again = reader(Cutter(), tmp_path / "cache")
    assert ["unusable input"] * 2 == again.read(session).refusals.tolist() == again.read(session).refusals.tolist()
    with pytest.raises(SourceError):
        reader(Cutter(), strict=True).read(session)


def test_validated_at_once() -> None:
    """Sizes must be positive."""
    with pytest.raises(InputError, match="expected size and frames of at least 1"):
        reader(Cutter(), frames=0)


def test_several_crops_of_a_face(session) -> None:
    """One more axis; a refused frame is black in all of them."""

    class Twice(Cutter):
        def __call__(self, frame):
            found = super().__call__(frame)
            return found if isinstance(found, Refusal) else Crop(found.pixels * 2, found.face)

    crops = reader(Twice(), crops=2).read(session)
    assert (2, 2, 4, 4, 3) == crops.pixels.shape
    assert (0, 50, 50) == (crops.pixels[0].max(), *crops.pixels[1, :, 0, 0, 0])
    assert [2, 1] == [len(separate(pixels)) for pixels in (crops.pixels[1], crops.pixels[1, 0])]
    np.testing.assert_array_equal(crops.pixels[1], stacked(separate(crops.pixels[1])))
