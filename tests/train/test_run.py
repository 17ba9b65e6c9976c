"""A whole distillation by its plan, in small: what is refused, what is made, what a resumed run repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ratta.errors import InputError, TrainingError
from ratta.simulate import prepare_portraits
from ratta.train import DistillationPlan, TrainSettings, judge, label, run, train
from ratta.train.factory import split_identities
from ratta.train.loop import Loop, load_checkpoint


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noise people, prepared."""
    folder, rng = tmp_path_factory.mktemp("portraits"), np.random.default_rng(0)
    for index in range(10):
        picture = cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (120, 120))
        cv2.imwrite(str(folder / f"p{index}.png"), picture)
    return prepare_portraits(folder, folder / "cache", detect=lambda _: (36.0, 30.0, 84.0, 90.0))


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen pictures tell how far margins spread, and a random teacher's are as large as they like."""
    monkeypatch.setattr(run, "SCALES_PICTURES", 16)
    monkeypatch.setattr(judge, "SUREST", 1e9)


@pytest.fixture
def plan(tmp_path: Path, portraits: Path, silent_face_file: Path) -> DistillationPlan:
    """Two steps with two teachers, inputs made in the loop."""
    return DistillationPlan(
        portraits=str(portraits),
        teachers=(str(silent_face_file), str(silent_face_file)),
        workers=0,
        bank=0,
        validation=4,
        picture=48,
        settings=TrainSettings(folder=str(tmp_path / "run"), steps=2, batch=4, size_schedule=((0.0, 32),)),
    )


def test_a_plan_trains_and_resumes_to_the_same_weights(
    plan: DistillationPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step, an end, and one more step equal two steps: also what was made before the break does not count."""
    whole = train(plan, report=lambda _: None).state_dict()
    settings = replace(plan.settings, folder=str(tmp_path / "broken"))
    broken = replace(plan, settings=settings)
    step = Loop.step
    calls: list[int] = []

    def breaking(self):  # type: ignore[no-untyped-def]
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        out = step(self)
        self.checkpoint()
        return out

    monkeypatch.setattr(Loop, "step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train(broken, report=lambda _: None)
    monkeypatch.setattr(Loop, "step", step)
    assert load_checkpoint(tmp_path / "broken" / "last.pt")["step"] == 1
    resumed = train(broken, report=lambda _: None).state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_scales_are_measured_and_equal_teachers_need_none(
    plan: DistillationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second teacher that is the first again is scaled as the first, and the first in the first view by one."""
    monkeypatch.setattr("ratta.train.judge.SUREST", 1e12)  # weights at random claim more than any real teacher
    wide, tight = plan.scales
    assert wide == pytest.approx((1.0, 1.0), abs=1e-3)
    assert tight[0] == pytest.approx(tight[1], abs=1e-3)


def test_weights_of_a_run_with_fewer_teachers_can_be_taken_up(plan: DistillationPlan, tmp_path: Path) -> None:
    """The head for the further teachers begins anew, everything else is taken."""
    alone = replace(plan, teachers=plan.teachers[:1])
    train(alone, report=lambda _: None)
    settings = replace(plan.settings, folder=str(tmp_path / "more"))
    train(replace(plan, start=str(tmp_path / "run" / "last.pt"), settings=settings), report=lambda _: None)
    assert load_checkpoint(tmp_path / "more" / "last.pt")["samples"] == 16


def test_a_store_is_filled_once_and_learnt_from_without_workers(plan: DistillationPlan, tmp_path: Path) -> None:
    """`label` judges, a run with no workers only reads, and the teachers are not asked again."""
    labels = str(tmp_path / "labels")
    filling = replace(plan, labels=labels, slots=32, workers=1)
    assert label(filling, report=lambda _: None) == 32
    written = (tmp_path / "labels" / "pixels.npy").stat().st_mtime_ns
    train(replace(filling, workers=0), report=lambda _: None)
    assert (tmp_path / "labels" / "pixels.npy").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teachers": ()}, "at least one teacher"),
        ({"picture": 100}, "multiple of 8"),
        ({"device": "cuda"}, "expected workers"),
        ({"reuse": 0.5}, "reuse >= 1"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_at_once(plan: DistillationPlan, change, message) -> None:  # type: ignore[no-untyped-def]
    """Before anything is read or made."""
    with pytest.raises(InputError, match=message):
        replace(plan, **change)


def test_weights_that_are_no_numbers_are_never_saved(plan: DistillationPlan, tmp_path: Path) -> None:
    """The older checkpoint stays, and the error says what to do."""
    split = split_identities([f"p{i}" for i in range(10)])
    factory = plan.factory(split.train, bank=0)
    trainer = run._trainer(plan, split, draw=factory(), report=lambda _: None)
    (tmp_path / "run").mkdir()
    kept = trainer.checkpoint().read_bytes()
    with torch.no_grad():
        next(trainer.ema.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="expected finite weights"):
        trainer.checkpoint()
    assert (tmp_path / "run" / "last.pt").read_bytes() == kept


def test_what_is_exported_lies_between_the_start_and_the_result(plan: DistillationPlan, tmp_path: Path) -> None:
    """A quarter of the start and three of what was learned; a share without a start is refused."""
    train(plan, report=lambda _: None)
    start = tmp_path / "run" / "last.pt"
    settings = replace(plan.settings, folder=str(tmp_path / "more"))
    more = replace(plan, start=str(start), keep=0.25, settings=settings)
    learned = train(more, report=lambda _: None).state_dict()
    first, mixed = load_checkpoint(start)["ema"], run.between(more, learned)
    for name in ("classifier.2.bias", "features.0.1.running_mean"):
        torch.testing.assert_close(mixed[name], 0.25 * first[name] + 0.75 * learned[name])
    with pytest.raises(InputError, match="a trained start"):
        replace(plan, keep=0.5)
