"""The engine: a verified model with its face detector, its sessions, and the limit on failed attempts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, Self

import numpy as np

from ratta.adapter import Idle
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle
from ratta.decision import Policy
from ratta.errors import InputError, StateError
from ratta.lockout import Lockout
from ratta.networks import corrected, open_detector, open_graph, open_network
from ratta.perception import Perception, QualityLimits
from ratta.records import Reason, Refusal, Score, as_float, as_time
from ratta.session import Session, Turn, as_box

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

    from ratta.adaptation import Adaptation
    from ratta.adaptation.budget import PowerState
    from ratta.adapter import Adapter
    from ratta.bundle import Bundle
    from ratta.inference import Corrected, Ensemble, Network
    from ratta.inference import Session as GraphSession
    from ratta.perception import FaceDetector
    from ratta.profile import CameraProfile
    from ratta.records import Decision
    from ratta.session import BoxLike

LOCKOUT = "lockout"
INTERNAL = frozenset({"adapter", "lockout", "network", "new_perception", "turn"})
"""What sessions and the command line need of an engine, and completion does not offer."""


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
    profile: str | Path | None = None,
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
    profile : path, optional
        A camera profile. Of live sessions (`ratta calibrate --live`): what live faces look like on this camera; it can
        only deny. Of labelled ones (`--data`): a correction of the model's scores, which may also grant.

    Raises
    ------
    BundleError
        If the model is missing, altered, does not do what its contract says, or a profile belongs to
        another model.

    Examples
    --------
    >>> engine = load()
    >>> engine.score(np.full((480, 640, 3), 127, np.uint8)).reason
    <Reason.NO_FACE: 'no face'>
    """
    if detector is not None and (isinstance(detector, type) or not callable(getattr(detector, "detect", None))):
        raise InputError(f"detector: expected an object with detect(frame, *, color), got {detector!r:.80}")
    bundle = read_bundle(find_bundle(model), sha256=sha256)
    bundle = _with_crops(bundle, crops)
    opened = [open_graph(one.graph, runtime=runtime, threads=threads) for one in bundle.members or (bundle,)]
    graph = tuple(opened) if bundle.members else opened[0]
    known = None
    if profile is not None:
        from ratta.profile import read_profile

        known = read_profile(profile, model_sha256=bundle.sha256)
    if detector is None:
        detector = open_detector(runtime=runtime, threads=threads)
    engine = Engine(
        bundle,
        graph,
        detector=detector,
        policy=policy,
        limits=limits,
        max_attempts=max_attempts,
        lockout_s=lockout_s,
        profile=known,
    )
    engine._adapter = _adapter(engine, adapt, known)
    return engine


def _adapter(engine: Engine, adapt: bool | Adaptation, profile: CameraProfile | None) -> Adapter | None:
    if adapt is False and (profile is None or not profile.anchor):
        return None
    from ratta.adaptation import Adaptation  # whoever does not adapt does not pay for its import
    from ratta.assembly import make_adapter

    if not isinstance(adapt, bool | Adaptation):
        raise InputError(f"adapt: expected True, False or an Adaptation, got {adapt!r:.80}")
    return make_adapter(
        engine.bundle,
        engine.network,
        adapt if isinstance(adapt, Adaptation) else Adaptation(),
        profile=profile,
        learning=adapt is not False,
        policy=engine.policy,
    )


