"""Every network is given the crop that it wants, and every opinion counts alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ratta.errors import DataError, InputError
from ratta.train.judge import Judge, cut
from ratta.train.onnx_network import OnnxNetwork, RuntimeNetwork, open_classifier
from ratta.train.pool import Pictures
from ratta.train.teachers import OnnxTeacher

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


def test_each_teacher_sees_its_own_crop(silent_face_file: Path, classifier: Path) -> None:
    """A teacher of tight crops says of a wide picture what it says of its middle."""
    judge = Judge((str(silent_face_file), str(classifier)), size=32)
    teacher = judge.others[0]
    assert isinstance(teacher, OnnxTeacher)
    teacher.size = 32
    wide = pictures(4, scale=3.0)
    middle = Pictures(pixels=wide.pixels[:, 24:72, 24:72], labels=wide.labels, scale=torch.full((4,), 1.5))
    generator = torch.Generator().manual_seed(0)
    there = judge(wide, generator, zoomed=0.0).extra
    here = judge(middle, generator, zoomed=0.0).extra
    torch.testing.assert_close(there, here, atol=2e-2, rtol=0)


def test_the_first_teacher_is_asked_in_its_own_colours(silent_face_file: Path) -> None:
    """Pictures of its own size and scale get the verdict that the teacher gives by itself."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(3, scale=2.7, size=80)
    batch = judge(shown, torch.Generator().manual_seed(0), zoomed=0.0)
    smooth = cut(shown.pixels.permute(0, 3, 1, 2).float(), torch.ones(3), size=80).permute(0, 2, 3, 1)
    seen = smooth.round().to(torch.uint8)
    expected, backwards = judge.first(seen.numpy()).logits, judge.first(seen.flip(3).numpy()).logits
    assert float((batch.logits - expected).norm()) < 0.1 * float((backwards - expected).norm())


def test_feature_maps_follow_the_students_view(silent_face_file: Path) -> None:
    """What a zoomed student is to say of a place is what its teacher said of that place."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(4, scale=2.7, size=80)
    plain = judge(shown, torch.Generator().manual_seed(0), zoomed=0.0)
    tight = judge(shown, torch.Generator().manual_seed(0), zoomed=1.0)
    again = torch.Generator().manual_seed(0)
    torch.rand(4, generator=again)
    share = (1 / shown.scale) ** torch.rand(4, generator=again)
    whole = judge.first.network(cut(shown.pixels.permute(0, 3, 1, 2).float(), torch.ones(4), size=80).flip(1)).middle
    torch.testing.assert_close(tight.middle, cut(whole, share, size=8), atol=1e-3, rtol=0)
    assert float((tight.middle - plain.middle).abs().max()) > 1e-2


def test_fresh_damage_leaves_no_label(silent_face_file: Path) -> None:
    """A live capture with rows of a screen laid on it is nobody's live face."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(4, scale=2.0)
    named = Pictures(pixels=shown.pixels, labels=torch.ones(4, dtype=torch.int64), scale=shown.scale)
    assert judge(named, torch.Generator().manual_seed(0)).labels.tolist() == [1] * 4
    assert judge(named, torch.Generator().manual_seed(0), fresh=True).labels.tolist() == [-1] * 4


def test_scales_are_one_a_further_teacher(silent_face_file: Path) -> None:
    """A scale too many is an error and not a broadcast."""
    with pytest.raises(InputError, match="scales: expected 0"):
        Judge((str(silent_face_file),), scales=[1.0])


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


def test_zoomed_student_sees_less_than_its_teachers(silent_face_file: Path) -> None:
    """A tighter view of the student leaves the verdict as it was, and no view is tighter than the face."""
    judge = Judge((str(silent_face_file),), size=32)
    wide = pictures(16, scale=2.0)
    plain = judge(wide, torch.Generator().manual_seed(0), zoomed=0.0)
    tight = judge(wide, torch.Generator().manual_seed(0), zoomed=1.0)
    assert torch.equal(plain.logits, tight.logits)
    changed = (plain.pixels != tight.pixels).flatten(1).any(1)
    assert int(changed.sum()) >= 15
    whole = judge(pictures(4, scale=1.0), torch.Generator().manual_seed(0), zoomed=1.0)
    assert torch.equal(whole.pixels, judge(pictures(4, scale=1.0), torch.Generator(), zoomed=0.0).pixels)


def test_opinions_are_brought_to_one_spread(silent_face_file: Path, classifier: Path) -> None:
    """With the measured scales, the others' margins spread as far as the first's; measuring again changes nothing."""
    teachers = (str(silent_face_file), str(classifier))
    shown = pictures(32, scale=2.7, seed=3)

    def judge_of(scales: list[float]) -> Judge:
        judge = Judge(teachers, size=32, scales=scales)
        judge.others[0].size = 32
        return judge

    scales = judge_of([]).measure_scales(shown)
    judge = judge_of(scales)
    batch = judge(shown, torch.Generator().manual_seed(0), zoomed=0.0)
    first = batch.logits[:, 1] - torch.logsumexp(batch.logits[:, [0, 2]], 1)
    torch.testing.assert_close(batch.extra.std(0), first.std()[None], rtol=1e-4, atol=0)
    assert judge.measure_scales(shown) == pytest.approx(scales, rel=1e-4)


def test_the_first_teacher_must_have_features(classifier: Path) -> None:
    """An ONNX file cannot be the first teacher."""
    with pytest.raises(InputError, match="expected a Silent-Face state dictionary first"):
        Judge((str(classifier),))


def test_fresh_damage_changes_what_everybody_sees(silent_face_file: Path) -> None:
    """Damaged anew, the same pictures give other pixels and other verdicts, and the same for the same seed."""
    judge = Judge((str(silent_face_file),), size=32)
    shown = pictures(16, scale=2.0)

    def judged(seed: int) -> torch.Tensor:
        return judge(shown, torch.Generator().manual_seed(seed), fresh=True, zoomed=0.0).logits

    assert torch.equal(judged(1), judged(1))
    assert not torch.equal(judged(1), judged(2))
