"""Runs the core's tests in Pyodide; Node starts it (see `.ci/pyodide`)."""

import os
import sys
from pathlib import Path

import pytest

from ratta.errors import MissingExtraError

ABSENT = {
    MissingExtraError: "onnxruntime",  # there is none for Pyodide; onnxruntime-web has a test of its own
    ModuleNotFoundError: "cv2",
    OSError: "emscripten does not support processes",
    RuntimeError: "can't start new thread",
}
"""What a browser does not have, and how Python says so. A test that meets it is skipped; other errors stay errors."""

LEFT_OUT = {
    "tests/test_state.py::test_a_large_file_is_refused_before_it_is_read_whole": "a sparse file",
    "tests/test_state.py::test_what_is_no_file_is_refused": "a named pipe",
    "tests/bench/test_device.py::test_denied_proc_and_sys_give_none": "psutil",
    "tests/bench/test_device.py::test_a_phone_is_named_by_its_model": "another process, getprop",
    "tests/bench/test_energy.py::test_a_phone_says_its_current": "another process, termux-battery-status",
    "tests/bench/test_swap.py::test_the_command": "onnxruntime",
    "tests/inference/test_web_session.py": "a stand-in for JavaScript; node.test.mjs has the real one",
}
"""Tests of what is not in a browser, and what they need."""


class InBrowser:
    """Skips the tests that need what a browser does not have."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        return (yield from skipping())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        return (yield from skipping())


def skipping():
    try:
        return (yield)
    except tuple(ABSENT) as error:
        for kind, words in ABSENT.items():
            if isinstance(error, kind) and words in str(error):
                pytest.skip(f"not in a browser: {words}")
        raise


def run(repository: str) -> int:
    """Run the tests and return pytest's exit status."""
    os.chdir(repository)
    sys.dont_write_bytecode = True
    core = Path(".ci/core").read_text(encoding="utf-8").split()
    options = ["-p", "no:cacheprovider", "--tb=short", "--durations=10", "-rs"]
    left_out = [f"--deselect={test}" for test in LEFT_OUT]
    return int(pytest.main([*options, *left_out, *core], plugins=[InBrowser()]))
