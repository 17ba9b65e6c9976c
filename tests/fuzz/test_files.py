"""Changed files: a model folder or a state is read as it was, or refused with an error of ours."""

import contextlib
import hashlib
import json

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from ratta.bundle import read_bundle
from ratta.errors import BundleError, InputError, StateError
from ratta.state import load_state, seal, unseal
from ratta.untrusted import read_arrays, read_object

SEALED = {"key": bytes(range(32)), "model_sha256": "ab" * 32}
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.sampled_from(["put", "drop", "add"])), max_size=6)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


def changed(content, changes):
    content = bytearray(content)
    for where, value, how in changes:
        at = int(where * len(content))
        content[at : at + (how != "add")] = b"" if how == "drop" else bytes([value])
    return bytes(content)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.npz"
    np.savez_compressed(path, gamma=np.ones((3, 4), np.float32), names=np.array(["spoof", "live"]), n=np.int64(3))
    return path.read_bytes()


@given(changes=CHANGES)
def test_a_changed_archive_is_arrays_or_refused(archive, changes):
    """Never another error, and never anything but arrays."""
    try:
        arrays = read_arrays(changed(archive, changes), where="archive")
    except BundleError:
        return
    assert all(isinstance(array, np.ndarray) and array.nbytes < 1e6 for array in arrays.values())


@given(values=JSON, changes=CHANGES)
def test_changed_json_is_an_object_or_refused(values, changes):
    """Whatever its text."""
    try:
        found = read_object(changed(json.dumps({"a": values}).encode(), changes), where="text")
    except BundleError:
        return
    assert isinstance(found, dict)


@given(path=st.lists(st.integers(0, 9), max_size=4), value=JSON, changes=CHANGES)
def test_a_changed_manifest_is_read_or_refused(tiny_bundle, tmp_path_factory, path, value, changes):
    """One value anywhere in it, then some bytes."""
    folder = tmp_path_factory.mktemp("model", numbered=True)
    for name, content in (("model.onnx", tiny_bundle.graph), ("CARD.md", b"")):
        (folder / name).write_bytes(content)
    calibration = {"temperature": 1.0, "bias": 0.0, "live_threshold": 0.6, "spoof_threshold": 0.4, "origin": "a test"}
    files = {
        n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)}
        for n, c in (("model.onnx", b""), ("CARD.md", b""))
    }
    manifest = {"format": "ratta-bundle/2", "name": "n", "version": "1", "licence": "l", "calibration": calibration}
    manifest |= {"contract": tiny_bundle.contract.to_json(), "files": files}
    place = manifest
    for step in path[:-1]:
        keys = list(place) if isinstance(place, dict) else []
        place = place[keys[step % len(keys)]] if keys else place
    if isinstance(place, dict) and path and place:
        place[list(place)[path[-1] % len(place)]] = value
    (folder / "bundle.json").write_bytes(changed(json.dumps(manifest).encode(), changes))
    with contextlib.suppress(BundleError):
        assert read_bundle(folder).calibration.temperature > 0


@given(values=st.dictionaries(st.text(max_size=5), JSON, max_size=3), changes=CHANGES)
def test_a_state_is_read_as_it_was_saved_or_refused(values, changes):
    """Sealing refuses what could not be read back; a seal refuses any change."""
    try:
        sealed = seal(**SEALED, counter=3, values=values, arrays={"a": np.ones(3)})
    except InputError:
        return
    assert unseal(sealed, **SEALED, at_least=3).values == json.loads(json.dumps(values))
    harmed = changed(sealed, changes)
    if harmed != sealed:
        with pytest.raises(StateError):
            unseal(harmed, **SEALED, at_least=3)


@given(content=st.binary(max_size=200))
def test_bytes_are_no_state(tmp_path_factory, content):
    """Whatever they are."""
    path = tmp_path_factory.mktemp("state", numbered=True) / "state"
    path.write_bytes(content)
    with pytest.raises(StateError):
        load_state(path, **SEALED, at_least=0)
