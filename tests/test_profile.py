"""Camera profiles: written whole, verified before use, and of one model only."""

import json

import numpy as np
import pytest

from ratta.errors import BundleError
from ratta.profile import CameraProfile, read_profile, write_profile

MODEL = "ab" * 32


@pytest.fixture
def folder(tmp_path):
    made = CameraProfile(
        model_sha256=MODEL, level=0.05, anchor={"anchor.x": np.arange(3.0)}, made_from={"kind": "live", "sessions": 12}
    )
    write_profile(tmp_path / "door", made)
    return tmp_path / "door"


def test_what_was_written_is_read(folder):
    """Level, arrays and the report."""
    found = read_profile(folder, model_sha256=MODEL)
    assert (0.05, 12) == (found.level, found.made_from["sessions"])
    np.testing.assert_array_equal(found.anchor["anchor.x"], np.arange(3.0))


def test_another_model_is_refused(folder):
    """A profile belongs to one bundle."""
    with pytest.raises(BundleError, match="calibrate this model"):
        read_profile(folder, model_sha256="cd" * 32)


def test_an_altered_array_file_is_refused(folder):
    """The manifest names its hash."""
    content = bytearray((folder / "profile.npz").read_bytes())
    content[40] ^= 1
    (folder / "profile.npz").write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256"):
        read_profile(folder, model_sha256=MODEL)


def test_a_pinned_hash_is_compared(folder):
    """Whoever may write the folder may write both hashes."""
    with pytest.raises(BundleError, match="pinned"):
        read_profile(folder, model_sha256=MODEL, sha256="00" * 32)


@pytest.mark.parametrize(
    "change", [{"format": "other"}, {"level": 2}, {"level": None}, {"made_from": []}, {"arrays_sha256": 5}]
)
def test_a_manifest_that_does_not_fit_is_refused(folder, change):
    """Nothing is defaulted."""
    manifest = json.loads((folder / "profile.json").read_text()) | change
    (folder / "profile.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        read_profile(folder, model_sha256=MODEL)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{"])
def test_what_is_no_manifest_is_refused(folder, text):
    """In one sentence, however it is broken."""
    (folder / "profile.json").write_text(text)
    with pytest.raises(BundleError, match=r"profile\.json"):
        read_profile(folder, model_sha256=MODEL)


def test_a_missing_folder_is_refused(tmp_path):
    """The error names the file."""
    with pytest.raises(BundleError, match=r"profile\.json"):
        read_profile(tmp_path / "none", model_sha256=MODEL)
