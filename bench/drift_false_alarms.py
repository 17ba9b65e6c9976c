"""How often the drift detector alarms without a cause, and how soon it sees one.

    python bench/drift_false_alarms.py [--runs 200] [--sessions 10000] [--seed 0]

Sessions are drawn, not filmed: two statistics a session, correlated with each other (0.5). Every run draws its own
reference too, so that the luck of a calibration is part of the figures. ADWIN (river) runs beside ours where river is
installed, one instance a statistic, having seen the reference first.

An interrupted run goes on where it stopped.

Bias: the correlated variants break exchangeability on purpose; nobody promises anything there,
and they run for 2,000 sessions only.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from itertools import product
from pathlib import Path

import numpy as np

from ratta.adaptation.drift import BettingDrift, DriftReference, DriftSample

try:
    import river
    from river.drift import ADWIN
except ImportError:
    river = None

RESULTS = Path(__file__).parent / "results" / "drift" / "false_alarms.json"
AMONG = np.linalg.cholesky(np.full((2, 2), 0.5) + 0.5 * np.eye(2))


class Adwin:
    """ADWIN on each of the two statistics."""

    def __init__(self, history: np.ndarray, *, delta: float) -> None:
        self._detectors = [ADWIN(delta=delta / 2) for _ in range(2)]
        for values in history:
            self._feed(values)
        self.alarm = False

    def update(self, sample: DriftSample) -> None:
        self.alarm = self._feed(sample.values)

    def _feed(self, values) -> bool:
        found = False
        for detector, value in zip(self._detectors, values, strict=True):
            detector.update(float(value))
            found |= detector.drift_detected
        return found


def normal(rng: np.random.Generator, sessions: int) -> np.ndarray:
    return rng.standard_normal((sessions, 2)) @ AMONG.T


def autoregressive(rho: float):
    def draw(rng: np.random.Generator, sessions: int) -> np.ndarray:
        noise = normal(rng, sessions)
        values = noise.copy()
        for i in range(1, sessions):
            values[i] = rho * values[i - 1] + np.sqrt(1 - rho**2) * noise[i]
        return values

    return draw


def heavy(z: np.ndarray) -> np.ndarray:
    """Make it lognormal with sigma 1.5: skewness 33."""
    return np.exp(1.5 * z)


def plain(z: np.ndarray) -> np.ndarray:
    return 10 + z


VARIANTS = {
    "normal": (normal, plain),
    "heavy tails": (normal, heavy),
    "correlated 0.1": (autoregressive(0.1), plain),
    "correlated 0.3": (autoregressive(0.3), plain),
    "correlated 0.6": (autoregressive(0.6), plain),
}
CORRELATED_SESSIONS = 2_000
FALSE_ALARMS = (
    ("normal", 200),
    ("normal", 500),
    ("heavy tails", 200),
    ("correlated 0.3", 500),
    ("correlated 0.1", 500),
    ("correlated 0.6", 500),
)


def detectors(reference: DriftReference, history: np.ndarray) -> dict[str, object]:
    made: dict[str, object] = {"betting": BettingDrift(reference)}
    if river is not None:
        made["adwin 0.05"] = Adwin(history, delta=0.05)
        made["adwin 0.002"] = Adwin(history, delta=0.002)
    return made


def first_alarm(detector, samples: list[DriftSample]) -> int | None:
    for session, sample in enumerate(samples, start=1):
        detector.update(sample)
        if detector.alarm:
            return session
    return None


def calibrated(rng: np.random.Generator, n: int, shape) -> tuple[DriftReference, np.ndarray]:
    history = shape(normal(rng, n))
    samples = [DriftSample(*row) for row in history]
    return DriftReference.from_samples(samples, samples), history


def false_alarms(variant: str, n: int, *, runs: int, sessions: int, seed: int) -> dict[str, dict[str, float]]:
    draw, shape = VARIANTS[variant]
    found: dict[str, list[int | None]] = {}
    for run in range(runs):
        rng = np.random.default_rng([seed, n, run])
        reference, history = calibrated(rng, n, shape)
        samples = [DriftSample(*row) for row in shape(draw(rng, sessions)).tolist()]
        for name, detector in detectors(reference, history).items():
            found.setdefault(name, []).append(first_alarm(detector, samples))
    return {name: summary(alarms, sessions) for name, alarms in found.items()}


def summary(alarms: list[int | None], sessions: int) -> dict[str, float]:
    alarmed = [a for a in alarms if a is not None]
    within_1000 = sum(a <= 1000 for a in alarmed)
    return {
        "runs": len(alarms),
        "sessions": sessions,
        "share_of_runs_with_an_alarm": len(alarmed) / len(alarms),
        "share_within_1000_sessions": within_1000 / len(alarms),
        "median_first_alarm": float(np.median([sessions + 1 if a is None else a for a in alarms])),
    }


def delays(
    n: int, shift: float, which: str, quiet: int, *, runs: int, limit: int, seed: int
) -> dict[str, dict[str, float]]:
    offset = shift * np.array([1.0, 1.0] if which == "both" else [1.0, 0.0])
    found: dict[str, list[int | None]] = {}
    for run in range(runs):
        rng = np.random.default_rng([seed, n, run])
        reference, history = calibrated(rng, n, plain)
        values = normal(rng, quiet + limit)
        values[quiet:] += offset
        samples = [DriftSample(*row) for row in plain(values).tolist()]
        for name, detector in detectors(reference, history).items():
            found.setdefault(name, []).append(first_alarm(detector, samples))
    return {name: delay_summary(alarms, quiet, limit) for name, alarms in found.items()}


def delay_summary(alarms: list[int | None], quiet: int, limit: int) -> dict[str, float]:
    late = [limit + 1 if a is None else a - quiet for a in alarms if a is None or a > quiet]
    if not late:
        return {"runs_without_early_alarm": 0}
    return {
        "runs_without_early_alarm": len(late),
        "not_found": sum(d > limit for d in late) / len(late),
        "median": float(np.median(late)),
        "p90": float(np.quantile(late, 0.9, method="higher")),
    }


def returns(n: int, *, runs: int, seed: int) -> dict[str, dict[str, float]]:
    """Sessions until the alarm ends after 100 sessions at +2 standard deviations."""
    found: dict[str, list[int | None]] = {}
    for run in range(runs):
        rng = np.random.default_rng([seed, n, run])
        reference, history = calibrated(rng, n, plain)
        values = normal(rng, 600)
        values[:100] += 2
        samples = [DriftSample(*row) for row in plain(values).tolist()]
        for name, detector in detectors(reference, history).items():
            for sample in samples[:100]:
                detector.update(sample)
            calm = (i for i, s in enumerate(samples[100:], start=1) if (detector.update(s), not detector.alarm)[1])
            found.setdefault(name, []).append(next(calm, None))
    return {name: delay_summary(ends, 0, 500) for name, ends in found.items() if not name.startswith("adwin")}


def microseconds_per_session(sessions: int = 20_000) -> dict[str, float]:
    rng = np.random.default_rng(0)
    reference, history = calibrated(rng, 500, plain)
    samples = [DriftSample(*row) for row in plain(normal(rng, sessions)).tolist()]
    spent = {}
    for name, detector in detectors(reference, history).items():
        start = time.process_time()
        for sample in samples:
            detector.update(sample)
        spent[name] = 1e6 * (time.process_time() - start) / sessions
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    result = begun(args)
    for n in (200, 500):
        key = f"n={n}"
        if key not in result["returns"]:
            result["returns"][key] = returns(n, runs=args.runs, seed=args.seed)
        for which, quiet, shift in product(("one statistic", "both"), (0, 100, 1000), (0.5, 1.0, 2.0)):
            key = f"n={n}, {which}, {shift} sd, after {quiet} quiet sessions"
            if key not in result["delays"]:
                result["delays"][key] = delays(n, shift, which, quiet, runs=args.runs, limit=1000, seed=args.seed)
                write(args.out, result)
    for variant, n in FALSE_ALARMS:
        key = f"{variant}, n={n}"
        if key not in result["false_alarms"]:
            sessions = min(args.sessions, CORRELATED_SESSIONS) if "correlated" in variant else args.sessions
            result["false_alarms"][key] = false_alarms(variant, n, runs=args.runs, sessions=sessions, seed=args.seed)
            write(args.out, result)


def begun(args: argparse.Namespace) -> dict[str, dict]:
    """Go on where an interrupted run of the same size and seed stopped."""
    setting = {"runs": args.runs, "sessions": args.sessions, "seed": args.seed, "detector": "as shipped"}
    if args.out.exists():
        result = json.loads(args.out.read_text())
        if result["setting"] == setting:
            return result
    return {
        "model": None,
        "question": "share of undrifted runs with an alarm, and sessions until a shift is found",
        "setting": setting,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "river": getattr(river, "__version__", None),
        },
        "microseconds_per_session": microseconds_per_session(),
        "returns": {},
        "delays": {},
        "false_alarms": {},
    }


def write(path: Path, result: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(result))


def markdown(result: dict[str, dict]) -> str:
    """Lay out false alarms, delays and returns of the detector as shipped."""
    setting = result["setting"]
    lines = [
        "# False alarms of the drift detector",
        "",
        f"{setting['runs']} runs each, a reference of its own in each.",
        "",
    ]
    lines += [
        "| undrifted sessions | sessions a run | runs with an alarm | within 1,000 sessions | first alarm, median |"
    ]
    lines += ["|---|---|---|---|---|"]
    for name, found in result["false_alarms"].items():
        f = found["betting"]
        first = "none" if f["median_first_alarm"] > f["sessions"] else f"{f['median_first_alarm']:.0f}"
        shares = f"{f['share_of_runs_with_an_alarm']:.0%} | {f['share_within_1000_sessions']:.0%}"
        lines.append(f"| {name} | {f['sessions']:,} | {shares} | {first} |")
    lines += ["", "| shift | sessions until it is found, median | 90th percentile |", "|---|---|---|"]
    for name, found in (
        *result["delays"].items(),
        *((f"back after +2 sd, {k}", v) for k, v in result["returns"].items()),
    ):
        f = found["betting"]
        ends = [f"{f[key]:.0f}" if f.get(key, 1e9) <= 1000 else "> 1000" for key in ("median", "p90")]
        lines.append(f"| {name} | {ends[0]} | {ends[1]} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
