"""One peer in one process: says that it is ready, then times as many calls as it is asked for.

Started by `peers.py`, in whichever interpreter has the peer's libraries; imports nothing of ratta itself, so that it
also runs where ratta's own requirements do not hold (mediapipe wants an older NumPy).

Protocol, JSON lines: the first line out is `{"ready": {...}}` or `{"skip": "why"}`; every line in is a number of calls,
every line out is `{"wall_ms": [...], "cpu_ms": [...]}`; an empty line ends it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import peers_builders


def main() -> None:
    context = peers_builders.Context(**json.loads(sys.argv[2]))
    replies, sys.stdout = sys.stdout, sys.stderr  # libraries that print must not garble the protocol
    try:
        peer = peers_builders.BUILDERS[sys.argv[1]](context)
        answer = [peer.call() for _ in range(20)][-1]
    except Exception as error:
        _reply(replies, {"skip": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"})
        return
    _reply(replies, {"ready": {"answer": str(answer), "versions": peer.versions, "rss_mb": _rss_mb()}})
    for line in sys.stdin:
        if not line.strip():
            break
        _reply(replies, _timed(peer, int(line)))


def _timed(peer: peers_builders.Peer, calls: int) -> dict[str, list[float]]:
    wall_ms, cpu_ms = [], []
    peer.call()  # the process has slept while others had their turn
    for _ in range(calls):
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        peer.call()
        wall_ms.append((time.perf_counter_ns() - wall) / 1e6)
        cpu_ms.append((time.process_time_ns() - cpu) / 1e6)
    return {"wall_ms": wall_ms, "cpu_ms": cpu_ms}


def _reply(stream: Any, content: dict[str, Any]) -> None:
    stream.write(json.dumps(content) + "\n")
    stream.flush()


def _rss_mb() -> float | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


if __name__ == "__main__":
    main()
