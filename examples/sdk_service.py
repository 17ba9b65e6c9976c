"""A liveness service: one engine and one thread per camera, attempts with a deadline, a limit per account.

    python examples/sdk_service.py door=0 gate=rtsp://camera.example/stream     # cameras by name

The camera's driver calls `Camera.offer` whenever it has a frame; the application calls `Camera.begin` and gets a
future. Frames that come faster than they can be answered are dropped: an old frame with a young time would be wrong.
"""

from __future__ import annotations

import argparse
import queue
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ratta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: what the application may know. There is no score in it."""

    account: str
    verdict: ratta.Verdict
    reason: ratta.Reason | str


class Accounts:
    """Limits attempts per account; a product keeps this on its server. The engine limits attempts per camera."""

    def __init__(self, *, limit: int = 10) -> None:
        self._limit = limit
        self._failed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def allowed(self, account: str) -> bool:
        """Whether the account has attempts left."""
        with self._lock:
            return self._failed[account] < self._limit

    def note(self, outcome: Outcome) -> None:
        """Count a failed attempt, and forget them all after a live one."""
        with self._lock:
            live = outcome.verdict is ratta.Verdict.LIVE
            self._failed[outcome.account] = 0 if live else self._failed[outcome.account] + 1


class Camera:
    """One camera: an engine, and the thread that alone uses it.

    Parameters
    ----------
    name : str
    accounts : Accounts
    load : callable
        Makes the engine, in the camera's thread.
    clock : callable
        Monotonic seconds; the one clock of this camera.
    deadline_s : float
        An attempt to which no more frames come ends after so many seconds.
    """

    def __init__(
        self,
        name: str,
        accounts: Accounts,
        *,
        load: Callable[[], ratta.Engine] = ratta.load,
        clock: Callable[[], float] = time.monotonic,
        deadline_s: float = 15.0,
    ) -> None:
        self.name = name
        self.dropped = 0
        self._accounts, self._load, self._clock, self._deadline_s = accounts, load, clock, deadline_s
        self._frames: queue.Queue[tuple[float, Frame]] = queue.Queue(maxsize=1)
        self._attempts: queue.Queue[tuple[str, Future[Outcome]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=f"ratta {name}", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Hand over a frame, stamped with the time at which it was taken; called by the camera's driver."""
        try:
            self._frames.put_nowait((self._clock(), frame))
        except queue.Full:
            self.dropped += 1

    def begin(self, account: str) -> Future[Outcome]:
        """Begin an attempt of an account; attempts at one camera come one after another."""
        future: Future[Outcome] = Future()
        if self._accounts.allowed(account):
            self._attempts.put((account, future))
        else:
            future.set_result(Outcome(account, ratta.Verdict.REFUSED, "too many attempts of this account"))
        return future

    def close(self) -> None:
        """End after the attempts that were begun."""
        self._attempts.put(None)
        self._thread.join()

    def _work(self) -> None:
        engine = self._load()
        while (attempt := self._attempts.get()) is not None:
            account, future = attempt
            try:
                outcome = self._decide(engine, account)
            except ratta.RattaError as error:
                future.set_exception(error)
            else:
                self._accounts.note(outcome)
                future.set_result(outcome)

    def _decide(self, engine: ratta.Engine, account: str) -> Outcome:
        until = self._clock() + self._deadline_s
        while not self._frames.empty():
            self._frames.get_nowait()  # taken before this attempt
        with engine.session() as session:
            while not session.final and self._clock() < until:
                try:
                    t, frame = self._frames.get(timeout=0.1)
                except queue.Empty:
                    continue
                session.step(frame, t=t)
        return Outcome(account, session.verdict, session.reason)


def watch(camera: Camera, source: str, stop: threading.Event) -> None:
    """Be the driver: read a camera, a file or a URL and offer its frames at their times."""
    from ratta.camera import open_source

    with open_source(source) as frames:
        began = time.monotonic()
        for frame in frames:
            if stop.wait(max(0.0, frame.t_seconds - (time.monotonic() - began))):
                return
            camera.offer(frame.frame_bgr)


def main(argv: Sequence[str] | None = None) -> int:
    """Let one attempt be made at every camera at once; 0 if all are live."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cameras", nargs="+", metavar="NAME=SOURCE")
    parser.add_argument("--deadline", type=float, default=15.0, metavar="SECONDS")
    arguments = parser.parse_args(argv)
    sources = dict(one.split("=", 1) for one in arguments.cameras)
    accounts, stop = Accounts(), threading.Event()
    cameras = {name: Camera(name, accounts, deadline_s=arguments.deadline) for name in sources}
    drivers = [threading.Thread(target=watch, args=(cameras[name], sources[name], stop)) for name in sources]
    futures = {name: camera.begin(f"account at {name}") for name, camera in cameras.items()}
    for driver in drivers:
        driver.start()
    outcomes = {name: future.result() for name, future in futures.items()}
    stop.set()
    for thread in (*drivers, *cameras.values()):
        thread.join() if isinstance(thread, threading.Thread) else thread.close()
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome.verdict} ({outcome.reason}), {cameras[name].dropped} frames dropped")
    return int(any(outcome.verdict is not ratta.Verdict.LIVE for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
