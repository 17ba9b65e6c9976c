"""The bundle: written, read back, and refused whenever anything about it is not as it should be."""

import json

import numpy as np
import pytest

from ratta.bundle import Calibration, find_bundle, read_bundle, read_detector, write_bundle
from ratta.contract import Contract
from ratta.errors import BundleError

CONTRACT = Contract.native(size=128, scales=(2.7, 1.15))
CALIBRATION = Calibration(temperature=1.5, bias=0.1, live_threshold=0.6, spoof_threshold=0.4, origin="made by a test")


@pytest.fixture
def folder(tmp_path):
    write_bundle(
        tmp_path / "model",
        name="tiny",
        version="1",
        licence="Apache-2.0",
        contract=CONTRACT,
        calibration=CALIBRATION,
        graph=b"a graph",
        affine={"features.0.1.gamma": np.ones(16, np.float32)},
        statistics={"prototypes": np.zeros((2, 576), np.float32)},
        card="# A card\n",
    )
    return tmp_path / "model"


def edit(folder, change):
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_what_was_written_is_read(folder):
    """Every part of a bundle survives the way to disk and back."""
    bundle = read_bundle(folder)
    assert (bundle.name, bundle.version, bundle.licence, bundle.card) == ("tiny", "1", "Apache-2.0", "# A card\n")
    assert (bundle.contract, bundle.calibration, bundle.graph) == (CONTRACT, CALIBRATION, b"a graph")
    np.testing.assert_array_equal(bundle.affine["features.0.1.gamma"], np.ones(16))


def test_writing_again_replaces(folder):
    """A second write over the first leaves one valid bundle and no litter."""
    write_bundle(
        folder,
        name="tiny",
        version="2",
        licence="Apache-2.0",
        contract=CONTRACT,
        calibration=CALIBRATION,
        graph=b"another graph",
        card="",
    )
    assert (read_bundle(folder).version, read_bundle(folder).affine) == ("2", {})
    assert sorted(p.name for p in folder.iterdir()) == ["CARD.md", "bundle.json", "model.onnx"]


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "affine.npz", "statistics.npz", "CARD.md"])
def test_a_missing_file_is_named(folder, name):
    """Whichever file is gone, the error names it."""
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["model.onnx", "affine.npz", "statistics.npz", "CARD.md"])
def test_an_altered_file_is_refused(folder, name):
    """One flipped bit anywhere is found."""
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        read_bundle(folder)


def test_swapped_files_are_refused(folder):
    """Two good files under each other's names are not a good bundle."""
    graph, card = (folder / "model.onnx").read_bytes(), (folder / "CARD.md").read_bytes()
    (folder / "model.onnx").write_bytes(card)
    (folder / "CARD.md").write_bytes(graph)
    with pytest.raises(BundleError, match="swapped"):
        read_bundle(folder)


