"""Training learns, resumes to the same result after a kill, and never loses a checkpoint."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ratta.errors import DataError, InputError, TrainingError
from ratta.train.factory import split_identities
from ratta.train.loop import Trainer, TrainSettings, load_checkpoint, write_atomically
from ratta.train.network import BlockPlan, MobileNetV3Small

PLAN = tuple(
    BlockPlan(inputs=8, kernel=3, expanded=16, outputs=8, squeeze=squeeze, hardswish=True, stride=stride)
    for squeeze, stride in ((False, 2), (True, 1), (True, 1), (False, 2), (True, 1))
)


def tiny_trainer(folder: Path, producer, steps: int = 6, **changes: float) -> Trainer:  # type: ignore[no-untyped-def]
    """A trainer of a tiny network on 32-pixel inputs."""
    torch.manual_seed(0)
    settings = TrainSettings(
        folder=str(folder), steps=steps, batch=8, size_schedule=((0.0, 32),), warmup_steps=2, **changes
    )  # type: ignore[arg-type]
    student = MobileNetV3Small(plan=PLAN, last_width=16, hidden_width=8)
    validation = producer(np.random.default_rng(99), 16)
    return Trainer(settings=settings, draw=producer, validation=validation, student=student)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Everything that was learnt."""
    return {**trainer.model.state_dict(), **{f"ema.{k}": v for k, v in trainer.ema.state_dict().items()}}


def test_training_lowers_the_loss(tmp_path: Path, producer) -> None:  # type: ignore[no-untyped-def]
    """One batch, shown again and again, is learnt."""
    trainer = tiny_trainer(tmp_path, producer, steps=40, rate=2e-2, matrix_rate=1e-2, camera_share=0.0)
    batch = producer(np.random.default_rng(2), 8)
    trainer.draw = lambda *_: batch
    trainer.model.fit_standardisation(producer(np.random.default_rng(1), 64))
    values = [trainer.step()["margin"] for _ in range(40)]
    assert np.mean(values[-5:]) < 0.75 * np.mean(values[:5])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked copy of itself")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_killed_run_resumes_to_the_same_result(tmp_path: Path, producer) -> None:  # type: ignore[no-untyped-def]
    """Six steps at once equal three steps, a checkpoint, two lost steps, a kill, and three steps resumed."""
    whole = tiny_trainer(tmp_path / "whole", producer)
    whole.run()
    pid = os.fork()
    if pid == 0:
        broken = tiny_trainer(tmp_path / "broken", producer)
        torch.set_num_threads(1)
        broken.model.fit_standardisation(broken.draw(broken._rng(-1), 256))
        (tmp_path / "broken").mkdir()
        for index in range(5):
            broken.step()
            if index == 2:
                broken.checkpoint()
        os.kill(os.getpid(), 9)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 9
    resumed = tiny_trainer(tmp_path / "broken", producer)
    resumed.run()
    assert resumed.step_index == whole.step_index == 6
    assert resumed.samples == whole.samples == 48
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_full_disk_keeps_the_older_checkpoint(tmp_path: Path, producer, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """When the disk is full, the error says so and the last complete checkpoint still loads."""
    trainer = tiny_trainer(tmp_path, producer)
    trainer.checkpoint()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    trainer.step()
    with pytest.raises(TrainingError, match="No space left on device; free space"):
        trainer.checkpoint()
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_broken_checkpoint_is_named(tmp_path: Path) -> None:
    """A truncated checkpoint is refused, never half loaded."""
    write_atomically(tmp_path / "last.pt", b"PK half a file")
    with pytest.raises(TrainingError, match=r"last\.pt: expected a checkpoint"):
        load_checkpoint(tmp_path / "last.pt")


def test_diverged_loss_stops_the_run(tmp_path: Path, producer) -> None:  # type: ignore[no-untyped-def]
    """A loss that is not finite ends the run instead of being averaged in."""
    trainer = tiny_trainer(tmp_path, producer)
    with torch.no_grad():
        trainer.model.student.classifier[2].bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="expected a finite loss"):
        trainer.step()


def test_curves_are_json(tmp_path: Path, producer) -> None:  # type: ignore[no-untyped-def]
    """Validation is measured and kept as plain numbers."""
    trainer = tiny_trainer(tmp_path, producer, steps=2)
    trainer.run()
    assert {"step", "samples", "elapsed_s", "r2", "r2_view0", "r2_view1", "agreement"} == set(
        json.loads(json.dumps(trainer.curves))[-1]
    )


def test_a_budget_is_seconds_or_steps() -> None:
    """Exactly one of the two ends the schedule."""
    with pytest.raises(InputError, match="expected one of seconds, steps"):
        TrainSettings(folder="x")
    with pytest.raises(InputError, match="expected one of seconds, steps"):
        TrainSettings(folder="x", seconds=1.0, steps=1)


def test_split_never_puts_a_person_on_two_sides() -> None:
    """80:10:10, disjoint, complete, the same for any order of names."""
    names = [f"person-{i}" for i in range(50)]
    split = split_identities(names)
    assert (len(split.train), len(split.validation), len(split.test)) == (40, 5, 5)
    assert set(split.train) | set(split.validation) | set(split.test) == set(names)
    assert split == split_identities(names[::-1])
    assert split != split_identities(names, seed=1)


def test_split_refuses_a_person_twice_and_too_few_persons() -> None:
    """A subject on both sides of a split cannot happen, an empty part neither."""
    with pytest.raises(DataError, match="expected each person once"):
        split_identities([*(f"p{i}" for i in range(20)), "p3"])
    with pytest.raises(DataError, match="expected at least 10 persons, got 4"):
        split_identities(list("abcd"))
