"""On a phone: the engine answers, and what the system denies is `None` rather than an error or a guess."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = """
import json, sys
import ratta
from ratta.bench.command import measure
from ratta.bench.device import temperature_c
from ratta.bench.energy import find_meter
from ratta.bench.frames import Stream, portrait_frames
from ratta.bench.memory import peak_mb, rss_mb
from ratta.bench.schema import to_json
try:
    open("/proc/self/status")
except PermissionError:
    meter, stream, engine = find_meter(), Stream(portrait_frames(2)), ratta.load()
    decisions = [engine.step(frame, t=t) for frame, _, t in (stream.next() for _ in range(40))]
    result = measure(model="ratta-mnv3s-128", seconds=0.05, quick=True)
    print(json.dumps({
        "platform": sys.platform, "verdict": decisions[-1].verdict, "memory": [rss_mb(), peak_mb(), temperature_c()],
        "device": to_json(result.device), "meter": [meter.source, meter.measured, meter._level],
        "bare_ms": result.timings["bare run"].wall_ms.p50,
    }))
"""


@pytest.fixture(scope="module")
def phone():
    """What a Python on an imitated phone says of itself."""
    path = os.pathsep.join([str(HERE / "bin"), os.environ["PATH"]])
    python_path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "ANDROID_ROOT": "/system"}
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    return json.loads(asked.stdout)


def test_the_engine_answers(phone):
    """A steady face is judged there as anywhere."""
    assert ("android", "live") == (phone["platform"], phone["verdict"])


def test_what_is_denied_is_unknown(phone):
    """Memory, peak, temperature, clock and governor are not read from elsewhere and not made up."""
    denied = ("max_mhz", "governor", "memory_mb", "hypervisor")
    assert [None, None, None] == phone["memory"]
    assert [None] * 4 == [phone["device"][name] for name in denied]


def test_what_is_open_is_told(phone):
    """The phone's model by `getprop`, the battery by Termux: 0.412 A at 3.921 V."""
    assert ("Imitated Phone", "android") == (phone["device"]["cpu"], phone["device"]["system"])
    assert ["termux-battery-status", True, pytest.approx(0.412 * 3.921)] == phone["meter"]
    assert phone["bare_ms"] > 0
