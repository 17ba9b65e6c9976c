"""`ratta models`: what is shipped, by name, and suggestions where a name is mistyped."""

import json

import pytest

from ratta import cli
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle, shipped_models


def test_every_shipped_model_is_listed(capsys):
    """With its version, and which one is loaded by default."""
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert [name for name in shipped_models() if name not in out] == []
    assert f"{DEFAULT_MODEL}  {read_bundle(find_bundle(DEFAULT_MODEL)).version}  (default)" in out


def test_the_list_as_json_has_what_identifies_a_model(capsys):
    """The hash is the one to pin."""
    assert cli.main(["models", "--json"]) == 0
    (row,) = [one for one in json.loads(capsys.readouterr().out) if one["default"]]
    assert row["sha256"] == read_bundle(find_bundle(DEFAULT_MODEL)).sha256


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["calibarte"], "calibrate"),
        (["run", "--source", "a.mp4", "--thresold", "0.5"], "--threshold"),
        (["simulate", "--output", "x", "--species", "replya"], "replay"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(arguments, meant, capsys):
    """Commands, options and choices."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err.replace("maybe you meant", "did you mean")


def test_a_word_like_no_other_gets_no_suggestion(capsys):
    """A wrong guess would be worse than none."""
    with pytest.raises(SystemExit):
        cli.main(["xyzzy"])
    assert "did you mean" not in capsys.readouterr().err


def test_a_mistyped_model_is_answered_with_the_nearest(capsys):
    """Among the shipped ones."""
    assert cli.main(["info", "--model", DEFAULT_MODEL.replace("ratta", "rata")]) == 2
    assert f"did you mean {DEFAULT_MODEL}?" in capsys.readouterr().err
