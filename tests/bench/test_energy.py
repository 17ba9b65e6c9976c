import json
import math
import os
from pathlib import Path

import pytest

from ratta.bench.energy import (
    BatteryMeter,
    CpuTimeModel,
    RaplMeter,
    TermuxMeter,
    find_meter,
    meter_loop,
)
from ratta.errors import DataError


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def rapl_tree(root: Path, *, energy_uj: int, name: str = "package-0", zone: str = "intel-rapl:0") -> Path:
    folder = root / "sys/class/powercap" / zone
    write(folder / "name", name)
    write(folder / "max_energy_range_uj", 1_000_000)
    write(folder / "energy_uj", energy_uj)
    return folder


def battery_tree(root: Path, *, status: str = "Discharging", **files: int) -> Path:
    folder = root / "sys/class/power_supply/BAT0"
    write(folder / "type", "Battery")
    write(folder / "status", status)
    for name, value in files.items():
        write(folder / name, value)
    return folder


def termux(folder: Path, monkeypatch: pytest.MonkeyPatch, **status: object) -> None:
    """Put a `termux-battery-status` that says `status` on the PATH."""
    command = folder / "termux-battery-status"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(status)}\nEND\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_rapl_counts_and_wraps(tmp_path: Path) -> None:
    """0.9 J, then over the wrap at 1 J to 0.2 J: 0.1 J and 0.3 J were spent."""
    zone = rapl_tree(tmp_path, energy_uj=800_000)
    meter = RaplMeter(tmp_path)
    write(zone / "energy_uj", 900_000)
    meter.poll()
    assert meter.joules == pytest.approx(0.1)
    write(zone / "energy_uj", 200_000)
    meter.poll()
    assert meter.joules == pytest.approx(0.4)


def test_rapl_adds_packages_and_leaves_out_their_parts(tmp_path: Path) -> None:
    """Two packages count; the core domain inside one and the whole platform do not."""
    zones = [rapl_tree(tmp_path, energy_uj=0, name=f"package-{i}", zone=f"intel-rapl:{i}") for i in (0, 1)]
    zones.append(rapl_tree(tmp_path, energy_uj=0, name="core", zone="intel-rapl:0:0"))
    zones.append(rapl_tree(tmp_path, energy_uj=0, name="psys", zone="intel-rapl:2"))
    meter = RaplMeter(tmp_path)
    for zone in zones:
        write(zone / "energy_uj", 250_000)
    meter.poll()
    assert meter.joules == pytest.approx(0.5)


def test_rapl_that_stops_answering_gives_none(tmp_path: Path) -> None:
    """A counter that can no longer be read makes the whole figure undefined, also afterwards."""
    zone = rapl_tree(tmp_path, energy_uj=0)
    meter = RaplMeter(tmp_path)
    (zone / "energy_uj").unlink()
    meter.poll()
    write(zone / "energy_uj", 5)
    meter.poll()
    assert meter.joules is None


@pytest.mark.parametrize("files", [{"power_now": 4_000_000}, {"current_now": -1_000_000, "voltage_now": 4_000_000}])
def test_a_discharging_battery_is_integrated(tmp_path: Path, files: dict[str, int]) -> None:
    """4 W over 10 s are 40 J, from the power gauge or from current times voltage of either sign."""
    battery_tree(tmp_path, **files)
    clock = Seconds()
    meter = BatteryMeter(tmp_path, clock=clock)
    clock.sleep(10)
    meter.poll()
    assert meter.joules == pytest.approx(40.0)


def test_power_between_readings_is_the_mean_of_both(tmp_path: Path) -> None:
    """From 2 W to 6 W in 5 s are 20 J."""
    folder = battery_tree(tmp_path, power_now=2_000_000)
    clock = Seconds()
    meter = BatteryMeter(tmp_path, clock=clock)
    write(folder / "power_now", 6_000_000)
    clock.sleep(5)
    meter.poll()
    assert meter.joules == pytest.approx(20.0)


def test_a_charger_plugged_in_on_the_way_makes_it_none(tmp_path: Path) -> None:
    """What is charged in the middle of a run cannot be metered."""
    folder = battery_tree(tmp_path, power_now=2_000_000)
    clock = Seconds()
    meter = BatteryMeter(tmp_path, clock=clock)
    write(folder / "status", "Charging")
    clock.sleep(5)
    meter.poll()
    assert meter.joules is None