class Engine:
    """Decides, frame by frame, whether a camera sees a live face.

    An engine is one open-ended stream (`step`), any number of attempts (`session`), and a pure look at one frame
    (`score`). Engines share nothing; use each from one thread at a time. Leaving a `with` block forgets everything that
    it holds in memory, as `reset` does.

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
    profile : CameraProfile, optional
        Its head, if it has one, corrects what the graph says.

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
        profile: CameraProfile | None = None,
    ) -> None:
        if not isinstance(policy, Policy | None) or not isinstance(limits, QualityLimits | None):
            raise InputError(f"policy, limits: expected a Policy and QualityLimits, got {policy!r} and {limits!r}")
        self.bundle = bundle
        self.policy = policy or bundle.policy
        self.limits = limits or QualityLimits()
        self.turn = Turn()
        self.max_attempts = max_attempts
        self.lockout_s = lockout_s
        self._adapter = adapter
        self._network = corrected(open_network(bundle, graph), profile, bundle=bundle)
        self._detector = detector
        self._perception = self.new_perception()
        self.reset()

    def __repr__(self) -> str:
        model = f"{self.bundle.name} {self.bundle.version}"
        adapting = ", adapting" if self._adapter is not None else ""
        return f"<Engine {model}, live from {self.policy.live_threshold:.4f}{adapting}>"

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in INTERNAL]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()

    def score(self, frame: npt.NDArray[np.uint8], *, box: BoxLike | None = None, color: str = "bgr") -> Score:
        """Score one frame, without memory; nothing changes.

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
        with self.turn:
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

        A stream is for monitoring. It forgets and does not count attempts; use `session` to decide about access.

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

    def idle(self, t: float, *, within_ms: float = math.inf) -> Idle:
        """Spend budget on learning now, off the answer path.

        Call it whenever no answer is awaited: between frames, and once more after an attempt. One call studies all
        ended attempts as far as the budget lasts. Without adaptation there is nothing to do.

        Parameters
        ----------
        t : float
            Seconds on the clock of the frames.
        within_ms : float
            No piece of work is begun after so many milliseconds: what a camera's next frame leaves.

        Returns
        -------
        Idle
            `DONE`, `WAITING` for budget, or `MORE` to do where `within_ms` ended the call.

        Raises
        ------
        InputError
            If `t` is no finite number of seconds, or goes backwards.
        """
        if math.isnan(as_float(within_ms)):
            raise InputError(f"within_ms: expected a number of milliseconds, got {within_ms!r:.80}")
        with self.turn:
            if self._adapter is None:
                as_time(t)
                return Idle.DONE
            return self._adapter.idle(t, within_ms=as_float(within_ms))

    def set_power(self, state: PowerState, *, t: float) -> None:
        """Report battery and temperature: adaptation slows down or pauses accordingly.

        Raises
        ------
        InputError
            If `t` is no finite number of seconds, or goes backwards.
        """
        if self._adapter is not None:
            self._adapter.set_power(state, t=t)

    def save_state(self, path: str | Path, *, key: bytes, counter: int) -> None:
        """Seal what was learnt and write it; `ratta.state.save_state` explains key and counter.

        Raises
        ------
        InputError
            If the engine does not adapt, or an argument does not fit.
        StateError
            If the file cannot be written; the old one is still there.
        """
        from ratta.state import save_state

        values, arrays = self._adapting().export_state()
        save_state(path, key=key, model_sha256=self.bundle.sha256, counter=counter, values=values, arrays=arrays)

    def load_state(self, path: str | Path, *, key: bytes, at_least: int) -> int:
        """Restore a sealed state; `ratta.state.load_state` explains the arguments.

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
        from ratta.state import load_state

        adapter = self._adapting()
        adapter.reset()
        state = load_state(path, key=key, model_sha256=self.bundle.sha256, at_least=at_least)
        adapter.restore_state(state.values, state.arrays)
        return state.counter

    def reset(self) -> None:
        """Forget the stream, the failed attempts, and what was learnt."""
        if self._adapter is not None:
            self._adapter.reset()
        self._lockout = Lockout(max_attempts=self.max_attempts, lockout_s=self.lockout_s)
        self._stream = Session(self, open_ended=True)

    def new_perception(self) -> Perception:
        """Make the perception of one session: a tracker is state."""
        return Perception(detector=self._detector, crops=self.bundle.crops, limits=self.limits)

    @property
    def network(self) -> Network | Ensemble | Corrected:
        """The network that answers."""
        return self._network

    @property
    def adapter(self) -> Adapter | None:
        """The adapter, where the engine adapts."""
        return self._adapter

    def _adapting(self) -> Adapter:
        if self._adapter is None:
            raise InputError("state: expected an engine that adapts, got one that does not; load it with adapt=True")
        return self._adapter

    @property
    def lockout(self) -> Lockout:
        """The counter of failed attempts; `left_s` says for how long further ones are refused."""
        return self._lockout

    @property
    def failed_attempts(self) -> int:
        """Attempts in a row that did not end LIVE."""
        return self._lockout.failed

    @property
    def lockout_left_s(self) -> float:
        """Seconds until attempts are allowed again, at the latest time the engine was told; 0 where they are."""
        return self._lockout.left_s

    def locked(self, t: float) -> bool:
        """Whether attempts that begin at time `t` are refused.

        Raises
        ------
        InputError
            If `t` lies before an attempt that was already counted: all attempts share one clock.
        """
        return self._lockout.locked(t)

    def save_lockout(self, path: str | Path, *, key: bytes, counter: int) -> None:
        """Seal the failed attempts and write them, for an app that may be killed; arguments as in `save_state`.

        Save when `failed_attempts` has changed, not only at the end: whoever kills the app chooses the moment.

        Raises
        ------
        InputError
            If an argument does not fit.
        StateError
            If the file cannot be written; the old one is still there.
        """
        from ratta.state import save_state

        values = {LOCKOUT: self._lockout.export()}
        save_state(path, key=key, model_sha256=self.bundle.sha256, counter=counter, values=values, arrays={})

    def load_lockout(self, path: str | Path, *, key: bytes, at_least: int, t: float) -> int:
        """Restore the failed attempts; time that passed in between does not shorten a lockout.

        Parameters
        ----------
        path, key, at_least
            As in `load_state`.
        t : float
            Now, in seconds on this process's clock of frames.

        Returns
        -------
        int
            The counter of the save it comes from.

        Raises
        ------
        InputError
            If an argument does not fit.
        StateError
            If the file is missing or refused; attempts are then refused for a whole lockout from `t` on.
        """
        from ratta.state import load_state

        self._lockout.shut(t)
        state = load_state(path, key=key, model_sha256=self.bundle.sha256, at_least=at_least)
        found = state.values.get(LOCKOUT)
        if not isinstance(found, dict):
            raise StateError(f"{path}: expected a lockout, got a state with {sorted(state.values)!r:.80}")
        self._lockout.restore(found, t)
        return state.counter

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled: a copy would count attempts of its own."""
        raise InputError("engine: expected one engine, got an order to copy or pickle it; make another with ratta.load")


def _with_crops(bundle: Bundle, crops: str) -> Bundle:
    if bundle.members and crops != "both":
        raise InputError(f"crops: expected a single model to choose crops of, got the ensemble {bundle.name}")
    return replace(bundle, contract=bundle.contract.choose(crops))
