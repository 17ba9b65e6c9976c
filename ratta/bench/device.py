"""What the figures were measured on; a probe that is denied or absent gives `None`, never a guess."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ROOT = Path("/")
VERSIONS_OF = ("ratta", "numpy", "onnxruntime", "psutil", "opencv-python-headless", "opencv-python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device as a result file records it.

    Attributes
    ----------
    cpu : str or None
        The processor's name; on Android the phone's model; in a browser what the browser calls itself.
    architecture, system, release, python : str
        As the platform reports them.
    cores : int or None
        Logical processors of the device.
    usable_cores : int or None
        Processors this process may run on.
    max_mhz : float or None
        The first core's highest clock rate.
    governor : str or None
        The first core's frequency governor.
    memory_mb : float or None
    hypervisor : bool or None
        Whether the CPU says that it is virtual.
    load_1min : float or None
        Load average when the run began: above the share of cores that the run needs, the machine is busy.
    versions : dict of str to str
        Of the installed packages that matter.
    """

    cpu: str | None
    architecture: str
    system: str
    release: str
    python: str
    cores: int | None
    usable_cores: int | None
    max_mhz: float | None
    governor: str | None
    memory_mb: float | None
    hypervisor: bool | None
    load_1min: float | None
    versions: dict[str, str]


def read_device(root: Path = ROOT) -> Device:
    """Look at the device.

    Parameters
    ----------
    root : path
        Where `proc` and `sys` lie; tests give a tree of their own.

    Examples
    --------
    >>> read_device().cores >= 1
    True
    """
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    return Device(
        cpu=_first(
            lambda: _cpu_line(root, "model name"),
            _android_model,
            _mac_brand,
            _browser_name,
            lambda: platform.processor() or None,
        ),
        architecture=platform.machine(),
        system="android" if sys.platform == "android" else platform.system(),
        release=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cores=_first(_browser_cores, os.cpu_count),
        usable_cores=guarded(lambda: len(os.sched_getaffinity(0))),
        max_mhz=guarded(lambda: int(_text(frequency / "cpuinfo_max_freq")) / 1000),
        governor=guarded(lambda: _text(frequency / "scaling_governor")),
        memory_mb=_first(lambda: _proc_memory_mb(root), _psutil_memory_mb),
        hypervisor=guarded(lambda: _has_flag(root, "hypervisor")),
        load_1min=guarded(_load_1min),
        versions=_versions(),
    )


def temperature_c(root: Path = ROOT) -> float | None:
    """Read the hottest thermal zone in degrees Celsius; `None` where none can be read."""
    zones = guarded(lambda: sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))) or []
    readings = [guarded(partial(_millidegrees, zone)) for zone in zones]
    return max((value for value in readings if value is not None and -40 < value < 150), default=None)


def guarded(probe: Callable[[], T]) -> T | None:
    """Call a probe; what the platform denies or does not know is `None`."""
    try:
        return probe()
    except Exception:  # phones deny with PermissionError, psutil with errors of its own, others lack the function
        return None


def _first(*probes: Callable[[], T | None]) -> T | None:
    return next((value for value in (guarded(probe) for probe in probes) if value is not None), None)


def _millidegrees(path: Path) -> float:
    return int(_text(path)) / 1000


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()


def _cpu_line(root: Path, key: str) -> str | None:
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip() or None
    return None


def _has_flag(root: Path, flag: str) -> bool | None:
    flags = _cpu_line(root, "flags")
    return None if flags is None else flag in flags.split()


def _android_model() -> str | None:
    if sys.platform != "android" and "ANDROID_ROOT" not in os.environ:
        return None
    asked = subprocess.run(["getprop", "ro.product.model"], capture_output=True, text=True, timeout=5, check=True)
    return asked.stdout.strip() or None


def _mac_brand() -> str | None:
    if platform.system() != "Darwin":
        return None
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip() or None


def _load_1min() -> float | None:
    return None if sys.platform == "emscripten" else os.getloadavg()[0]  # there it is 0.1, made up


def _browser_name() -> str:
    import js  # Python in a browser has it, no other

    return str(js.navigator.userAgent)


def _browser_cores() -> int:
    import js

    return int(js.navigator.hardwareConcurrency)


def _web_version() -> str:
    import js

    return str(js.ort.env.versions.web)


def _proc_memory_mb(root: Path) -> float | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) / 1024
    return None


def _psutil_memory_mb() -> float | None:
    import psutil

    return float(psutil.virtual_memory().total) / 2**20


def _versions() -> dict[str, str]:
    found = {name: guarded(partial(importlib.metadata.version, name)) for name in VERSIONS_OF}
    found["onnxruntime-web"] = guarded(_web_version)
    return {name: version for name, version in found.items() if version is not None}
