"""What all commands have in common: statuses, one line for an error, signals, a stdout that may be gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ratta.console import Status, check_arguments, guarded, statuses
from ratta.errors import InputError, OutputError

RUN = "import sys; from ratta.console import guarded; sys.exit(guarded('ratta x', sys.argv[1:], lambda: {}))"


def run(action, *arguments, **options):
    code = RUN.format(action)
    return subprocess.run([sys.executable, "-c", code, *arguments], text=True, timeout=60, **options)


def raising(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("a: expected b, got c"), 2, "ratta x: a: expected b, got c\n"),
        (OutputError("two\nlines \x1b[2J"), 2, "ratta x: two\\nlines \\x1b[2J\n"),
        (OSError(28, "No space left on device"), 2, "ratta x: expected the system to do it, got: [Errno 28] No "),
        (KeyboardInterrupt(), 130, "ratta x: interrupted\n"),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_a_status(error, status, line, capsys):
    """A message stays on its line."""
    assert status == guarded("ratta x", [], raising(error))
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert err.startswith(line)


def test_a_bug_is_a_traceback():
    """It is to be reported, not hidden."""
    with pytest.raises(ZeroDivisionError):
        guarded("ratta x", [], lambda: 1 // 0)


@pytest.mark.parametrize(
    ("arguments", "named"), [(["run", "--source", ""], "--source"), (["--json="], "--json"), ([" "], "argument")]
)
def test_an_empty_argument_is_an_unset_variable(arguments, named):
    """It is no current folder and no first camera."""
    with pytest.raises(InputError, match=f"{named}: expected a value, got an empty one; is a variable unset"):
        check_arguments(arguments)
    check_arguments(["run", "--source", "a=b", "--fps=3", "="])


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_unwinds_like_ctrl_c(name, status, capsys):
    """Files are closed on the way; the handlers of before are back afterwards."""
    before, closed = signal.getsignal(signal.SIGTERM), []

    def action():
        try:
            os.kill(os.getpid(), getattr(signal, name))
            raise AssertionError
        finally:
            closed.append(True)

    assert status == guarded("ratta x", [], action)
    assert ([True], before) == (closed, signal.getsignal(signal.SIGTERM))
    assert "ratta x: told to end\n" == capsys.readouterr().err


def test_a_stdout_that_is_full_or_gone_is_an_error():
    """Not a traceback, and not the answer no."""
    with Path("/dev/full").open("w") as full:
        done = run("print('LIVE') or 0", stdout=full, stderr=subprocess.PIPE)
    assert (2, 1) == (done.returncode, done.stderr.count("\n")), done.stderr
    code = "import os; os.close(1); import sys; sys.stdout = None; " + RUN.format("0")
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (2, "ratta x: stdout: expected a place for the answers") == (done.returncode, done.stderr[:49])


def test_json_lines_on_a_full_stdout_are_an_error():
    """Python's own last flush at exit does not change the status to another."""
    write = "__import__('ratta.cli.lines').cli.lines.JsonLines('-').write(dict(a=1)) or 0"
    with Path("/dev/full").open("w") as full:
        done = run(write, stdout=full, stderr=subprocess.PIPE)
    assert (2, 1) == (done.returncode, done.stderr.count("\n")), done.stderr
    assert "stdout: expected room for another line, got: No space left on device" in done.stderr


def test_without_stderr_errors_do_not_go_to_stdout():
    """JSON lines on stdout stay JSON lines."""
    code = "import sys; sys.stderr = None; " + RUN.format("exec('raise ValueError') if 0 else [][:0] or 1")
    done = subprocess.run([sys.executable, "-c", code, ""], stdout=subprocess.PIPE, text=True, timeout=60)
    assert (2, "") == (done.returncode, done.stdout)


def test_the_table_of_statuses():
    """A command says what yes and no mean; the rest is the same for all."""
    lines = statuses({Status.YES: "live", Status.NO: "not live"}).splitlines()
    assert ["exit status:", "  0    live", "  1    not live"] == lines[:3]
    assert ["2", "130", "143"] == [line.split()[0] for line in lines[3:]]
