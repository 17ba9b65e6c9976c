"""Energy meters behind one interface, each honest about its source, its scope and whether it measures at all.

3 mJ a frame cannot be metered frame by frame: a meter runs over a loop of seconds to minutes, an idle run of the same
meter is taken away, and the rest is divided by the frames.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ratta.bench.device import ROOT, guarded
from ratta.errors import DataError
from ratta.files import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Meter(Protocol):
    """Counts joules between `start` and the last `poll`.

    Attributes
    ----------
    source, scope : str
        Where the figure comes from, and what it includes.
    measured : bool
        Whether a sensor stands behind it.
    seconds_needed : float
        The shortest loop that this meter can say something about.
    idle_included : bool
        Whether it also counts what the device draws when idle, so that an idle run must be taken away.
    joules : float or None
        So far; `None` once a reading has failed.
    """

    source: str
    scope: str
    measured: bool
    seconds_needed: float
    idle_included: bool

    @property
    def joules(self) -> float | None:
        """Energy since `start`."""
        ...

    def start(self) -> None:
        """Begin at zero."""
        ...

    def poll(self) -> None:
        """Take a reading; call about once a second."""
        ...


class RaplMeter:
    """Intel and AMD package counters under `/sys/class/powercap` (readable by root on most systems).

    The counters wrap at `max_energy_range_uj`; polled once a second, no wrap is missed.
    """

    source = "RAPL"
    scope = "CPU packages"
    measured = True
    seconds_needed = 2.0
    idle_included = True

    def __init__(self, root: Path = ROOT) -> None:
        zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        self._zones = [
            zone for zone in zones if zone.name.count(":") == 1 and _text(zone / "name").startswith("package")
        ]
        if not self._zones:
            raise LookupError("no RAPL package")
        self._ranges = [int(_text(zone / "max_energy_range_uj")) for zone in self._zones]
        self.start()

    @property
    def joules(self) -> float | None:
        """Energy since `start`, over all packages."""
        return None if self._total_uj is None else self._total_uj / 1e6

    def start(self) -> None:
        """Begin at zero."""
        self._before = self._read()
        self._total_uj: int | None = 0

    def poll(self) -> None:
        """Add what the counters have moved, wraps included."""
        now = guarded(self._read)
        if now is None or self._total_uj is None:
            self._total_uj = None
            return
        pairs = zip(now, self._before, self._ranges, strict=True)
        self._total_uj += sum(
            after - before if after >= before else after - before + full for after, before, full in pairs
        )
        self._before = now

    def _read(self) -> list[int]:
        return [int(_text(zone / "energy_uj")) for zone in self._zones]


class PowerMeter:
    """Integrates a power reading over time by the trapezoid rule; base of the battery meters.

    Parameters
    ----------
    watts : callable
        Draws one reading; raises, or returns `None`, when there is none (a charger was plugged in, say).
    clock : callable
        Seconds.
    """

    source = "power"
    scope = "whole device"
    measured = True
    seconds_needed = 60.0
    idle_included = True

    def __init__(self, watts: Callable[[], float | None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._watts = watts
        self._clock = clock
        self.start()
        if self._joules is None:
            raise LookupError("no power reading")

    @property
    def joules(self) -> float | None:
        """Energy since `start`; `None` once a reading has failed."""
        return self._joules

    def start(self) -> None:
        """Begin at zero."""
        self._at, self._level = self._clock(), guarded(self._watts)
        self._joules = None if self._level is None else 0.0

    def poll(self) -> None:
        """Add the energy since the last reading."""
        at, level = self._clock(), guarded(self._watts)
        if level is None or self._level is None or self._joules is None:
            self._joules = None
            return
        self._joules += (at - self._at) * (level + self._level) / 2
        self._at, self._level = at, level


class BatteryMeter(PowerMeter):
    """The battery's own gauge under `/sys/class/power_supply`, while it discharges."""

    source = "power_supply"

    def __init__(self, root: Path = ROOT, *, clock: Callable[[], float] = time.monotonic) -> None:
        supplies = sorted((root / "sys/class/power_supply").iterdir())
        batteries = [supply for supply in supplies if guarded(partial(_text, supply / "type")) == "Battery"]
        super().__init__(lambda: _battery_watts(batteries), clock=clock)


class TermuxMeter(PowerMeter):
    """`termux-battery-status` of Termux:API; the sign of its current differs between phones, so it is dropped."""

    source = "termux-battery-status"

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        command = shutil.which("termux-battery-status")
        if command is None:
            raise LookupError("no termux-battery-status")
        super().__init__(lambda: _termux_watts(command), clock=clock)


