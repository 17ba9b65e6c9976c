"""Training on labels: it learns, keeps the best, resumes after a kill, and refuses what would spoil its figures."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ratta.errors import DataError, InputError, TrainingError
from ratta.evaluate.sessions import CropSession
from ratta.train.checkpoint import load_checkpoint
from ratta.train.labelled import Part, Parts, divide, gather
from ratta.train.network import BlockPlan, MobileNetV3Small
from ratta.train.supervised import SupervisedSettings, SupervisedTrainer, Teaching, margins
from ratta.train.teachers import NetworkTeacher, OnnxTeacher, Opinion, SilentFaceTeacher, ask

PLAN = tuple(
    BlockPlan(inputs=8, kernel=3, expanded=16, outputs=8, squeeze=squeeze, hardswish=True, stride=stride)
    for squeeze, stride in ((False, 2), (True, 1), (True, 1), (False, 2), (True, 1))
)


def session(subject: str, *, live: bool, refused: bool = False, seed: int = 0) -> CropSession:
    """One crop: live ones are bright."""
    rng = np.random.default_rng((seed, live))
    return CropSession(
        name=f"{subject}-{live}-{seed}",
        subject=subject,
        camera="",
        is_live=live,
        species="" if live else "print",
        pixels=rng.integers(128 * live, 128 + 128 * live, (1, 32, 32, 3)).astype(np.uint8),
        refusals=np.array(["blurred" if refused else ""], np.str_),
        t=np.zeros(1),
    )


@pytest.fixture
def parts() -> Parts:
    """Forty people, each live once and printed twice."""
    people = [f"person-{i}" for i in range(40)]
    return divide([session(p, live=kind == 0, seed=3 * i + kind) for i, p in enumerate(people) for kind in range(3)])


@pytest.fixture
def make(parts: Parts) -> Callable[..., SupervisedTrainer]:
    """`make(folder, **changes)`: a trainer of a tiny network, six steps of eight."""

    def trainer(folder: Path, teachers: tuple[object, ...] = (), **changes: object) -> SupervisedTrainer:
        torch.manual_seed(0)
        values = {"steps": 6, "batch": 8, "warmup_steps": 2, "validate_steps": 2, **changes}
        return SupervisedTrainer(
            settings=SupervisedSettings(folder=str(folder), **values),  # type: ignore[arg-type]
            train=parts.train,
            validation=parts.validation,
            teachers=teachers,  # type: ignore[arg-type]
            student=MobileNetV3Small(plan=PLAN, last_width=16, hidden_width=8),
        )

    return trainer


class Bright:
    """A teacher that calls bright crops live, and offers one feature map."""

    size, crop_scale = 16, 1.35

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []
        self.widths = {"middle": 3}

    def opinion(self, view: torch.Tensor) -> Opinion:
        self.seen.append(view)
        return Opinion(margin=(view.mean((1, 2, 3)) - 128) / 32, features={"middle": view})


def test_it_learns_and_keeps_the_best(make, parts: Parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Bright is live: the validation part is separated, and the network given is the one of the best step."""
    trainer = make(tmp_path, steps=30, validate_steps=10, rate=2e-2, tone_share=0.0, ema_steps=5)
    network = trainer.run()
    assert 1.0 == max(point["auc"] for point in trainer.curves)
    assert trainer.best["auc"] == max(point["auc"] for point in trainer.curves)
    assert [10, 20, 30] == [point["step"] for point in trainer.curves]
    scores = margins(network, parts.test.pixels)
    assert scores[parts.test.is_live].min() > scores[~parts.test.is_live].max()
    saved = load_checkpoint(tmp_path / "best.pt")
    assert (32, 2.7, trainer.best["step"]) == (saved["size"], saved["crop_scale"], saved["step"])


