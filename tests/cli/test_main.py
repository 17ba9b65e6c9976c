"""The command itself: exit statuses, one-line errors, and nothing heavy for light commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ratta
from ratta import cli
from ratta.cli.run import STATUSES
from ratta.console import Status
from ratta.errors import InputError


@pytest.fixture
def command(monkeypatch):
    """Make `ratta info` do something else."""

    def install(action):
        monkeypatch.setattr("ratta.cli.info.run", lambda args: action())

    return install


def test_the_status_of_the_command_is_the_status(command):
    """What `run` returns is returned."""
    command(lambda: 1)
    assert cli.main(["info"]) == 1


def test_an_error_is_one_line_and_status_2(command, capsys):
    """No traceback reaches the user."""

    def fail():
        raise InputError("frame: expected color, got grey; pass color")

    command(fail)
    assert cli.main(["info"]) == 2
    assert capsys.readouterr() == ("", "ratta info: frame: expected color, got grey; pass color\n")


def test_ctrl_c_is_status_130(command, capsys):
    """As shells expect."""

    def stop():
        raise KeyboardInterrupt

    command(stop)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "ratta info: interrupted\n"


def test_a_bug_is_not_hidden(command):
    """An error that is not ours is a traceback, to be reported."""
    command(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["info"])


def test_version(capsys):
    """The version is the package's."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"ratta {ratta.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["run"], ["run", "--image", "a", "--camera", "0"]])
def test_wrong_usage_is_status_2(arguments, capsys):
    """And says how to use it."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: ratta" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    """With a line each."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if f"\n  {name} " not in out] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name, capsys):
    """`--help` shows the command's own page."""
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert f"usage: ratta {name}" in capsys.readouterr().out


@pytest.mark.parametrize("page", ["quickstart.md", "cli.md"])
def test_the_documentation_names_every_status(page):
    """And no other; what `ratta run` says of 0 and 1 stands in the quickstart word for word."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    rows = re.findall(r"^\| ([0-9, ]+) \| (.*) \|$", text, flags=re.MULTILINE)
    assert sorted(Status) == sorted(int(status) for row, _ in rows for status in row.split(","))
    if page == "quickstart.md":
        assert list(STATUSES.values()) == [meaning.replace("`", "") for row, meaning in rows if row in ("0", "1")]


def test_info_imports_nothing_heavy():
    """`ratta info` starts without OpenCV, ONNX Runtime and the workshops."""
    code = (
        "import sys; from ratta.cli import main; main(['info', '--model', 'none']);"
        "print(sorted({'cv2', 'onnxruntime', 'torch', 'pydantic', 'psutil', 'ratta.simulate'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr.startswith("ratta info: model: expected a folder with bundle.json")