class CpuTimeModel:
    """CPU seconds times watts per busy core, from a calibration file: an estimate, never a measurement.

    Parameters
    ----------
    watts_per_core : float
    origin : str
        Where that figure comes from.
    cpu_s : callable
        CPU seconds of this process.
    """

    scope = "CPU time of this process"
    measured = False
    seconds_needed = 0.5
    idle_included = False

    def __init__(self, watts_per_core: float, *, origin: str, cpu_s: Callable[[], float] = time.process_time) -> None:
        if not 0 < watts_per_core < 1000:
            raise DataError(f"watts_per_core: expected 0 to 1000, got {watts_per_core}")
        self.watts_per_core = watts_per_core
        self.source = f"CPU seconds x {watts_per_core:g} W ({origin})"
        self._cpu_s = cpu_s
        self.start()

    @property
    def joules(self) -> float | None:
        """Energy since `start`, by the model."""
        return self._joules

    def start(self) -> None:
        """Begin at zero."""
        self._before_s = self._cpu_s()
        self._joules = 0.0

    def poll(self) -> None:
        """Read the CPU clock."""
        self._joules = (self._cpu_s() - self._before_s) * self.watts_per_core


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What a loop of frames has cost.

    Attributes
    ----------
    source, scope : str
    measured : bool
    seconds : float
        Of the loop.
    frames : int
    joules : float
        Of the loop, idle included.
    idle_watts : float or None
        Of the idle run that was taken away; `None` for a model that counts no idle.
    mj_per_frame : float
        Net of idle. At or below zero the meter could not tell the loop from idle.
    """

    source: str
    scope: str
    measured: bool
    seconds: float
    frames: int
    joules: float
    idle_watts: float | None
    mj_per_frame: float


def find_meter(*, calibration: Path | None = None, root: Path = ROOT) -> Meter | None:
    """Return the best meter there is: RAPL, battery gauge, Termux, the model of a calibration file, or `None`.

    Parameters
    ----------
    calibration : path, optional
        JSON: `{"watts_per_core": 3.2, "origin": "wall plug, 10 minutes, 2026-11-23"}`.
    root : path
        Where `sys` lies.

    Raises
    ------
    DataError
        If the calibration file does not say that.
    """
    sensors: tuple[Callable[[], Meter], ...] = (lambda: RaplMeter(root), lambda: BatteryMeter(root), TermuxMeter)
    for sensor in sensors:
        meter = guarded(sensor)
        if meter is not None:
            return meter
    return None if calibration is None else read_calibration(calibration)


def read_calibration(path: Path) -> CpuTimeModel:
    """Read a calibration file; see `find_meter`."""
    try:
        content: Mapping[str, Any] = read_json(path, holds="a calibration file")
        return CpuTimeModel(float(content["watts_per_core"]), origin=str(content["origin"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, DataError):
            raise
        expected = '{"watts_per_core": W, "origin": "how it was measured"}'
        raise DataError(f"{path}: expected {expected}, got {type(error).__name__}: {error}") from error


def meter_loop(
    meter: Meter,
    frame: Callable[[], object],
    *,
    seconds: float,
    idle_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Energy | None:
    """Meter an idle run, then a loop of frames; `None` when a reading failed or the time is too short for the meter.

    Parameters
    ----------
    meter : Meter
    frame : callable
        Answers one frame.
    seconds, idle_seconds : float
        Of the loop and of the idle run.
    clock, sleep : callable
    """
    if seconds < meter.seconds_needed:
        return None
    idle_watts = _idle_watts(meter, idle_seconds, clock, sleep) if meter.idle_included else None
    meter.start()
    begin, polled, frames = clock(), clock(), 0
    while clock() - begin < seconds:
        frame()
        frames += 1
        if clock() - polled >= 1.0:
            meter.poll()
            polled = clock()
    meter.poll()
    took, joules = clock() - begin, meter.joules
    if joules is None or (meter.idle_included and idle_watts is None):
        return None
    return Energy(
        source=meter.source,
        scope=meter.scope,
        measured=meter.measured,
        seconds=took,
        frames=frames,
        joules=joules,
        idle_watts=idle_watts,
        mj_per_frame=1e3 * (joules - (idle_watts or 0.0) * took) / frames,
    )


def _idle_watts(
    meter: Meter, seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> float | None:
    meter.start()
    begin = clock()
    while clock() - begin < seconds:
        sleep(1.0)
        meter.poll()
    took = clock() - begin
    return None if meter.joules is None or took <= 0 else meter.joules / took


def _battery_watts(batteries: list[Path]) -> float | None:
    """Sum over the batteries, all of which must be discharging or full; `None` otherwise."""
    states = [_text(battery / "status") for battery in batteries]
    if "Discharging" not in states or any(state not in ("Discharging", "Full", "Not charging") for state in states):
        return None
    return sum(_one_battery_watts(b) for b, state in zip(batteries, states, strict=True) if state == "Discharging")


def _one_battery_watts(battery: Path) -> float:
    direct = guarded(lambda: abs(int(_text(battery / "power_now"))) / 1e6)
    if direct is not None:
        return direct
    return abs(int(_text(battery / "current_now"))) * int(_text(battery / "voltage_now")) / 1e12


def _termux_watts(command: str) -> float | None:
    """Watts from microamperes and millivolts; `None` when plugged in or when the numbers cannot be those units."""
    asked = subprocess.run([command], capture_output=True, text=True, timeout=10, check=True)
    status = json.loads(asked.stdout)
    if status["plugged"] != "UNPLUGGED" or status["status"] == "CHARGING":
        return None
    microamperes, millivolts = abs(float(status["current"])), float(status["voltage"])
    # Some phones report milliamperes. Below 10 mA no phone runs a benchmark, so such a number is not microamperes.
    if microamperes < 10_000 or not 2_000 < millivolts < 20_000:
        return None
    return microamperes * millivolts / 1e9


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()
