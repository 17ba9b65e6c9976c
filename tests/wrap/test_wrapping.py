"""From a network whose right input is known to a bundle: found, checked, named where swapped, and equal to the file."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("cv2")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import ratta  # noqa: E402
from ratta.bundle import read_bundle  # noqa: E402
from ratta.cli import main  # noqa: E402
from ratta.ensemble import write_ensemble  # noqa: E402
from ratta.errors import InputError  # noqa: E402
from ratta.records import logit  # noqa: E402
from ratta.wrap import Examples, Wishes, read_foreign, read_wishes, wrap  # noqa: E402

RNG = np.random.default_rng(0)
MEAN, STD = (0.6, 0.4, 0.3), (0.1, 0.1, 0.1)
WISHES = Wishes(scales=(1.5,), licence="a test")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network that was trained on reddish crops in [0, 1], and calls those live in which red varies with green."""
    node = helper.make_node
    weights = {
        "k": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
        "one": np.ones(3, np.float32),
        "zero": np.zeros(3, np.float32),
        "mean": np.array(MEAN, np.float32),
        "var": np.array(STD, np.float32) ** 2,
        "w": np.array([[0, 8], [0, -8], [0, 0]], np.float32),
    }
    nodes = [
        node("Conv", ["image", "k"], ["c"]),
        node("BatchNormalization", ["c", "one", "zero", "mean", "var"], ["n"]),
        node("GlobalAveragePool", ["n"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "w"], ["scores"]),
    ]
    ports = [("image", ["N", 3, 32, 32]), ("scores", ["N", 2])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", infos[:1], infos[1:], held), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    path = tmp_path_factory.mktemp("foreign") / "net.onnx"
    onnx.save(model, path)
    return read_foreign(path)


@pytest.fixture(scope="module")
def examples():
    """Crops like those that it was trained on: live a little redder and less green."""
    is_live = np.arange(40) % 2 == 0
    shift = np.where(is_live, 0.05, -0.05)[:, None] * np.array([1, -1, 0])
    colors = np.array(MEAN) + shift + RNG.normal(0, 0.03, (40, 3))
    noise = RNG.normal(0, 0.09, (40, 32, 32, 3))
    crops = np.clip((colors[:, None, None] + noise) * 255, 0, 255).astype(np.uint8)
    return Examples(list(crops), is_live, "a test's crops")


def test_the_contract_is_found(network, examples, tmp_path):
    """From nothing but the crop rule: range, colour order, class order, layout, embedding; scores equal the file's."""
    made = wrap(network, WISHES, examples, folder=tmp_path / "bundle")
    rule, outputs = made.contract.input, made.contract.outputs
    assert ("NCHW", "float32", "rgb", (255.0,) * 3) == (rule.layout, rule.dtype, rule.color, rule.std)
    assert (("spoof", "live"), "logits", "f") == (outputs.classes, outputs.kind, outputs.embedding)
    assert made.deviation < 1e-4
    assert not any(one.swapped for one in made.findings)
    bundle = read_bundle(tmp_path / "bundle")
    assert ("net", "a test", made.contract) == (bundle.name, bundle.licence, bundle.contract)
    assert "FILL IN" in bundle.card
    assert "nothing" in bundle.calibration.origin


@pytest.mark.parametrize(
    ("claim", "named"),
    [
        ({"color": "bgr"}, "colour order"),
        ({"range": "0-255"}, "range"),
        ({"range": "-1-1"}, "range"),
        ({"classes": ("live", "spoof")}, "class order"),
        ({"layout": "NHWC"}, "layout"),
    ],
)
def test_a_swapped_claim_is_named_and_nothing_written(network, examples, tmp_path, claim, named):
    """All else being told right; whoever knows better can insist."""
    told = {"color": "rgb", "range": "0-1", "classes": ("spoof", "live"), "layout": "NCHW", **claim}
    wishes = Wishes(scales=(1.5,), licence="a test", **told)
    made = wrap(network, wishes, examples, folder=tmp_path / "bundle")
    assert [named] == [one.what for one in made.findings if one.swapped]
    assert "LOOKS SWAPPED" in str(next(one for one in made.findings if one.swapped))
    assert (None, False) == (made.bundle, (tmp_path / "bundle").exists())
    assert wrap(network, wishes, examples, folder=tmp_path / "bundle", trust=True).bundle is not None


def test_what_cannot_be_told_is_said(network, examples, tmp_path):
    """Grey crops do not show a colour order; that is no alarm."""
    grey = [np.repeat(crop[..., :1], 3, axis=2) for crop in examples.pixels]
    shown = Examples(grey, examples.is_live, "grey crops")
    made = wrap(network, WISHES, shown, folder=tmp_path / "bundle", trust=True)
    (color,) = [one for one in made.findings if one.what == "colour order"]
    assert not color.swapped
    assert "cannot tell" in str(color)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(licence="x"), "say --crop-scale"),
        (Wishes(scales=(1.5,)), "licence"),
        (Wishes(scales=(1.5,), licence="x", size=64), "expected 32, as the graph says, got 64"),
        (Wishes(scales=(1.5,), licence="x", classes=("a", "live", "b")), "expected 2 names"),
    ],
)
def test_what_is_missing_or_contradicts_the_graph_is_asked_for(network, examples, tmp_path, wishes, message):
    """One sentence each."""
    with pytest.raises(InputError, match=message):
        wrap(network, wishes, examples, folder=tmp_path / "bundle")


