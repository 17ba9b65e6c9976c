"""`ratta eval` and `ratta sweep`: arguments in, table on stdout, report beside the cells."""

import argparse
import json

import pytest

from ratta.cli import eval as eval_command
from ratta.cli import sweep as sweep_command
from ratta.errors import DataError
from ratta.evaluate import evaluation, write_pool

from .conftest import tiny_source


def parsed(command, *arguments: str) -> argparse.Namespace:
    """Arguments as the command line gives them."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def experiment(corpus, tmp_path, monkeypatch):
    """An experiment file beside its pools, with a bundle that is only a name."""

    class Stub:
        name, version, sha256, contract = "tiny", "1", "0" * 64, None

    monkeypatch.setattr(evaluation, "find_bundle", lambda path: path)
    monkeypatch.setattr(evaluation, "read_bundle", lambda _: Stub)
    monkeypatch.setattr(eval_command, "model_files", lambda _: ())
    for command in (eval_command, sweep_command):
        monkeypatch.setattr(command, "load_source", lambda _: tiny_source())
    for name in ("dev", "away"):
        write_pool(tmp_path / name, corpus(3, camera=name), key=name)
    return {
        "name": "tiny",
        "model": ".",
        "development": {"kind": "pool", "path": "dev"},
        "targets": {"b": {"kind": "pool", "path": "away"}},
        "streams": ["sessions"],
        "methods": ["no-tta"],
        "seeds": [0],
    }


def test_eval(experiment, tmp_path, capsys) -> None:
    """Paths are relative to the file, and the table and the report's place are printed."""
    (tmp_path / "x.json").write_text(json.dumps(experiment))
    code = eval_command.run(
        parsed(eval_command, str(tmp_path / "x.json"), "--output", str(tmp_path / "out"), "--quiet")
    )
    shown = capsys.readouterr().out
    assert (0, True, True) == (code, "| no-tta |" in shown, "report.html" in shown)
    assert (tmp_path / "out" / "report.html").is_file()


def test_sweep(experiment, tmp_path, capsys) -> None:
    """Each point of the grid is a line of the table."""
    (tmp_path / "x.json").write_text(json.dumps({**experiment, "grid": {"window": [8, 16]}}))
    code = sweep_command.run(parsed(sweep_command, str(tmp_path / "x.json"), "--output", str(tmp_path / "out")))
    lines = capsys.readouterr().out.splitlines()
    assert (0, 2) == (code, sum("| no-tta |" in line for line in lines))


def test_wrong_file_is_named(experiment, tmp_path) -> None:
    """The error names the file and the key."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**experiment, "seeds": "all"}))
    with pytest.raises(DataError, match=r"x\.json: seeds: input should be a valid tuple, got 'all'"):
        eval_command.run(parsed(eval_command, str(path)))
