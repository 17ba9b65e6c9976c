"""The order of the rooms, written once: perception, inference, decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle, read_detector
from ratta.decision import Policy, check_time
from ratta.errors import BundleError, InputError
from ratta.inference import NumpySession, OrtSession, WebSession
from ratta.networks import open_network
from ratta.perception import BlazeFace, Perception, QualityLimits
from ratta.records import Reason, Refusal, Score, Verdict
from ratta.session import Session, as_box

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ratta.adaptation import Adaptation
    from ratta.adaptation.adapter import Adapter
    from ratta.adaptation.budget import PowerState
    from ratta.bundle import Bundle
    from ratta.inference import Ensemble, Network
    from ratta.inference import Session as GraphSession
    from ratta.perception import FaceDetector
    from ratta.records import Decision
    from ratta.session import BoxLike

RUNTIMES = ("numpy", "onnxruntime", "web")


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    sha256: str | None = None,
    policy: Policy | None = None,
    limits: QualityLimits | None = None,
    detector: FaceDetector | None = None,
    runtime: str = "onnxruntime",
    threads: int = 1,
    crops: str = "both",
    max_attempts: int = 5,
    lockout_s: float = 60.0,
    adapt: bool | Adaptation = False,
) -> Engine:
    """Load a model and make an engine of it.

    Parameters
    ----------
    model : str or path
        A shipped model's name, or a model folder.
    sha256 : str, optional
        The expected SHA-256 of the folder's `bundle.json`; pin it where others may write to the folder.
    policy : Policy, optional
        When evidence is enough; by default with the thresholds of the model's calibration.
    limits : QualityLimits, optional
        Which frames are refused.
    detector : FaceDetector, optional
        Finds faces; the shipped BlazeFace by default.
    runtime : str
        "onnxruntime"; "web" in a browser (see `ratta.inference.web_session`); "numpy" where neither exists.
    threads : int
        For ONNX Runtime.
    crops : str
        Where the model's contract has several crops of a face: all of them ("both"), or only its "wide" or "tight" one,
        which is faster. Thresholds were calibrated for all of them.
    max_attempts : int
        Attempts in a row without a LIVE verdict before further ones are refused.
    lockout_s : float
        Seconds of `t` after the last of these until attempts are allowed again.
    adapt : bool or Adaptation
        Whether the engine adapts to its camera, and how; call `engine.idle` then. Off by default.

    Raises
    ------
    BundleError
        If the model is missing, altered, does not do what its contract says, or was not calibrated for adaptation.

    Examples
    --------
    >>> engine = load()
    >>> engine.score(np.full((480, 640, 3), 127, np.uint8)).reason
    <Reason.NO_FACE: 'no face'>
    """
    bundle = read_bundle(find_bundle(model), sha256=sha256)
    bundle = _with_crops(bundle, crops)
    opened = [open_graph(one.graph, runtime=runtime, threads=threads) for one in bundle.members or (bundle,)]
    graph = tuple(opened) if bundle.members else opened[0]
    if detector is None:
        detector = BlazeFace(open_graph(read_detector(), runtime=runtime, threads=threads, name="blazeface.onnx"))
    return Engine(
        bundle,
        graph,
        detector=detector,
        policy=policy,
        limits=limits,
        max_attempts=max_attempts,
        lockout_s=lockout_s,
        adapter=_adapter(bundle, graph, adapt, runtime=runtime, threads=threads),
    )


def _adapter(
    bundle: Bundle,
    graph: GraphSession | tuple[GraphSession, ...],
    adapt: bool | Adaptation,
    *,
    runtime: str,
    threads: int,
) -> Adapter | None:
    if adapt is False:
        return None
    from ratta.adaptation import Adaptation  # whoever does not adapt does not pay for its import
    from ratta.assembly import make_adapter

    if not isinstance(adapt, bool | Adaptation):
        raise InputError(f"adapt: expected True, False or an Adaptation, got {adapt!r}")

    if isinstance(graph, tuple):
        raise BundleError(f"{bundle.name}: expected one model to adapt, got an ensemble; load it without adapt")

    def open_other(other: bytes) -> GraphSession:
        return open_graph(other, runtime=runtime, threads=threads)

    return make_adapter(bundle, graph, Adaptation() if adapt is True else adapt, open_graph=open_other)


def open_graph(graph: bytes, *, runtime: str, threads: int = 1, name: str = "model.onnx") -> GraphSession:
    """Open a graph in one of the runtimes.

    Raises
    ------
    InputError
        If there is no such runtime.
    """
    if runtime == "onnxruntime":
        return OrtSession(graph, threads=threads, name=name)
    if runtime == "numpy":
        return NumpySession(graph)
    if runtime == "web":
        return WebSession(graph, name=name)
    raise InputError(f"runtime: expected one of {RUNTIMES}, got {runtime!r}")


class Engine:
    """Decides, frame by frame, whether a camera sees a living face.

    An engine is one open-ended stream (`step`), any number of attempts (`session`), and a pure look at one frame
    (`score`). Engines share nothing; use one from one thread at a time.

    Parameters
    ----------
    bundle : Bundle
    graph : Session, or tuple of Session
        Runs the bundle's graph; of an ensemble, one for each member.
    detector : FaceDetector
    policy, limits, max_attempts, lockout_s
        As in `load`.
    adapter : Adapter, optional
        Answers and learns in the place of the graph; `ratta.assembly.make_adapter` makes one.

    Raises
    ------
    BundleError
        If the graph does not do what the contract says.
    """

    def __init__(
        self,
        bundle: Bundle,
        graph: GraphSession | tuple[GraphSession, ...],
        *,
        detector: FaceDetector,
        policy: Policy | None = None,
        limits: QualityLimits | None = None,
        max_attempts: int = 5,
        lockout_s: float = 60.0,
        adapter: Adapter | None = None,
    ) -> None:
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
            raise InputError(f"max_attempts: expected a whole number of at least 1, got {max_attempts!r}")
        if not isinstance(lockout_s, int | float) or not 0 < lockout_s < math.inf:
            raise InputError(f"lockout_s: expected a positive number of seconds, got {lockout_s!r}")
        if not isinstance(policy, Policy | None) or not isinstance(limits, QualityLimits | None):
            raise InputError(f"policy, limits: expected a Policy and QualityLimits, got {policy!r} and {limits!r}")
        calibration = bundle.calibration
        self.bundle = bundle
        self.policy = policy or Policy(
            live_threshold=calibration.live_threshold, spoof_threshold=calibration.spoof_threshold
        )
        self.limits = limits or QualityLimits()
        self.max_attempts = max_attempts
        self.lockout_s = lockout_s
        self._adapter = adapter
        self._network = open_network(bundle, graph)
        self._detector = detector
        self._perception = self.new_perception()
        self.reset()

    def score(self, frame: npt.NDArray[np.uint8], *, box: BoxLike | None = None, color: str = "bgr") -> Score:
        """Look at one frame, without memory; nothing changes.

        Parameters
        ----------
        frame : (H, W, 3) uint8
        box : Box or (x_min, y_min, x_max, y_max), optional
            The face, in pixels, if the caller knows it.
        color : str
            "bgr" or "rgb".

        Raises
        ------
        InputError
            If `box` or `color` is not what it should be. An unusable frame is no error: it is refused.
        """
        seen = self._perception.look(frame, box=as_box(box), color=color)
        if isinstance(seen, Refusal):
            return Score(math.nan, None, seen.reason, seen.detail)
        score = self._network.read(seen.pixels).live_score
        if math.isnan(score):
            return Score(math.nan, None, Reason.UNUSABLE_INPUT, "the network answered nan")
        return Score(score, seen.face.box, None)

    def step(
        self, frame: npt.NDArray[np.uint8], *, t: float, box: BoxLike | None = None, color: str = "bgr"
    ) -> Decision:
        """Answer one frame of an open-ended stream; the verdict looks back over `policy.window_s` seconds.

        A stream is for watching. It knows no attempts and forgets: let nobody in by it; `session` is for that.

        Parameters
        ----------
        frame : (H, W, 3) uint8
        t : float
            Seconds on a monotonic clock.
        box, color
            As in `score`.

        Raises
        ------
        InputError
            If `t` goes backwards, or `box` or `color` is not what it should be.
        """
        return self._stream.step(frame, t=t, box=box, color=color)

    def session(self) -> Session:
        """Begin one authentication attempt; use it in a `with` statement."""
        return Session(self)

    def idle(self, t: float, *, within_ms: float = math.inf) -> bool:
        """Spend budget on learning now, off the answer path; say whether nothing is left to do.

        Call it whenever no answer is awaited: between frames, after an attempt. Without adaptation it does nothing.

        Parameters
        ----------
        t : float
            Seconds on the clock of the frames.
        within_ms : float
            No piece of work is begun after so many milliseconds: what a camera's next frame leaves.

        Raises
        ------
        InputError
            If `t` is not finite or goes backwards.
        """
        return self._adapter is None or self._adapter.idle(t, within_ms=within_ms)

    def set_power(self, state: PowerState, *, t: float) -> None:
        """Tell how much battery there is and how warm it is: learning waits for better times."""
        if self._adapter is not None:
            self._adapter.budget.set_power(state, t=t)

    def save_state(self, path: str | Path, *, key: bytes, counter: int) -> None:
        """Seal what was learnt and write it; `ratta.state.save_state` tells of key and counter.

        Raises
        ------
        InputError
            If the engine does not adapt, or an argument does not fit.
        StateError
            If the file cannot be written; the old one is still there.
        """
        from ratta.adaptation.memory import export_memory
        from ratta.state import save_state

        values, arrays = export_memory(self._adapting())
        save_state(path, key=key, model_sha256=self.bundle.sha256, counter=counter, values=values, arrays=arrays)

    def load_state(self, path: str | Path, *, key: bytes, at_least: int) -> int:
        """Go on from a sealed state; `ratta.state.load_state` tells of its arguments.

        Returns
        -------
        int
            The counter of the save it comes from.

        Raises
        ------
        InputError
            If the engine does not adapt, or an argument does not fit.
        StateError
            If the state is refused; the engine then runs as the source model.
        """
        from ratta.adaptation.memory import restore_memory
        from ratta.state import load_state

        adapter = self._adapting()
        adapter.reset()
        state = load_state(path, key=key, model_sha256=self.bundle.sha256, at_least=at_least)
        restore_memory(adapter, state.values, state.arrays)
        return state.counter

    def reset(self) -> None:
        """Forget the stream, the failed attempts, and what was learnt."""
        if self._adapter is not None:
            self._adapter.reset()
        self._stream = Session(self, open_ended=True)
        self._failed = 0
        self._last_failure_s = -math.inf

    def new_perception(self) -> Perception:
        """Give eyes of its own to a session: a tracker is state."""
        return Perception(detector=self._detector, crops=self.bundle.crops, limits=self.limits)

    @property
    def network(self) -> Network | Ensemble:
        """The network that answers."""
        return self._network

    @property
    def adapter(self) -> Adapter | None:
        """What adapts, where the engine does."""
        return self._adapter

    def _adapting(self) -> Adapter:
        if self._adapter is None:
            raise InputError("state: expected an engine that adapts, got one that does not; load it with adapt=True")
        return self._adapter

    @property
    def failed_attempts(self) -> int:
        """Attempts in a row that did not end LIVE."""
        return self._failed

    def locked(self, t: float) -> bool:
        """Whether attempts that begin at time `t` are refused.

        Raises
        ------
        InputError
            If `t` lies before an attempt that was already counted: all attempts share one clock.
        """
        check_time(t, self._last_failure_s)
        return self._failed >= self.max_attempts and t - self._last_failure_s < self.lockout_s

    def begin_attempt(self, t: float) -> None:
        """Charge an attempt when its first frame is scored; only a LIVE verdict takes it back."""
        if self._failed >= self.max_attempts:
            self._failed = 0  # the lockout was served
        self._failed += 1
        self._last_failure_s = t

    def end_attempt(self, verdict: Verdict, t: float) -> None:
        """Take the charge back after LIVE; otherwise count the lockout from here."""
        if verdict is Verdict.LIVE:
            self._failed = 0
        else:
            self._last_failure_s = max(self._last_failure_s, t)


def _with_crops(bundle: Bundle, crops: str) -> Bundle:
    if bundle.members and crops != "both":
        raise InputError(f"crops: expected a single model to choose crops of, got the ensemble {bundle.name}")
    return replace(bundle, contract=bundle.contract.choose(crops))
