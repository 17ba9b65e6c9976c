"""Nothing is sent, and nothing is written but what was asked for: every way of loading ratta, traced from outside."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("onnxruntime")
FRAME = "np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)"
WAYS = {
    "library": f"import ratta, numpy as np; ratta.load().score({FRAME})",
    "library, then the runtime": "import ratta, onnxruntime; onnxruntime.get_available_providers(); ratta.load()",
    "adaptation": f"import ratta, numpy as np; e = ratta.load(adapt=True); e.step({FRAME}, t=0.0); e.idle(0.1)",
    "command line": "import sys; from ratta.cli import main; sys.exit(main(['info']))",
    "numpy runtime": f"import ratta, numpy as np; ratta.load(runtime='numpy').score({FRAME})",
    "worker processes": (
        "import multiprocessing as m, ratta; p = m.get_context('spawn').Process(target=ratta.load);"
        "p.start(); p.join();"
        "assert p.exitcode == 0"
    ),
}
NETWORK_CALLS = ("socket(AF_INET", "connect(", "sendto(", "sendmsg(")


@pytest.fixture
def elsewhere(tmp_path):
    """An environment whose home is empty and in which nothing mutes the runtime."""
    home = tmp_path / "home"
    home.mkdir()
    muted = ("CI", "ORT_DISABLE_TELEMETRY", "GITHUB_ACTIONS", "TF_BUILD")
    kept = {name: value for name, value in os.environ.items() if name not in muted and not name.startswith("XDG_")}
    return home, {**kept, "HOME": str(home), "USERPROFILE": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def run(code, environment, *, before=()):
    wait = "; import time; time.sleep(0.3)" if "sys.exit" not in code else ""
    command = [*before, sys.executable, "-c", code + wait]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_loading_leaves_the_home_folder_alone(elsewhere, way):
    """No device number, no database, no cache."""
    home, environment = elsewhere
    done = run(WAYS[way], environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in home.rglob("*")] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("way", ["library", "adaptation", "command line"])
def test_loading_opens_no_socket_and_writes_nothing(elsewhere, tmp_path, way):
    """As the kernel sees it: no call of the network, and no file opened for writing but devices."""
    _, environment = elsewhere
    trace = tmp_path / "trace"
    calls = "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
    done = run(WAYS[way], environment, before=["strace", "-f", "-qq", "-e", calls, "-o", str(trace)])
    if "ptrace" in done.stderr:
        pytest.skip("this machine lets nobody trace")
    lines = trace.read_text(errors="replace").splitlines()
    assert done.returncode == 0
    assert any("bundle.json" in line for line in lines)
    assert [line for line in lines if any(call in line for call in NETWORK_CALLS)] == []
    writing = [
        line for line in lines if any(flag in line for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "rename"))
    ]
    assert [line for line in writing if "/dev/" not in line and "/proc/" not in line and "= -1" not in line] == []


def test_the_trace_would_see_it(elsewhere, tmp_path):
    """The check itself: a program that writes below its home and opens a socket is caught."""
    home, environment = elsewhere
    code = "import pathlib, socket; (pathlib.Path.home() / 'x').write_text('x'); socket.socket(socket.AF_INET).close()"
    trace = tmp_path / "trace"
    before = ["strace", "-f", "-qq", "-e", "trace=%network", "-o", str(trace)] if shutil.which("strace") else []
    done = run(code, environment, before=before)
    assert [path.name for path in home.rglob("*")] == ["x"]
    if before and "ptrace" not in done.stderr:
        assert any(NETWORK_CALLS[0] in line for line in trace.read_text().splitlines())


def test_the_trap_is_one_we_know(elsewhere):
    """Where ratta comes first, the variable is set for whoever imports the runtime later, child processes too."""
    _, environment = elsewhere
    code = "import ratta, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run(code, environment).stdout == "1\n"
