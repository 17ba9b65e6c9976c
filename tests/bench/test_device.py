import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ratta.bench.device import guarded, read_device, temperature_c
from ratta.bench.memory import disk_bytes, peak_mb, rss_mb


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def deny(*_: object, **__: object) -> str:
    raise PermissionError(13, "Permission denied")


def test_a_known_tree_is_read(tmp_path: Path) -> None:
    """CPU, governor, clock rate, memory and hypervisor flag come from where Linux keeps them."""
    write(tmp_path / "proc/cpuinfo", "processor : 0\nmodel name\t: Quick CPU 3000\nflags\t: fpu hypervisor\n")
    write(tmp_path / "proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "2400000\n")
    device = read_device(tmp_path)
    assert (
        device.cpu,
        device.governor,
        device.max_mhz,
        device.memory_mb,
        device.hypervisor,
    ) == ("Quick CPU 3000", "schedutil", 2400.0, 2.0, True)


def test_versions_are_of_what_is_installed(tmp_path: Path) -> None:
    """Numpy is installed and named with a version."""
    assert "numpy" in read_device(tmp_path).versions


def test_denied_proc_and_sys_give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a phone: what cannot be read is None, and nothing is raised."""
    pytest.importorskip("psutil")
    monkeypatch.setattr(Path, "read_text", deny)
    monkeypatch.setattr("psutil.virtual_memory", deny)
    monkeypatch.setattr("psutil.Process", deny)
    device = read_device()
    assert (device.governor, device.max_mhz, device.memory_mb, device.hypervisor) == (None, None, None, None)
    assert (rss_mb(), peak_mb(), temperature_c()) == (None, None, None)


def test_a_phone_is_named_by_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With /proc denied, Android's getprop names the device."""
    command = tmp_path / "getprop"
    write(command, "#!/bin/sh\necho Pixel 12\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("sys.platform", "android")
    monkeypatch.setattr(Path, "read_text", deny)
    device = read_device()
    assert (device.cpu, device.system) == ("Pixel 12", "android")


def test_memory_comes_from_proc(tmp_path: Path) -> None:
    """VmRSS and VmHWM in kB become MiB."""
    write(tmp_path / "proc/self/status", "Name: x\nVmHWM:\t  4096 kB\nVmRSS:\t  2048 kB\n")
    assert (rss_mb(tmp_path), peak_mb(tmp_path)) == (2.0, 4.0)


def test_the_hottest_sane_zone_counts(tmp_path: Path) -> None:
    """Zones that are off scale are broken sensors."""
    for zone, value in enumerate(("41000", "52500", "999999", "text")):
        write(tmp_path / f"sys/class/thermal/thermal_zone{zone}/temp", value)
    assert temperature_c(tmp_path) == 52.5


def test_no_zone_is_none(tmp_path: Path) -> None:
    """Without thermal zones there is no temperature."""
    assert temperature_c(tmp_path) is None


def test_disk_counts_the_files_of_a_folder(tmp_path: Path) -> None:
    """Sizes by name; folders inside do not count."""
    write(tmp_path / "a.bin", "12345")
    write(tmp_path / "deep/b.bin", "1")
    assert disk_bytes(tmp_path) == {"a.bin": 5}


@pytest.mark.parametrize("error", [PermissionError, KeyError, ImportError, RuntimeError])
def test_a_probe_that_fails_is_none(error: type[Exception]) -> None:
    """Whatever way a probe fails, nothing is known."""

    def probe() -> int:
        raise error("denied")

    assert guarded(probe) is None


def test_a_browser_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name stands for the processor's, its cores are those it admits to, and onnxruntime-web has a version."""
    js = ModuleType("js")
    js.navigator = SimpleNamespace(userAgent="Browser/1.0 (phone)", hardwareConcurrency=8)  # type: ignore[attr-defined]
    js.ort = SimpleNamespace(env=SimpleNamespace(versions=SimpleNamespace(web="1.30.0")))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "js", js)
    monkeypatch.delenv("ANDROID_ROOT", raising=False)
    device = read_device(tmp_path)
    assert ("Browser/1.0 (phone)", 8, "1.30.0") == (device.cpu, device.cores, device.versions["onnxruntime-web"])