def test_every_crop_once_before_any_comes_again(make, parts: Parts, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """An epoch is a permutation, and two seeds have two."""
    trainer = make(tmp_path)
    count = len(parts.train)
    steps = -(-count // 8)
    shown = np.concatenate([trainer.rows(step) for step in range(steps)])
    assert list(range(count)) == sorted(shown[:count].tolist())
    assert trainer.rows(0).tolist() != make(tmp_path, seed=1).rows(0).tolist()


def test_the_rare_class_weighs_more(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """One live crop to two attacks: 3/4 and 3/2."""
    assert [0.75, 1.5] == pytest.approx(make(tmp_path).class_weights.tolist())


@pytest.mark.parametrize("precision", ["full", "mixed"])
@pytest.mark.parametrize("form", ["hinton", "additive", "convex"])
def test_two_teachers_and_alignment(make, tmp_path: Path, form: str, precision: str) -> None:  # type: ignore[no-untyped-def]
    """Each form runs with two teachers; the one with features is aligned; heads are no part of the result."""
    how = Teaching(form=form, layers=("middle", "embedding"))
    trainer = make(tmp_path, teachers=(Bright(), Bright()), teaching=how, steps=2, precision=precision)
    assert ["middle0", "middle1"] == list(trainer.model.heads)
    before = trainer.model.heads["middle0"].weight.clone()
    terms = trainer.step()
    assert {"taught", "align"} == set(terms)
    assert not torch.equal(before, trainer.model.heads["middle0"].weight)
    trainer.run()
    assert not any("heads" in name for name in load_checkpoint(tmp_path / "best.pt")["ema"])


def test_a_teacher_sees_its_own_crop() -> None:
    """A teacher of tight crops is shown the middle, resized; one of wider crops all there is."""
    tight, wide = Bright(), Bright()
    wide.crop_scale = 4.0
    pixels = torch.zeros(1, 3, 32, 32)
    pixels[:, :, 8:24, 8:24] = 200
    ask(tight, pixels, crop_scale=2.7)
    ask(wide, pixels, crop_scale=2.7)
    assert torch.equal(torch.full((1, 3, 16, 16), 200.0), tight.seen[0])
    assert (1, 3, 16, 16) == wide.seen[0].shape
    assert 0 == wide.seen[0][0, 0, 0, 0]


def test_teachers_of_every_kind(silent_face_file: Path, tmp_path: Path) -> None:
    """Checkpoints of ours and Silent-Face give margins and features, as wide as announced."""
    torch.manual_seed(0)
    network = MobileNetV3Small()
    torch.save({"ema": network.state_dict(), "size": 64}, tmp_path / "last.pt")
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    for teacher in (NetworkTeacher(tmp_path / "last.pt"), SilentFaceTeacher(silent_face_file)):
        found = ask(teacher, pixels, crop_scale=2.7)
        assert (2,) == found.margin.shape
        assert dict(teacher.widths) == {layer: values.shape[1] for layer, values in found.features.items()}
    ours = NetworkTeacher(tmp_path / "last.pt").opinion(pixels).margin
    expected = network.eval()(pixels / 255).logits
    assert torch.allclose(expected[:, 1] - expected[:, 0], ours)
    torch.save({"ema": network.state_dict(), "network": "mobilenet-v2"}, tmp_path / "other.pt")
    with pytest.raises(TrainingError, match=r"other\.pt: expected a checkpoint of mobilenet-v3-small"):
        NetworkTeacher(tmp_path / "other.pt")


def test_onnx_teacher_gives_the_same_opinion_either_way(tmp_path: Path) -> None:
    """An ONNX file is asked through the same door, with its own divisor and order of colours."""
    onnx = pytest.importorskip("onnx")
    helper, port = onnx.helper, onnx.helper.make_tensor_value_info
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    graph = helper.make_graph(nodes, "g", [port("x", 1, ("N", 3, 8, 8))], [port("y", 1, ("N", 3))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "mean.onnx")
    teacher = OnnxTeacher(tmp_path / "mean.onnx", size=8, crop_scale=2.7, live=0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    found = ask(teacher, torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), crop_scale=2.7)
    np.testing.assert_allclose(teacher.live_margin(pixels), found.margin, rtol=1e-6)
    assert {} == found.features


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked copy of itself")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_killed_run_resumes_to_the_same_result(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Six steps at once equal a run that is killed after five, three of them in its checkpoint, and goes on."""
    whole = make(tmp_path / "whole")
    whole.run()
    pid = os.fork()
    if pid == 0:
        broken = make(tmp_path / "broken")
        (tmp_path / "broken").mkdir()
        for index in range(5):
            broken.step()
            broken.after_step()
            if index == 2:
                broken.checkpoint()
        os.kill(os.getpid(), 9)
    assert 9 == os.WTERMSIG(os.waitpid(pid, 0)[1])
    resumed = make(tmp_path / "broken")
    resumed.run()
    one, other = (load_checkpoint(tmp_path / name / "best.pt") for name in ("whole", "broken"))
    assert (one["step"], one["auc"], one["samples"]) == (other["step"], other["auc"], other["samples"])
    assert all(torch.equal(value, other["ema"][name]) for name, value in one["ema"].items())
    assert [p["auc"] for p in whole.curves] == [p["auc"] for p in resumed.curves]


def test_full_disk_loses_no_checkpoint(make, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """When the disk is full the run ends with a clear error, and goes on from its older checkpoint later."""
    trainer = make(tmp_path, checkpoint_seconds=0.0)
    trainer.step()
    trainer.checkpoint()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TrainingError, match="No space left on device; free space"):
            trainer.run()
    assert 1 == load_checkpoint(tmp_path / "last.pt")["step"]
    again = make(tmp_path)
    again.run()
    assert 6 == again.step_index


def test_empty_class_is_refused() -> None:
    """A part without attacks, or with nothing but refused ones, says so."""
    with pytest.raises(DataError, match="train: expected live faces and attacks, got 2 live of 2 crops"):
        gather([session("ann", live=True), session("bob", live=True)], name="train")
    with pytest.raises(DataError, match="train: expected live faces and attacks, got 1 live of 1 crops"):
        gather([session("ann", live=True), session("bob", live=False, refused=True)], name="train")
    with pytest.raises(DataError, match="train: expected crops that were not refused, got none"):
        gather([session("ann", live=True, refused=True)], name="train")


def test_subject_on_both_sides_is_refused(parts: Parts) -> None:
    """The message names the parts and the person."""
    both = gather([session("ann", live=True), session("ann", live=False)], name="test")
    mixed = gather([session("ann", live=True), session("bob", live=False)], name="train")
    with pytest.raises(DataError, match="found 1 in train and test, first ann; split by subject"):
        Parts(train=mixed, validation=parts.validation, test=both)


def test_division_by_person(parts: Parts) -> None:
    """80:10:10, whole people."""
    sizes = [len(set(part.subjects.tolist())) for part in (parts.train, parts.validation, parts.test)]
    assert [32, 4, 4] == sizes
    assert 120 == len(parts.train) + len(parts.validation) + len(parts.test)


def test_unknown_form_of_teaching() -> None:
    """The known ones are listed."""
    with pytest.raises(InputError, match="expected a form of hinton, additive, convex"):
        Teaching(form="soft")


def test_part_scores_carry_people_and_species(parts: Parts) -> None:
    """What the metrics need is put beside the scores."""
    part: Part = parts.test
    scores = part.scored(np.zeros(len(part)))
    assert ("print",) == scores.attack_species
    assert scores.subjects is not None
    assert sorted(set(part.subjects)) == sorted(set(scores.subjects))
