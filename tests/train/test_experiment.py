"""Experiments on labelled data: files that fit or say what does not, a study, scenarios, one look at the test part."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from ratta.errors import DataError, SourceError, TrainingError
from ratta.evaluate.experiment import read_settings
from ratta.evaluate.sessions import CropSession, write_pool
from ratta.train import experiment as experiment_module
from ratta.train import scenarios as scenarios_module
from ratta.train import supervised, teachers
from ratta.train.experiment import StudySettings, merged, parse_training, read_parts
from ratta.train.network import BlockPlan, MobileNetV3Small
from ratta.train.scenarios import ExperimentRunner, classification, over_seeds
from ratta.train.study import run_study

PLAN = tuple(
    BlockPlan(inputs=8, kernel=3, expanded=16, outputs=8, squeeze=False, hardswish=True, stride=stride)
    for stride in (2, 1, 1, 2, 1)
)


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Every network is a tiny one, whatever its name."""

    def make(_: str) -> MobileNetV3Small:
        return MobileNetV3Small(plan=PLAN, last_width=16, hidden_width=8)

    for module in (supervised, teachers, scenarios_module):
        monkeypatch.setattr(module, "make_network", make)
    monkeypatch.setattr(scenarios_module, "cost", lambda *_: {"parameters": 1, "size_bytes": 4_000_000})
    monkeypatch.setattr(ExperimentRunner, "export", lambda *_: {})


@pytest.fixture
def values(tmp_path: Path) -> dict[str, object]:
    """An experiment on a pool of twenty people, live ones bright, printed ones dark."""
    rng = np.random.default_rng(0)
    write_pool(
        tmp_path / "pool",
        [
            CropSession(
                name=f"{person}-{kind}",
                subject=f"person-{person}",
                camera="",
                is_live=kind == 0,
                species=("", "print", "replay")[kind],
                pixels=rng.integers(*((128, 256) if kind == 0 else (0, 128)), (1, 32, 32, 3)).astype(np.uint8),
                refusals=np.array([""]),
                t=np.zeros(1),
            )
            for person in range(20)
            for kind in range(3)
        ],
        key="k",
    )
    return {
        "name": "tiny",
        "size": 32,
        "data": {"pool": {"kind": "pool", "path": str(tmp_path / "pool")}},
        "training": {"epochs": 1, "batch": 8},
        "seeds": [0, 1],
        "study": {"trials": 2, "space": {"rate": {"low": 1e-3, "high": 1e-2, "log": True}}},
        "scenarios": [
            {"name": "teacher", "seeds": [4]},
            {"name": "tuned", "tuned": True},
            {"name": "distilled", "teachers": [{"kind": "scenario", "name": "teacher"}]},
        ],
    }


