"""Hours of attempts on one engine that adapts: do memory, handles and latency stay flat? `make soak` runs it.

Attempts follow one another in real time without a pause, live and attacked in turn, a third of the live ones confirmed;
every frame has noise of its own. Each line of the report is a part of the time: resident memory, open handles, and the
median and 99th percentile of the time of a frame. It fails if the last quarter needs over 5 MB or 2 handles more, or
over 1.5 times the median time, than the second quarter does.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

import ratta
from ratta.camera.scenes import FACE, PORTRAIT
from ratta.simulate import simulate_frames

PARTS = 40


def scenes():
    """Frames, RGB, of a living face and of two attacks on it."""
    from ratta.camera.picture import read_picture

    rgb = np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1])
    for seed, species in enumerate(("live", "print", "live", "replay")):
        stream = simulate_frames(rgb, species=species, camera="phone-2019", frames=20, seed=seed, box=FACE)
        yield species, [frame for _, frame in stream]


def resident_mb():
    """Resident memory of this process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


def handles():
    """Open file descriptors."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def attempt(engine, species, frames, rng, t, times):
    """Play one attempt and let the engine learn; give the time at its end."""
    with engine.session() as session:
        for frame in frames:
            t += 1 / 15
            noisy = np.clip(frame + rng.integers(-2, 3, frame.shape, dtype=np.int8), 0, 255).astype(np.uint8)
            begin = time.perf_counter()
            decision = session.step(noisy, t=t, color="rgb")
            times.append(1e3 * (time.perf_counter() - begin))
            if decision.final:
                break
    if species == "live" and rng.random() < 1 / 3:
        session.confirm(is_live=True)
    engine.idle(t + 1.0)
    return t + 2.0, session.verdict


def main():
    """Run, print, write, and say by the exit status whether it stayed flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=7200.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    engine, shown, rng = ratta.load(adapt=True, max_attempts=10**9), list(scenes()), np.random.default_rng(0)
    begin, t, number, rows, verdicts = time.monotonic(), 0.0, 0, [], {}
    for part in range(PARTS):
        times = []
        while time.monotonic() - begin < (part + 1) * options.seconds / PARTS or not times:
            species, frames = shown[number % len(shown)]
            t, verdict = attempt(engine, species, frames, rng, t, times)
            number += 1
            key = f"{species} {verdict}"
            verdicts[key] = verdicts.get(key, 0) + 1
        median, late = np.percentile(times, (50, 99))
        rows.append({"frames": len(times), "rss_mb": resident_mb(), "handles": handles(), "ms": median, "ms_99": late})
        print({name: round(float(value), 2) for name, value in rows[-1].items()}, flush=True)
    early, last = (
        {name: float(np.median([row[name] for row in quarter])) for name in rows[0]}
        for quarter in (rows[PARTS // 4 : PARTS // 2], rows[-PARTS // 4 :])
    )
    flat = last["rss_mb"] - early["rss_mb"] < 5 and last["handles"] - early["handles"] <= 2
    flat = flat and last["ms"] < 1.5 * early["ms"]
    result = {"seconds": options.seconds, "attempts": number, "frames": sum(row["frames"] for row in rows)}
    result |= {
        "verdicts": verdicts,
        "counts": dict(engine.adapter.counts),
        "second_quarter": early,
        "last_quarter": last,
    }
    result["flat"] = bool(flat)
    print(json.dumps(result))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
