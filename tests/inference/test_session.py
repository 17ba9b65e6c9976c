"""ONNX Runtime's session: threads and forks, whose exceptions are whose, and the switch of its telemetry."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ratta
from ratta.bundle import read_detector
from ratta.errors import InputError
from ratta.inference import OrtSession
from ratta.inference import session as module

pytest.importorskip("onnxruntime")
PIXELS = {"pixels": np.zeros((1, 128, 128, 3), np.uint8)}


@pytest.fixture(scope="module")
def graph():
    return read_detector()


@pytest.mark.parametrize("threads", [0, -1, 257, 2**40, 1.5, 2.0, "2", None, True, [1]])
def test_threads_are_a_small_whole_number(graph, threads):
    """Anything else is an error that says so, before a thread is made."""
    with pytest.raises(InputError, match="threads: expected"):
        OrtSession(graph, threads=threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("leave", ["exit", "collect"])
def test_a_forked_process_answers_and_ends(threads, leave):
    """Whether it lets go of the engine or ends as a program does."""
    code = (
        "import gc, os, sys, numpy as np, ratta;"
        "from ratta.inference import OrtSession; from ratta.bundle import read_detector;"
        f"session = OrtSession(read_detector(), threads={threads});"
        "feeds = {'pixels': np.zeros((1, 128, 128, 3), np.uint8)}; expected = session.run(feeds)[1];"
        "child = os.fork();"
        "same = np.array_equal(session.run(feeds)[1], expected);"
        "code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0;"
        f"session = None if {leave == 'collect'} else session; gc.collect();"
        "sys.exit(0 if same and code == 0 else 1)"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False).returncode == 0


class AlarmError(Exception):
    """The caller's own."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no alarms here")
@pytest.mark.parametrize("kind", [AlarmError, ValueError, RuntimeError, InputError])
def test_what_a_callers_handler_raises_reaches_the_caller(graph, kind):
    """Whatever its type: it is not taken for a failure of the runtime."""
    session, raised = OrtSession(graph), []

    def alarm(*_):
        raised.append(kind("the caller's"))
        raise raised[-1]

    before = signal.signal(signal.SIGALRM, alarm)
    heard = 0
    try:
        for turn in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 2e-4 + 5e-5 * (turn % 8))
                for _ in range(20):
                    session.run(PIXELS)
                signal.setitimer(signal.ITIMER_REAL, 0)
                time.sleep(0.001)
            except Exception as error:
                heard += error is raised[-1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert heard == len(raised) > 30


def test_what_the_runtime_raises_is_an_error_of_ours(graph):
    """Inputs that do not fit."""
    for feeds in ({}, {"pixels": np.zeros((1, 5, 5, 3), np.uint8)}, {"pixels": "text"}, {"other": np.zeros(3)}):
        with pytest.raises(InputError, match=r"session\.run: expected"):
            OrtSession(graph).run(feeds)


def test_a_runtime_that_came_first_is_told_of(monkeypatch, caplog):
    """Once, with the way out."""
    monkeypatch.setattr(module, "telemetry_is_off", False)
    with caplog.at_level(logging.WARNING, logger="ratta"):
        module.import_onnxruntime()
        module.import_onnxruntime()
    (record,) = caplog.records
    assert "ORT_DISABLE_TELEMETRY=1" in record.getMessage()


def test_only_one_file_imports_the_runtime():
    """So there is no way around the switch."""
    package = Path(ratta.__file__).parent
    sources = {p.relative_to(package).as_posix(): p.read_text() for p in package.rglob("*.py")}
    importing = [name for name, text in sources.items() if "import onnxruntime\n" in text or "from onnxruntime" in text]
    assert sorted(importing) == ["bench/memory.py", "inference/session.py"]
    assert 'os.environ["ORT_DISABLE_TELEMETRY"] = "1"' in sources["bench/memory.py"]