def test_the_whole_experiment(values, tiny, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Study on validation, every scenario and seed, the table; a second run trains nothing and tests nothing again."""
    settings = parse_training(values, where="x")
    parts = read_parts(settings, tmp_path / "pools")
    looks: list[int] = []
    real = scenarios_module.margins
    monkeypatch.setattr(
        scenarios_module, "margins", lambda network, pixels: (looks.append(len(pixels)), real(network, pixels))[1]
    )
    runner = ExperimentRunner(settings=settings, parts=parts, folder=tmp_path / "out")
    record = runner.run()
    assert [("teacher", 4), ("tuned", 0), ("tuned", 1), ("distilled", 0), ("distilled", 1)] == [
        (run["scenario"], run["seed"]) for run in record["runs"]
    ]
    assert {"crops": 48, "live": 16, "people": 16} == record["parts"]["train"]
    assert record["study"]["best"]["rate"] == record["runs"][1]["training"]["rate"]
    assert 10 == len(looks)
    table = (tmp_path / "out" / "results.md").read_text()
    assert "| tuned | 2 | " in table
    assert "train: 48 crops (16 live) of 16 people" in table
    again = ExperimentRunner(settings=settings, parts=parts, folder=tmp_path / "out").run()
    assert again == json.loads(json.dumps(record))
    assert 10 == len(looks)


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    """Trials are kept in the database: two, and two more, are four; machines that share it share them."""
    asked: list[float] = []

    def objective(found: dict[str, float], folder: Path) -> float:
        asked.append(found["rate"])
        return -abs(found["rate"] - 0.5)

    space = {"rate": {"low": 0.0, "high": 1.0}}
    two = StudySettings(trials=2, space=space)  # type: ignore[arg-type]
    four = StudySettings(trials=4, space=space)  # type: ignore[arg-type]
    run_study(two, objective, name="s", folder=tmp_path)
    best = run_study(four, objective, name="s", folder=tmp_path)
    assert 4 == len(set(asked))
    assert min(asked, key=lambda rate: abs(rate - 0.5)) == best["rate"]
    elsewhere = run_study(four, objective, name="s", folder=tmp_path / "b", storage=f"sqlite:///{tmp_path}/study.db")
    assert 4 == len(asked)
    assert best == elsewhere
    with pytest.raises(TrainingError, match=r"expected a database at sqlite:////nowhere/x\.db"):
        run_study(two, objective, name="s", folder=tmp_path, storage="sqlite:////nowhere/x.db")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"network": "vgg"}}, "training of teacher: network: .*, got 'vgg'"),
        ({"use": ["corpus"]}, "expected names of pool, got \\['corpus'\\]"),
        ({"study": None}, "expected a table \\[study\\], since it is tuned"),
        ({"parts": {"train": ["pool"]}}, "parts: expected train, validation, test"),
        (
            {"scenarios": [{"name": "a", "teachers": [{"kind": "scenario", "name": "b"}]}]},
            "expected its teacher b before",
        ),
        ({"scenarios": [{"name": "a"}, {"name": "a"}]}, "expected different names"),
        ({"colour": 1}, "colour"),
    ],
)
def test_files_that_do_not_fit(values, change, message) -> None:  # type: ignore[no-untyped-def]
    """The key is named."""
    with pytest.raises(DataError, match=message):
        parse_training({**values, **change}, where="x.toml")


def test_one_person_in_two_parts_by_hand(values, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Parts that are named by hand are held to the same rule."""
    parts = {name: ["pool"] for name in ("train", "validation", "test")}
    with pytest.raises(DataError, match="expected everybody in one part, found 20 in train and validation"):
        read_parts(parse_training({**values, "parts": parts}, where="x"), tmp_path)


def test_a_corrupt_picture_is_named(values, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A picture that cannot be decoded ends the run before it begins, with its path."""
    for kind in ("live", "print"):
        folder = tmp_path / "own" / "test" / kind / "ann" / "1"
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(b"no picture")
    change = {"data": {"own": {"kind": "folder", "root": str(tmp_path / "own"), "strict": True}}}
    with pytest.raises(SourceError, match=r"ann/1/0\.png: expected a picture, got 10 bytes"):
        read_parts(parse_training({**values, **change}, where="x"), tmp_path / "pools")
    assert not list((tmp_path / "pools").glob("*/pool.json"))


def test_a_full_disk_while_cutting(values, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The error says where room is missing, and no half pool is taken for a whole one."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(experiment_module, "prepare_pool", full)
    with pytest.raises(TrainingError, match=r"expected room to write crops, got .*No space left on device; free space"):
        read_parts(parse_training(values, where="x"), tmp_path / "pools")


def test_the_committed_experiments_fit() -> None:
    """The files in bench/experiments are valid, and their relative paths start at the file."""
    folder = Path(__file__).parents[2] / "bench" / "experiments"
    if not folder.is_dir():
        pytest.skip("the experiments are not part of the installed package")
    for name in ("labels-and-teacher.toml", "four-scenarios.toml", "distillation-forms.toml"):
        settings = parse_training(read_settings(folder / name), where=name)
        assert folder / "corpora" / "portraits" == settings.data["simulated"].portraits  # type: ignore[union-attr]
    assert folder / "corpora" in settings.scenarios[-1].teachers[1].path.parents  # type: ignore[union-attr]


def test_layers_of_settings() -> None:
    """Later ones win, nested ones key by key."""
    found = merged({"batch": 8, "teaching": {"alpha": 0.5}}, {"batch": 16, "teaching.temperature": 2.0})
    assert (16, 0.5, 2.0) == (found.batch, found.teaching.alpha, found.teaching.temperature)
    settled = merged({"epochs": 2, "batch": 10, "looks": 4}).run(folder=Path("x"), crops=100, seed=3, crop_scale=2.7)
    assert (20, 5, 3) == (settled.steps, settled.validate_steps, settled.seed)


def test_interval_over_seeds() -> None:
    """Mean 2, deviation 1, n = 3: 2 +- 4.303 / sqrt(3); one run has no interval."""
    found = over_seeds([1.0, 2.0, 3.0])
    assert (2.0, pytest.approx(2 - 4.303 / 3**0.5)) == (found.mean, found.low)
    assert np.isnan(over_seeds([1.0]).low)


def test_precision_without_a_call_is_undefined() -> None:
    """Nothing called an attack: no precision, recall 0."""
    from ratta.metrics import ScoreSet

    found = classification(ScoreSet(live_scores=[0.9, 0.8], is_live=[1, 0]), 0.5)
    assert np.isnan(found["precision"])
    assert (0.5, 0.0, 0.0) == (found["accuracy"], found["recall"], found["f1"])


def test_the_command(values, tiny, tmp_path: Path, capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """`ratta train FILE` prints the table; a name that is not in the file is an error of one line."""
    from ratta.cli import main
    from ratta.cli import train as command

    monkeypatch.setattr(command, "latency_ms", lambda _: {})
    values["scenarios"] = [{"name": "alone"}]
    values["study"] = None
    values["seeds"] = [0]
    (tmp_path / "x.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    assert 0 == main(["train", str(tmp_path / "x.json"), "--output", str(tmp_path / "out")])
    assert "| alone | 1 | " in capsys.readouterr().out
    assert 2 == main(["train", str(tmp_path / "x.json"), "--data", "nothing", "--output", str(tmp_path / "out")])
    assert "expected names of pool, got ['nothing']" in capsys.readouterr().err
    assert 2 == main(["train"])
    assert "expected an experiment file, or --portraits" in capsys.readouterr().err
