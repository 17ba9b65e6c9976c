"""Experiment files: what is accepted, and what an error says."""

import json
from pathlib import Path

import pytest

from ratta.errors import DataError
from ratta.evaluate.experiment import all_targets, parse_experiment, read_settings

MINIMAL = {
    "name": "tiny",
    "model": "bundle",
    "development": {"kind": "pool", "path": "dev"},
    "targets": {"webcam": {"kind": "replay-attack", "root": "replay"}},
    "streams": ["sessions"],
    "methods": ["no-tta", {"name": "tent", "label": "tent-slow", "options": {"learning_rate": 1e-4}}],
}


def test_minimal() -> None:
    """Names stand for tables, and the rest has defaults."""
    found = parse_experiment(MINIMAL, where="x")
    assert (["no-tta", "tent-slow"], (0, 1, 2), "eer") == (
        [method.label for method in found.methods],
        found.seeds,
        found.threshold,
    )
    assert ("sessions", "test") == (found.streams[0].kind, found.targets["webcam"].split)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["no-tta", "tnet"]}, r"x: methods\.1\.name: input should be 'no-tta', 'bn-batch'.*, got 'tnet'"),
        (
            {"streams": [{"kind": "sessions", "confirm": 2}]},
            r"x: streams\.0\.confirm: .*less than or equal to 1, got 2",
        ),
        ({"streams": ["sessions", {"kind": "sessions", "confirm": 0}]}, r"streams and seeds: expected each once"),
        (
            {"streams": [{"kind": "sessions", "methods": ["tnt"]}]},
            r"x: streams: methods: expected some of \['no-tta', 'tent-slow'\], got 'tnt'",
        ),
        ({"streams": ["slow"]}, r"x: streams\.0\.kind: input should be 'iid'.*, got 'slow'"),
        ({"seeds": [0, "one"]}, r"x: seeds\.1: .*integer.*, got 'one'"),
        ({"seeds": []}, r"x: seeds: .*at least 1 item.*"),
        ({"seed": 3}, r"x: seed: extra inputs are not permitted, got 3"),
        ({"threshold": "apcer=5"}, r"x: threshold: policy: expected 'eer', 'apcer=0\.05'.*, got 'apcer=5'"),
        ({"targets": {}}, r"x: targets: .*at least 1 item"),
        ({"targets": {"a b": {"kind": "pool", "path": "p"}}}, r"x: targets\.a b\.\[key\]: string should match pattern"),
        ({"development": {"kind": "oulu", "root": "r"}}, r"x: development: .*'pool', 'oulu-npu'.*"),
        ({"development": {"kind": "oulu-npu"}}, r"x: development\.oulu-npu\.root: field required"),
        ({"methods": ["tent", "tent"]}, r"x: methods: expected different labels"),
        ({"streams": ["sessions", "sessions"]}, r"x: streams and seeds: expected each once"),
        ({"streams": ["sudden"]}, r"x: home: expected a domain for the stream sudden, got none"),
    ],
)
def test_errors_name_the_key(change, message) -> None:
    """The key, what was expected, and what came."""
    with pytest.raises(DataError, match=message):
        parse_experiment({**MINIMAL, **change}, where="x")


def test_changes_multiply_targets() -> None:
    """Every target is there as it is and under each change, without a change of its own beside it."""
    pytest.importorskip("cv2")
    found = all_targets(parse_experiment({**MINIMAL, "changes": ["dark-1.5", "far"]}, where="x"))
    assert {"webcam": None, "webcam+dark-1.5": "dark-1.5", "webcam+far": "far"} == {
        name: domain.change for name, domain in found.items()
    }
    dark = {"dark": {"kind": "pool", "path": "p", "change": "dark-1.5"}}
    assert "dark-1.5" == parse_experiment({**MINIMAL, "targets": dark}, where="x").targets["dark"].change
    with pytest.raises(DataError, match="changes: expected targets without a change of their own, got dark"):
        parse_experiment({**MINIMAL, "targets": dark, "changes": ["far"]}, where="x")
    with pytest.raises(DataError, match=r"x: changes\.0: change: expected one of .*bright-0\.5.*, got 'dim'"):
        parse_experiment({**MINIMAL, "changes": ["dim"]}, where="x")


def test_every_error_at_once() -> None:
    """Two mistakes are two lines."""
    with pytest.raises(DataError) as caught:
        parse_experiment({**MINIMAL, "seeds": ["one"], "window": 0}, where="x")
    assert {"x: seeds", "x: window"} == {
        line[: line.index(":", 3)].partition(".")[0] for line in str(caught.value).split("; ")
    }


def test_toml_and_json_agree(tmp_path) -> None:
    """Both forms are read, and relative paths are taken from the file's folder."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "x.json").write_text(json.dumps(MINIMAL))
    (tmp_path / "x.toml").write_text(
        'name = "tiny"\nmodel = "bundle"\nstreams = ["sessions"]\n'
        'methods = ["no-tta", {name = "tent", label = "tent-slow", options = {learning_rate = 1e-4}}]\n'
        '[development]\nkind = "pool"\npath = "dev"\n[targets.webcam]\nkind = "replay-attack"\nroot = "replay"\n'
    )
    found = read_settings(tmp_path / "x.toml")
    assert read_settings(tmp_path / "x.json") == found
    assert (str(tmp_path / "bundle"), str(tmp_path / "dev")) == (found["model"], found["development"]["path"])


def test_shipped_model_keeps_its_name(tmp_path) -> None:
    """A model that is no folder beside the file is the name of a shipped one."""
    (tmp_path / "x.json").write_text(json.dumps(MINIMAL))
    assert "bundle" == read_settings(tmp_path / "x.json")["model"]


@pytest.mark.parametrize(("name", "text"), [("x.toml", "a = ["), ("x.json", "["), ("x.json", "[]"), ("y.toml", None)])
def test_unreadable(tmp_path, name, text) -> None:
    """A file that is absent or broken is named."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}: expected"):
        read_settings(tmp_path / name)


def test_shipped_experiments_are_valid() -> None:
    """Every evaluation of the repository parses; a sweep without its grid is one. Trainings have their own test."""
    folder = Path(__file__).parents[2] / "bench" / "experiments"
    files = sorted(folder.glob("*.toml"))
    assert {"paper.toml", "simulated.toml", "nuaa.toml", "sweep-tent.toml"} <= {path.name for path in files}
    for path in files:
        settings = read_settings(path)
        if "data" in settings:
            continue
        values = {key: value for key, value in settings.items() if key not in ("grid", "study")}
        assert parse_experiment(values, where=path.name).methods
