"""Every network is given the crop that it wants, and every opinion counts alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ratta.errors import DataError, InputError
from ratta.train import judge as judge_module
from ratta.train.inputs import NO_FACE
from ratta.train.judge import JITTER, NOTHING, TEACHERS_TIGHT, VIEWS, Judge, cut
from ratta.train.onnx_network import OnnxNetwork, RuntimeNetwork, open_classifier
from ratta.train.pool import Pictures
from ratta.train.teachers import OnnxTeacher, live_margin

onnx = pytest.importorskip("onnx")


def pictures(count: int, *, scale: float, size: int = 96, seed: int = 0) -> Pictures:
    """Smooth random pictures that say how wide they are."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.uniform(0, 255, (count, 3, 6, 6)))
    large = torch.nn.functional.interpolate(small, size=size, mode="bilinear").round().to(torch.uint8)
    return Pictures(
        pixels=large.permute(0, 2, 3, 1).contiguous(),
        labels=torch.full((count,), -1),
        scale=torch.full((count,), scale),
    )


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A small classifier with every kind of operator that the published ones have."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = {
        "conv": (6, 3, 3, 3), "bias": (6,), "depth": (6, 1, 3, 3), "slope": (6, 1, 1), "gate": (6, 6, 1, 1),
        "linear": (6, 2), "offset": (2,), "gain": (6,), "shift": (6,), "mean": (6,),
    }  # fmt: skip
    weights = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["var"] = rng.uniform(0.5, 2, 6).astype(np.float32)
    weights |= {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1])}
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "conv", "bias"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("PRelu", ["a", "slope"], ["b"]),
        node("Conv", ["b", "depth"], ["c"], group=6, pads=[0, 1, 2, 1]),
        node("BatchNormalization", ["c", "gain", "shift", "mean", "var"], ["d"], epsilon=1e-3),
        node("GlobalAveragePool", ["d"], ["e"]),
        node("Conv", ["e", "gate"], ["f"]),
        node("Sigmoid", ["f"], ["g"]),
        node("Mul", ["d", "g"], ["h"]),
        node("Relu", ["h"], ["i"]),
        node("GlobalAveragePool", ["i"], ["j"]),
        node("Shape", ["j"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["m"]),
        node("Concat", ["m", "rest"], ["r"], axis=0),
        node("Reshape", ["j", "r"], ["k"]),
        node("MatMul", ["k", "linear"], ["l"]),
        node("Add", ["l", "offset"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    path = tmp_path / "classifier.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_onnx_network_says_what_the_runtime_says(classifier: Path) -> None:
    """Every operator agrees with ONNX Runtime, also with uneven padding."""
    import onnxruntime

    x = np.random.default_rng(1).uniform(0, 1, (3, 3, 32, 32)).astype(np.float32)
    expected = onnxruntime.InferenceSession(str(classifier)).run(None, {"x": x})[0]
    found = OnnxNetwork(classifier)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_onnx_network_refuses_what_it_does_not_know(classifier: Path, tmp_path: Path) -> None:
    """An operator of another kind is named; a file that is no ONNX is told from one."""
    model = onnx.load(classifier)
    model.graph.node[8].op_type = "Elu"
    onnx.save(model, tmp_path / "elu.onnx")
    with pytest.raises(DataError, match="got Elu"):
        OnnxNetwork(tmp_path / "elu.onnx")
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(DataError, match=r"no\.onnx: expected a readable ONNX file"):
        OnnxNetwork(tmp_path / "no.onnx")


def test_cut_takes_the_middle_by_an_area_filter() -> None:
    """The whole at half size is the mean of four pixels; a half of the side is the middle, pixel for pixel."""
    x = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    halved = cut(x, torch.ones(2), size=16)
    torch.testing.assert_close(halved, torch.nn.functional.avg_pool2d(x, 2), atol=1e-5, rtol=0)
    ramp = torch.arange(32.0).expand(1, 1, 32, 32)
    torch.testing.assert_close(cut(ramp, torch.full((1,), 0.5), size=16), ramp[..., 8:24, 8:24], atol=1e-4, rtol=0)


def test_each_teacher_sees_its_own_crop_wide_and_the_same_tight(silent_face_file: Path, classifier: Path) -> None:
    """A teacher of tight crops says of a wide picture what it says of its middle; in the tight view all see 1.2."""
    judge = Judge((str(silent_face_file), str(classifier)), size=32)
    teacher = judge.others[0]
    assert isinstance(teacher, OnnxTeacher)
    teacher.size = 32
    wide = pictures(4, scale=3.0, size=80)

    def middle(scale: float) -> torch.Tensor:
        side = round(80 * scale / 3.0)
        start = (80 - side) // 2
        inner = wide.pixels[:, start : start + side, start : start + side].permute(0, 3, 1, 2).float()
        return torch.stack([teacher.opinion(cut(inner, torch.ones(4), size=32)).margin], 1)[:, 0]

    found = judge(wide, torch.Generator().manual_seed(0)).extra[..., 0]
    torch.testing.assert_close(found[:, 0], middle(1.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(found[:, 1], middle(1.2), atol=1e-3, rtol=0)
    assert float((found[:, 0] - found[:, 1]).abs().max()) > 3e-3


def test_the_first_teacher_is_asked_in_its_own_colours(silent_face_file: Path) -> None:
    """Pictures of its own size and scale get the verdict that the teacher gives by itself."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(3, scale=2.7, size=80)
    batch = judge(shown, torch.Generator().manual_seed(0))
    smooth = cut(shown.pixels.permute(0, 3, 1, 2).float(), torch.ones(3), size=80).permute(0, 2, 3, 1)
    seen = smooth.round().to(torch.uint8)
    expected, backwards = judge.first(seen.numpy()).logits, judge.first(seen.flip(3).numpy()).logits
    assert float((batch.logits[:, 0] - expected).norm()) < 0.1 * float((backwards - expected).norm())


def test_feature_maps_follow_the_students_view(silent_face_file: Path) -> None:
    """What the student is to say of a place in its crop is what its teacher said of that place."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(4, scale=2.7, size=80)
    found = judge(shown, torch.Generator().manual_seed(0)).middle
    low, high = JITTER
    depth = torch.rand((4, 2), generator=torch.Generator().manual_seed(0))
    shares = (torch.tensor(VIEWS) * low * (high / low) ** depth / 2.7).clamp(max=1)
    pixels = shown.pixels.permute(0, 3, 1, 2).float()
    for view, rule in enumerate((2.7, TEACHERS_TIGHT)):
        seen = torch.full((4,), rule / 2.7)
        whole = judge.first.network(cut(pixels, seen, size=80).flip(1)).middle
        torch.testing.assert_close(found[:, view], cut(whole, shares[:, view] / seen, size=8), atol=1e-3, rtol=0)


def test_fresh_damage_leaves_no_label(silent_face_file: Path) -> None:
    """A live capture with rows of a screen laid on it is nobody's live face."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(4, scale=2.0)
    named = Pictures(pixels=shown.pixels, labels=torch.ones(4, dtype=torch.int64), scale=shown.scale)
    assert judge(named, torch.Generator().manual_seed(0)).labels.tolist() == [1] * 4
    assert judge(named, torch.Generator().manual_seed(0), fresh=True).labels.tolist() == [-1] * 4


def test_scales_are_one_a_view_and_teacher(silent_face_file: Path) -> None:
    """A scale too few is an error and not a broadcast."""
    with pytest.raises(InputError, match="scales: expected 2 views of 1 teachers"):
        Judge((str(silent_face_file),), scales=[[1.0]])


def test_judged_in_pieces_is_judged(silent_face_file: Path) -> None:
    """Pieces give every picture its verdict, in order."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(5, scale=2.0)
    whole = judge(shown, torch.Generator().manual_seed(0))
    pieces = judge.in_pieces(shown, torch.Generator().manual_seed(0), piece=2)
    torch.testing.assert_close(pieces.logits, whole.logits, atol=1e-4, rtol=0)
    assert pieces.pixels.shape == whole.pixels.shape


def test_what_has_no_face_in_it_is_never_live(silent_face_file: Path) -> None:
    """Whatever the teachers say of a pattern, also when it is damaged anew."""
    judge = Judge((str(silent_face_file),), size=32, scales=[[1e-3], [1e-3]])
    shown = pictures(6, scale=2.0)
    nobody = Pictures(pixels=shown.pixels, labels=torch.full((6,), NO_FACE), scale=shown.scale)
    for fresh in (False, True):
        batch = judge(nobody, torch.Generator().manual_seed(0), fresh=fresh)
        assert float(batch.target.max()) <= NOTHING
        assert batch.labels.tolist() == [NO_FACE] * 6
    assert float(judge(shown, torch.Generator().manual_seed(0)).target.max()) > NOTHING


def test_a_classifier_of_another_kind_is_left_to_the_runtime(classifier: Path, tmp_path: Path) -> None:
    """An operator, or a meaning of one, that is not known here: the same answers, by ONNX Runtime."""
    assert isinstance(open_classifier(classifier, size=32), OnnxNetwork)
    for name, change in {
        "elu": lambda node: setattr(node[8], "op_type", "Elu"),
        "pads": lambda node: _same_upper(node[0]),
    }.items():
        model = onnx.load(classifier)
        change(model.graph.node)
        onnx.save(model, tmp_path / f"{name}.onnx")
        network = open_classifier(tmp_path / f"{name}.onnx", size=32)
        assert isinstance(network, RuntimeNetwork)
        assert network(torch.rand((2, 3, 32, 32))).shape == (2, 2)


def _same_upper(node) -> None:  # type: ignore[no-untyped-def]
    for attribute in [a for a in node.attribute if a.name == "pads"]:
        node.attribute.remove(attribute)
    node.attribute.append(onnx.helper.make_attribute("auto_pad", "SAME_UPPER"))


def test_the_student_sees_wide_and_tight(silent_face_file: Path) -> None:
    """The tight view is a part of the wide one, and a picture that is no wider than the face is seen whole in both."""
    judge = Judge((str(silent_face_file),), size=32)
    batch = judge(pictures(8, scale=3.0), torch.Generator().manual_seed(0))
    assert batch.pixels.shape == (8, 2, 32, 32, 3)
    assert (batch.pixels[:, 0] != batch.pixels[:, 1]).flatten(1).any(1).all()
    whole = judge(pictures(4, scale=0.9), torch.Generator().manual_seed(0))
    assert torch.equal(whole.pixels[:, 0], whole.pixels[:, 1])


def test_opinions_are_brought_to_one_spread(
    silent_face_file: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the measured scales, the others' margins spread as far as the first's; measuring again changes nothing."""
    monkeypatch.setattr(judge_module, "SUREST", 1e9)
    teachers = (str(silent_face_file), str(classifier))
    shown = pictures(32, scale=2.7, seed=3)

    def judge_of(scales: list[list[float]]) -> Judge:
        judge = Judge(teachers, size=32, scales=scales)
        judge.others[0].size = 32
        return judge

    scales = judge_of([]).measure_scales(shown)
    judge = judge_of(scales)
    batch = judge(shown, torch.Generator().manual_seed(0))
    first = live_margin(batch.logits.flatten(0, 1), live=1).view(32, 2) * judge.scales[:, 0]
    spread = torch.cat((first, batch.extra[..., 0]), 1).std(0)
    torch.testing.assert_close(spread, first[:, 0].std().expand(4), rtol=1e-3, atol=0)
    assert scales[0][0] == 1
    for again, measured in zip(judge.measure_scales(shown), scales, strict=True):
        assert again == pytest.approx(measured, rel=1e-3)


def test_the_first_teacher_must_have_features(classifier: Path) -> None:
    """An ONNX file cannot be the first teacher."""
    with pytest.raises(InputError, match="expected a Silent-Face state dictionary first"):
        Judge((str(classifier),))


def test_fresh_damage_changes_what_everybody_sees(silent_face_file: Path) -> None:
    """Damaged anew, the same pictures give other pixels and other verdicts, and the same for the same seed."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(16, scale=2.0)

    def judged(seed: int) -> torch.Tensor:
        return judge(shown, torch.Generator().manual_seed(seed), fresh=True).logits

    assert torch.equal(judged(1), judged(1))
    assert not torch.equal(judged(1), judged(2))
