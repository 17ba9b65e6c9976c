"""The network behind its contract: every layout, type, colour order and kind of score gives one log-odds of live."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ratta.contract import Contract, CropRule, InputRule, OutputRule
from ratta.errors import InputError
from ratta.inference.network import Corrected, Feed, Network, live_margin

CROP = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
WIDE, TIGHT = CropRule(size=32, scale=2.7), CropRule(size=32, scale=1.2)


class Means:
    """Answers with the mean of every channel, and remembers how it was asked."""

    inputs = ("image",)
    outputs = ("features", "scores")

    def __init__(self, batch=None):
        self.shapes = {"image": (batch, 32, 32, 3)}
        self.fed = []

    def run(self, feeds):
        x = feeds["image"]
        self.fed.append(x.copy())
        means = x.mean(axis=(1, 2)).astype(np.float32)
        return 2 * means, means[:, :2]


def contract(*crops, **rules):
    return Contract(
        input=InputRule(name="image", dtype="float32", std=(1.0,) * 3),
        crops=crops or (WIDE,),
        outputs=OutputRule(scores="scores", embedding="features", **rules),
    )


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("mean", "std"), [((0.0,) * 3, (255.0,) * 3), ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))])
def test_floats_are_fed_as_the_contract_says(color, layout, mean, std):
    """`(pixels - mean) / std`, in the colour order and layout of the graph."""
    rule = InputRule(layout=layout, dtype="float32", color=color, mean=mean, std=std)
    ordered = CROP if color == "rgb" else CROP[..., ::-1]
    expected = (ordered - np.array(mean)) / np.array(std)
    expected = expected.transpose(2, 0, 1) if layout == "NCHW" else expected
    fed = Feed(rule, 32)((CROP,))
    assert (np.float32, True) == (fed.dtype, fed.flags.c_contiguous)
    np.testing.assert_allclose(fed, expected[None], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("color", "layout"), [("rgb", "NHWC"), ("bgr", "NCHW")])
def test_bytes_are_fed_as_they_are(color, layout):
    """A graph that normalises inside gets grey levels."""
    fed = Feed(InputRule(layout=layout, color=color), 32)((CROP, OTHER))
    expected = np.stack([CROP, OTHER])[..., :: 1 if color == "rgb" else -1]
    expected = expected.transpose(0, 3, 1, 2) if layout == "NCHW" else expected
    assert (np.uint8, True) == (fed.dtype, fed.flags.c_contiguous)
    np.testing.assert_array_equal(fed, expected)


def test_a_crop_of_another_size_is_refused():
    """It would be read as garbage, or not at all."""
    with pytest.raises(InputError, match=r"expected crops \(32, 32, 3\), got \(31, 32, 3\)"):
        Network(Means(), contract()).read((CROP[:31],))


def test_outputs_are_found_by_name():
    """The order in which a graph gives them means nothing."""
    seen = Network(Means(), contract(), temperature=2.0, bias=0.5).read((CROP,))
    red, green, blue = CROP.reshape(-1, 3).mean(0)
    np.testing.assert_allclose(seen.embedding, [2 * red, 2 * green, 2 * blue], rtol=1e-5)
    assert seen.live_logit == pytest.approx((green - red) / 2 + 0.5, rel=1e-3)
    assert (1, 2) == seen.logits.shape
    assert 0 == seen.cut.size


@pytest.mark.parametrize(("batch", "runs"), [(None, 1), (1, 2)])
def test_two_crops_are_averaged_and_their_features_put_side_by_side(batch, runs):
    """At once where the graph leaves the number of crops open, else one after the other."""
    graph = Means(batch)
    both = Network(graph, contract(WIDE, TIGHT), temperature=2.0, bias=0.5).read((CROP, OTHER))
    assert runs == len(graph.fed)
    one = Network(Means(), contract(), temperature=2.0, bias=0.5)
    first, second = one.read((CROP,)), one.read((OTHER,))
    assert both.live_logit == pytest.approx((first.live_logit + second.live_logit) / 2)
    np.testing.assert_allclose(both.embedding, np.concatenate([first.embedding, second.embedding]))
    with pytest.raises(InputError, match="expected 2 crops of a face, got 1"):
        Network(graph, contract(WIDE, TIGHT)).read((CROP,))


@pytest.mark.parametrize("name", ["pixels", "nothing"])
def test_a_graph_without_what_the_contract_names_is_refused(name):
    """The message tells what the graph has."""
    wrong = contract()
    wrong = replace(wrong, input=replace(wrong.input, name=name))
    with pytest.raises(InputError, match=r"got \('image',\)"):
        Network(Means(), wrong)


@pytest.mark.parametrize(
    ("kind", "classes", "values", "expected"),
    [
        ("logits", ("spoof", "live"), [1.0, 3.0], 2.0),
        ("logits", ("live", "spoof"), [1.0, 3.0], -2.0),
        ("logits", ("print", "live", "replay"), [0.0, 2.0, 0.0], 2 - math.log(2)),
        ("logits", ("print", "live", "replay"), [-1e4, 0.0, 1e4], -1e4),
        ("logits", ("live",), [1.5], 1.5),
        ("logits", ("spoof",), [1.5], -1.5),
        ("probabilities", ("live",), [0.8], math.log(4)),
        ("probabilities", ("spoof",), [0.8], -math.log(4)),
        ("probabilities", ("print", "live", "replay"), [0.1, 0.8, 0.1], math.log(4)),
        ("probabilities", ("live", "spoof"), [1.0, 0.0], math.log(1 - 1e-7) - math.log(1e-7)),
        ("logits", ("spoof", "live"), [math.nan, 1.0], math.nan),
        ("probabilities", ("live",), [math.nan], math.nan),
    ],
)
def test_every_kind_of_score_becomes_log_odds_of_live(kind, classes, values, expected):
    """By the softmax or sigmoid that the values stand before or after."""
    found = live_margin(values, OutputRule(kind=kind, classes=classes))
    assert found == pytest.approx(expected, nan_ok=True)


def test_another_number_of_values_is_refused():
    """A class too many is a contract for another network."""
    with pytest.raises(InputError, match=r"expected a value for each of \['spoof', 'live'\], got 3"):
        live_margin([1.0, 2.0, 3.0], OutputRule())


def test_a_labelled_profile_corrects_the_log_odds():
    """By one product with the embedding; another width is another model's profile."""
    network = Network(Means(), contract())
    plain = network.read((CROP,))
    weight = np.array([0.1, -0.2, 0.0], np.float32)
    seen = Corrected(network, weight, 0.5).read((CROP,))
    assert seen.live_logit == pytest.approx(plain.live_logit + float(plain.embedding @ weight) + 0.5)
    np.testing.assert_array_equal(plain.embedding, seen.embedding)
    with pytest.raises(InputError, match="embedding of 2 numbers, got 3"):
        Corrected(network, weight[:2], 0.0).read((CROP,))