def test_a_file_and_options_say_the_same(tmp_path):
    """An option comes before the file; an unknown key is named."""
    path = tmp_path / "contract.toml"
    path.write_text('color = "bgr"\nscales = [2.7, 1.15]\nclasses = ["live", "spoof"]\nlicence = "MIT"\n')
    found = read_wishes(path, {"color": "rgb", "range": None, "scales": ()})
    assert ("rgb", (2.7, 1.15), ("live", "spoof"), "MIT") == (found.color, found.scales, found.classes, found.licence)
    path.write_text("colour = 'bgr'\n")
    with pytest.raises(InputError, match="colour"):
        read_wishes(path, {})
    with pytest.raises(InputError, match="range: expected one of"):
        read_wishes(None, {"range": "0-2"})


def test_an_ensemble_is_a_bundle(network, examples, tmp_path, portrait):
    """Of a foreign network and the shipped one: the mean of their log-odds, and verified like any other."""
    wrap(network, WISHES, examples, folder=tmp_path / "a", trust=True)
    both = write_ensemble(tmp_path / "both", [read_bundle(tmp_path / "a"), ratta.load().bundle], name="b", version="1")
    assert (3, "a test AND Apache-2.0") == (len(both.crops), both.licence)
    box = (170, 68, 284, 182)
    scores = [
        logit(ratta.load(model).score(portrait, box=box).live_score)
        for model in (tmp_path / "a", "ratta-mnv3s-128", tmp_path / "both")
    ]
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2, abs=1e-4)
    (tmp_path / "both" / "member-1" / "CARD.md").write_text("other")
    with pytest.raises(ratta.BundleError, match="altered"):
        ratta.load(tmp_path / "both")
    with pytest.raises(InputError, match="two or more"):
        write_ensemble(tmp_path / "one", [both], name="b", version="1")


def test_the_command_wraps_with_the_pictures_that_come_with_ratta(network, tmp_path, capsys, monkeypatch):
    """One command; the folder loads, and calibration comes next."""
    monkeypatch.setattr("ratta.wrap.examples.SESSIONS", 2)
    monkeypatch.setattr("ratta.wrap.examples.simulated_examples.__kwdefaults__", {"sessions": 2, "seed": 0})
    source = tmp_path / "net.onnx"
    source.write_bytes(network.graph)
    arguments = ["wrap", str(source), "--output", str(tmp_path / "out"), "--crop-scale", "1.5", "--licence", "MIT"]
    assert 0 == main([*arguments, "--range", "0-1", "--classes", "spoof,live", "--color", "rgb", "--trust"])
    assert "not calibrated" in capsys.readouterr().out
    assert "net" == ratta.load(tmp_path / "out").bundle.name
    assert 0 == main(["wrap", str(tmp_path / "out"), "ratta-mnv3s-128", "--output", str(tmp_path / "both")])
    assert 2 == len(ratta.load(tmp_path / "both").bundle.members)
    assert 2 == main(["wrap", str(tmp_path / "none.onnx"), "--output", str(tmp_path / "x"), "--crop-scale", "2"])