def test_a_pinned_hash_catches_a_rewritten_manifest(folder):
    """Who can rewrite the folder can rewrite its hashes; a pin outside the folder tells."""
    pin = read_bundle(folder).sha256
    assert read_bundle(folder, sha256=pin.upper()).sha256 == pin
    edit(folder, lambda m: m["calibration"].update(live_threshold=0.5))
    assert read_bundle(folder).calibration.live_threshold == 0.5
    with pytest.raises(BundleError, match="pinned"):
        read_bundle(folder, sha256=pin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="ratta-bundle/99"), "format"),
        (lambda m: m.pop("contract"), "contract"),
        (lambda m: m.update(contract={}), "expected input, crops"),
        (lambda m: m["contract"].update(surprise=1), "surprise"),
        (lambda m: m["contract"].pop("crops"), "crops"),
        (lambda m: m["contract"]["input"].update(color="hsv"), "color"),
        (lambda m: m["contract"]["input"].update(layout="CHW"), "layout"),
        (lambda m: m["contract"]["input"].update(dtype="float64"), "dtype"),
        (lambda m: m["contract"]["input"].update(std=[1, 0, 1]), "std"),
        (lambda m: m["contract"]["input"].update(mean=[0, "a", 0]), "mean"),
        (lambda m: m["contract"]["input"].update(mean=7), "mean"),
        (lambda m: m["contract"].update(input=[]), "expected an object"),
        (lambda m: m["contract"]["crops"][0].update(size=8), "size"),
        (lambda m: m["contract"]["crops"][0].update(size="128"), "size"),
        (lambda m: m["contract"]["crops"][0].update(size=64), "one size"),
        (lambda m: m["contract"]["crops"][0].update(scale=float("nan")), "scale"),
        (lambda m: m["contract"]["crops"][0].update(border="wrap"), "border"),
        (lambda m: m["contract"]["crops"].clear(), "crops"),
        (lambda m: m["contract"]["outputs"].update(kind="distances"), "kind"),
        (lambda m: m["contract"]["outputs"].update(classes=["spoof", "print"]), "live"),
        (lambda m: m["contract"]["outputs"].update(classes=[["live"], "spoof"]), "names"),
        (lambda m: m["contract"]["outputs"].update(embedding=""), "beside split"),
        (lambda m: m["contract"]["outputs"].update(scores=1), "scores"),
        (lambda m: m["calibration"].update(temperature=0), "temperature"),
        (lambda m: m["calibration"].update(live_threshold=0.2), "threshold"),
        (lambda m: m["calibration"].update(origin=""), "origin"),
        (lambda m: m["files"].pop("model.onnx"), "model.onnx"),
        (lambda m: m["files"].update({"../escape": {"sha256": ""}}), "plain file names"),
        (lambda m: m["files"]["model.onnx"].update(sha256="0"), "SHA-256"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, change, message):
    """Each wrong key or value is an error that names it."""
    edit(folder, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


FIRST_EDITION = {
    "size": 128,
    "crop_scale": 2.7,
    "mean": [0.0, 0.0, 0.0],
    "std": [255.0, 255.0, 255.0],
    "color": "rgb",
    "layout": "NHWC",
    "dtype": "uint8",
    "border": "shift",
    "resize": "area",
    "class_order": ["spoof", "live"],
}


def test_the_first_edition_is_read_as_its_contract(folder):
    """A bundle of the older format says the same in fewer words."""
    edit(folder, lambda m: m.update(format="ratta-bundle/1", contract=dict(FIRST_EDITION)))
    assert Contract.native(size=128) == read_bundle(folder).contract


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"color": "bgr"}, "color"),
        ({"class_order": ["live", "spoof"]}, "class_order"),
        ({"size": 8}, "size"),
        ({"crop_scale": 0.5}, "scale"),
        ({"std": [1, 0, 1]}, "std"),
        ({"mean": 0}, "mean"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_contract_of_the_first_edition_is_checked_too(folder, change, message):
    """What the older format refused is refused."""
    edit(folder, lambda m: m.update(format="ratta-bundle/1", contract={**FIRST_EDITION, **change}))
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe"])
def test_a_manifest_that_is_no_json_object_is_refused(folder, content):
    """An empty, cut or foreign manifest is an error, never a default."""
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(folder)


def test_pickles_are_not_loaded(folder):
    """An array file that would run code is refused, even with a right hash."""
    import hashlib

    path = folder / "statistics.npz"
    np.savez(path, evil=np.array([{}], dtype=object))
    edit(folder, lambda m: m["files"]["statistics.npz"].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(BundleError, match="pickle"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "harm",
    [
        lambda c: c[: len(c) // 2],
        lambda c: b"",
        lambda c: b"PK\x03\x04",
        lambda c: c[: len(c) // 3] + b"\xff" * 20 + c[len(c) // 3 + 20 :],
    ],
)
def test_arrays_that_cannot_be_read_are_refused(folder, harm):
    """A cut, empty or corrupt array file is an error of ours, even with a right hash."""
    import hashlib

    path = folder / "affine.npz"
    path.write_bytes(harm(path.read_bytes()))
    edit(folder, lambda m: m["files"]["affine.npz"].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(BundleError, match=r"affine\.npz"):
        read_bundle(folder)


def test_arrays_of_a_bundle_are_read_only(folder):
    """Engines made of one bundle cannot reach each other through it."""
    assert not read_bundle(folder).affine["features.0.1.gamma"].flags.writeable


def test_a_shipped_name_means_the_shipped_model(folder, tmp_path, monkeypatch):
    """A folder planted in the working directory does not take the place of a shipped model."""
    folder.rename(tmp_path / "ratta-mnv3s-128")
    monkeypatch.chdir(tmp_path)
    assert find_bundle("ratta-mnv3s-128") != tmp_path / "ratta-mnv3s-128"
    assert read_bundle(find_bundle("./ratta-mnv3s-128")).name == "tiny"


def test_an_unknown_model_lists_the_shipped_ones():
    """The error for a wrong name says which names there are."""
    with pytest.raises(BundleError, match="ratta-mnv3s-128"):
        find_bundle("no-such-model")


def test_an_altered_detector_is_refused(tmp_path):
    """The face detector is verified like the model."""
    (tmp_path / "blazeface.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match="altered"):
        read_detector(tmp_path)
