"""The bundle: written, read back, and refused whenever anything about it is not as it should be."""

import io
import json
import os
import time
import tracemalloc
import warnings
import zipfile
from hashlib import sha256

import numpy as np
import pytest

from ratta.bundle import Calibration, find_bundle, read_bundle, read_detector, write_bundle
from ratta.contract import Contract
from ratta.errors import BundleError, InputError

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
        (lambda m: m["contract"]["crops"][0].update(scale=0.5), "scale"),
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


def fit(folder, name, content):
    """Put other content in place of a file, the manifest made to fit."""
    (folder / name).write_bytes(content)
    edit(folder, lambda m: m["files"].update({name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)}}))


def archived(**members):
    """Bytes of an archive of files as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return buffer.getvalue()


def npy(header, body=bytes(8)):
    """Bytes of an array file with any header."""
    text = header.encode() + b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def header(descr="'<f4'", shape="(2,)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def changed(position_of, value):
    """An archive of one good array with one byte of its directory and its local header changed."""
    content = bytearray(archived(a_npy=npy(header())))
    local, central = position_of
    content[local] = content[content.find(b"PK\x01\x02") + central] = value
    return bytes(content)


def saved(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


ARCHIVES = {
    "pickles": saved(evil=np.array([{}], dtype=object)),
    "records": saved(evil=np.zeros(2, [("a", "<f4")])),
    "empty": b"",
    "no archive": b"PK\x03\x04",
    "encrypted": changed((6, 8), 1),
    "an unknown method": changed((8, 10), 99),
    "no array": archived(a_npy=b"text"),
    "another name": archived(other=npy(header())),
    "a shape of petabytes": archived(a_npy=npy(header(shape="(100000, 100000, 100000)"))),
    "a shape that is too small": archived(a_npy=npy(header(shape="(1,)"))),
    "a negative shape": archived(a_npy=npy(header(shape="(-2,)"))),
    "nine dimensions": saved(a=np.ones((1,) * 9, np.float32)),
    "a type without a size": archived(a_npy=npy(header(descr="'<V0'"))),
    "code for a type": archived(a_npy=npy(header(descr="__import__('os')"))),
    "a header without an end": archived(a_npy=b"\x93NUMPY\x01\x00\xff\xff{"),
    "text that is none": archived(a_npy=npy(header(descr="'<U1'", shape="(2,)"), b"\xff" * 8)),
    "a gigabyte of zeros": archived(a_npy=npy(header(shape="(100000000,)"), bytes(400_000_000))),
    "two hundred megabytes twice": archived(
        a_npy=npy(header(shape="(50000000,)"), bytes(200_000_000)),
        b_npy=npy(header(shape="(50000000,)"), bytes(200_000_000)),
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_are_read_with_limits(folder, name):
    """Whatever its hashes say, an archive of anything but plain arrays of a bounded size is an error of ours, soon."""
    fit(folder, "statistics.npz", ARCHIVES[name])
    begin, tracer = time.perf_counter(), tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"statistics\.npz: expected plain arrays without pickles"):
            read_bundle(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tracer is None
    assert (time.perf_counter() - begin < 5.0, peak < 50e6) == (True, True)


def test_one_name_twice_is_refused(folder):
    """Nobody could say which of the two counts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a.npy", npy(header()))
        archive.writestr("a.npy", npy(header()))
    fit(folder, "affine.npz", buffer.getvalue())
    with pytest.raises(BundleError, match=r"affine\.npz"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.0, ">f4"),
        np.array(["spoof", "live"]),
        np.zeros((0, 4), bool),
    ],
)
def test_arrays_are_read_as_numpy_reads_them(folder, array):
    """Every type and layout that a bundle may hold."""
    fit(folder, "statistics.npz", saved(found=array))
    found = read_bundle(folder).statistics["found"]
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.flags.f_contiguous) == (array.dtype, array.flags.f_contiguous)


@pytest.mark.parametrize(
    "harm",
    [
        lambda c: c[: len(c) // 2],
        lambda c: c[: len(c) // 3] + b"\xff" * 20 + c[len(c) // 3 + 20 :],
    ],
)
def test_arrays_that_cannot_be_read_are_refused(folder, harm):
    """A cut or corrupt array file is an error of ours, even with a right hash."""
    fit(folder, "affine.npz", harm((folder / "affine.npz").read_bytes()))
    with pytest.raises(BundleError, match=r"affine\.npz"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "affine.npz", "CARD.md"])
@pytest.mark.parametrize("kind", ["pipe", "link to itself", "folder", "device"])
def test_what_is_no_file_is_refused_before_it_is_opened(folder, name, kind):
    """A pipe would be waited for, a device read, for ever."""
    path = folder / name
    path.unlink()
    if kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no pipes here")
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(name if kind == "link to itself" else "/dev/zero")
    with pytest.raises(BundleError, match=name):
        read_bundle(folder)


@pytest.mark.parametrize("size", [1, 10**9, -1, 2**70, "7", 7.0, True, None])
def test_the_size_in_the_manifest_counts(folder, size):
    """No more is read than it says, and what is not as long is another file."""
    edit(folder, lambda m: m["files"]["CARD.md"].update(bytes=size))
    if size is None:
        read_bundle(folder)
        return
    with pytest.raises(BundleError, match="bytes"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "name", ["a\0b", "\ud800", "", ".", "..", "a/b", "a\\b", "c:d", "a\nb", "x" * 300, "con.", " a"]
)
def test_names_that_are_none_are_refused(folder, name):
    """On any system."""
    edit(folder, lambda m: m["files"].update({name: {"sha256": "0" * 64}}))
    with pytest.raises(BundleError, match="plain file names"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"live_threshold":', '"live_threshold": 0.99, "live_threshold":', "twice"),
        ('"version": "1"', '"version": "1", "version": "1"', "twice"),
        ('"temperature": 1.5', '"temperature": NaN', "the number NaN"),
        ('"temperature": 1.5', '"temperature": 1e999', "the number 1e999"),
        ('"temperature": 1.5', '"temperature": true', "temperature"),
        ('"temperature": 1.5', '"temperature": 1e308', "temperature"),
        ('"temperature": 1.5', '"temperature": 1e-9', "temperature"),
        ('"bias": 0.1', '"bias": 1e308', "bias"),
        ('"bias": 0.1', '"bias": "0"', "bias"),
        ('"bias": 0.1', '"bias": -Infinity', "the number -Infinity"),
        ('"live_threshold": 0.6', '"live_threshold": "0.6"', "threshold"),
        ('"origin": "made by a test"', '"origin": 5', "origin"),
        ('"licence": "Apache-2.0"', '"licence": ' + "[" * 200_000, "JSON"),
        ('"licence": "Apache-2.0"', '"licence": ' + "1" * 5000, "JSON"),
        ('"licence": "Apache-2.0"', '"licence": "' + "x" * 2_000_000 + '"', "at most"),
    ],
)
def test_a_manifest_with_nonsense_is_refused(folder, old, new, message):
    """Each key once, numbers that are finite and that a calibration can give, and no more of it than there may be."""
    path = folder / "bundle.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize("sha256", [123, ("a",), b"0" * 64, 1.5])
def test_a_pin_is_text(folder, sha256):
    """Anything else is an error at once."""
    with pytest.raises(InputError, match="sha256"):
        read_bundle(folder, sha256=sha256)


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_an_empty_name_is_not_the_current_folder(name, folder, monkeypatch):
    """`load("$MODEL")` with a variable that is not set."""
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="empty"):
        find_bundle(name)


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