def test_a_phone_says_its_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-500 mA at 4 V are 2 W, whatever the sign."""
    termux(tmp_path, monkeypatch, plugged="UNPLUGGED", status="DISCHARGING", current=-500_000, voltage=4000)
    clock = Seconds()
    meter = TermuxMeter(clock=clock)
    clock.sleep(60)
    meter.poll()
    assert meter.joules == pytest.approx(120.0)
    assert (meter.measured, meter.idle_included) == (True, True)


@pytest.mark.parametrize(
    "status",
    [
        {"plugged": "PLUGGED_USB", "status": "CHARGING", "current": 500_000, "voltage": 4000},
        {"plugged": "UNPLUGGED", "status": "DISCHARGING", "current": -500, "voltage": 4000},
        {"plugged": "UNPLUGGED", "status": "DISCHARGING", "current": -500_000},
        {"error": "denied"},
    ],
    ids=["charging", "milliamperes", "no voltage", "denied"],
)
def test_a_phone_that_cannot_be_metered_has_no_meter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: dict[str, object]
) -> None:
    """Plugged in, in another unit, without a voltage, or denied: no meter rather than a guess."""
    termux(tmp_path, monkeypatch, **status)
    assert find_meter(root=tmp_path) is None


def test_the_best_meter_comes_first(tmp_path: Path) -> None:
    """RAPL before the battery, the battery before a model, a model before nothing."""
    calibration = tmp_path / "watts.json"
    calibration.write_text('{"watts_per_core": 3.0, "origin": "wall plug"}')
    found = [find_meter(calibration=calibration, root=tmp_path)]
    battery_tree(tmp_path, power_now=2_000_000)
    found.append(find_meter(calibration=calibration, root=tmp_path))
    rapl_tree(tmp_path, energy_uj=0)
    found.append(find_meter(calibration=calibration, root=tmp_path))
    assert [CpuTimeModel, BatteryMeter, RaplMeter] == [type(meter) for meter in found]
    assert [meter.measured for meter in found if meter is not None] == [False, True, True]


def test_nothing_to_read_is_no_meter(tmp_path: Path) -> None:
    """An empty /sys, as in most virtual machines, has no meter."""
    assert find_meter(root=tmp_path) is None


def test_denied_trees_are_no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a phone: listing and reading /sys raises PermissionError."""
    rapl_tree(tmp_path, energy_uj=0)
    battery_tree(tmp_path, power_now=2_000_000)

    def deny(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", deny)
    monkeypatch.setattr(Path, "iterdir", deny)
    assert find_meter(root=tmp_path) is None


def test_a_model_multiplies_cpu_seconds(tmp_path: Path) -> None:
    """Two CPU seconds at 3 W are 6 J, and say that they are not measured."""
    cpu = Seconds()
    model = CpuTimeModel(3.0, origin="wall plug", cpu_s=cpu)
    cpu.sleep(2)
    model.poll()
    assert (model.joules, model.measured) == (6.0, False)
    assert "wall plug" in model.source


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"watts_per_core": 3}',
        '{"watts_per_core": -1, "origin": "x"}',
        '{"watts_per_core": "x", "origin": "x"}',
    ],
)
def test_a_bad_calibration_file_is_refused(tmp_path: Path, content: str) -> None:
    """A file that does not say watts and where they come from is an error, not a default."""
    path = tmp_path / "watts.json"
    path.write_text(content)
    with pytest.raises(DataError, match="watts"):
        find_meter(calibration=path, root=tmp_path)


def test_idle_is_taken_away(tmp_path: Path) -> None:
    """1 W idle and 3 W at work over 10 s and 100 frames: 200 mJ a frame are the frame's own."""
    folder = battery_tree(tmp_path, power_now=1_000_000)
    clock = Seconds()
    meter = BatteryMeter(tmp_path, clock=clock)
    meter.seconds_needed = 5.0

    def frame() -> None:
        write(folder / "power_now", 3_000_000)
        clock.sleep(0.1)

    original = meter.start

    def start() -> None:
        write(folder / "power_now", 1_000_000 if clock.now == 0 else 3_000_000)
        original()

    meter.start = start  # type: ignore[method-assign]
    energy = meter_loop(meter, frame, seconds=10.0, idle_seconds=4.0, clock=clock, sleep=clock.sleep)
    assert energy is not None
    assert energy.idle_watts == pytest.approx(1.0)
    assert energy.mj_per_frame == pytest.approx(1e3 * (30.0 - 10.0) / 100, rel=0.02)


def test_a_loop_too_short_for_the_meter_is_not_metered(tmp_path: Path) -> None:
    """A battery gauge says nothing about ten seconds."""
    battery_tree(tmp_path, power_now=1_000_000)
    clock = Seconds()
    meter = BatteryMeter(tmp_path, clock=clock)
    assert meter_loop(meter, lambda: clock.sleep(1), seconds=10.0, idle_seconds=1.0, clock=clock) is None


def test_a_model_needs_no_idle_run() -> None:
    """CPU seconds of this process hold no idle draw."""
    cpu, clock = Seconds(), Seconds()

    def frame() -> None:
        clock.sleep(0.01)
        cpu.sleep(0.01)

    model = CpuTimeModel(2.0, origin="data sheet", cpu_s=cpu)
    energy = meter_loop(model, frame, seconds=1.0, idle_seconds=100.0, clock=clock, sleep=clock.sleep)
    assert energy is not None
    assert energy.idle_watts is None
    assert energy.mj_per_frame == pytest.approx(20.0)
    assert not math.isnan(energy.seconds)
