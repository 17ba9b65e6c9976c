"""May this pseudo-label be believed? Every part must agree, and every refusal is counted by its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import InputError, StateError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]


class Obstacle(StrEnum):
    """Why a frame was not admitted."""

    QUALITY = "quality refused"
    NOT_FINITE = "not finite"
    UNSURE = "source unsure"
    OVERRULED = "answer and source disagree"
    MARGIN = "near the other class"
    VIEWS = "views disagree"
    CONTRADICTS = "session counted for the other class"
    SESSION_FULL = "session quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What a frame must reach; from development frames.

    Attributes
    ----------
    live_above, spoof_below : float
        Calibrated log-odds of the source: live from the first on, an attack up to the second. Where the development
        set is separated, both lie outside the gap.
    live_margin, spoof_margin : float
        Least distance to the plane between the prototypes, see `Gate.margin`.
    view_sd : float
        Greatest standard deviation of the log-odds over the frame and its views.

    Raises
    ------
    InputError
        If a value is not finite or the two confidences overlap.
    """

    live_above: float
    spoof_below: float
    live_margin: float
    spoof_margin: float
    view_sd: float

    def __post_init__(self) -> None:
        if (
            not all(map(math.isfinite, asdict(self).values()))
            or self.spoof_below >= self.live_above
            or self.view_sd < 0
        ):
            raise InputError(
                f"gate limits: expected finite numbers, spoof_below < live_above, view_sd >= 0, got {self}"
            )

    @classmethod
    def from_development(
        cls, *, live_logits: Floats, view_logits: Floats, margins: Floats, is_live: npt.NDArray[np.bool_]
    ) -> GateLimits:
        """Choose the limits on development frames of the source camera.

        Live from the 99th percentile of attacks on, an attack up to the 2nd percentile of live: a false live label
        costs more than a false alarm. The margins are medians of the correctly classified, the views' deviation the
        95th percentile of all.

        Parameters
        ----------
        live_logits : (N,)
            Calibrated log-odds of live.
        view_logits : (N, V)
            The same of the views of each frame.
        margins : (N,)
            `Gate.margin` of each frame.
        is_live : (N,) bool

        Raises
        ------
        InputError
            If lengths differ, a class is missing, or never classified correctly.
        """
        count = len(is_live)
        if (len(live_logits), len(view_logits), len(margins)) != (count,) * 3 or view_logits.ndim != 2:
            raise InputError(f"gate limits: expected arrays of one length with (N, V) views, got {count} labels")
        if not is_live.any() or is_live.all():
            raise InputError("gate limits: expected live faces and attacks, got one class")
        attacks, lives = np.quantile(live_logits[~is_live], 0.99), np.quantile(live_logits[is_live], 0.02)
        right = (live_logits > (attacks + lives) / 2) == is_live
        if not (right & is_live).any() or not (right & ~is_live).any():
            raise InputError("gate limits: expected both classes to be recognised at times, got one that never is")
        deviation = np.std(np.column_stack((live_logits, view_logits)), axis=1)
        return cls(
            live_above=float(max(attacks, lives)),
            spoof_below=float(min(attacks, lives)),
            live_margin=float(np.median(margins[right & is_live])),
            spoof_margin=float(np.median(-margins[right & ~is_live])),
            view_sd=float(np.quantile(deviation, 0.95)),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What is known of one frame that might teach something.

    Attributes
    ----------
    session : int
        Grows from session to session.
    source_logit : float
        Log-odds of live of the *frozen source*; it alone labels.
    answer_logit : float
        Log-odds of the model that answered; the same number where the source did.
    embedding : (D,)
        Pooled feature of the source.
    view_logits : tuple of float
        Log-odds of the source on views of the frame, see `Views`.
    accepted : bool
        Whether quality accepted the frame.
    confirmed : bool or None
        Whether the integrator knows the session to be live (True) or an attack (False).
    """

    session: int
    source_logit: float
    answer_logit: float
    embedding: Floats
    view_logits: tuple[float, ...] = ()
    accepted: bool = True
    confirmed: bool | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """The gate's answer: a label, or an obstacle."""

    is_live: bool | None
    obstacle: Obstacle | None = None


class Gate:
    """Admits a frame as evidence of its class when nothing speaks against it, and bounds what a session can say.

    All of: quality accepted; the source confident, by asymmetric limits; answer and source on one side; the embedding
    well on its side of the plane between the prototypes; the views agree; the session not yet counted for the other
    class; fewer than `per_session` frames of it so far. `confirmed` stands in for the confidence (limits, agreement and
    margin), and for nothing else.

    `ready` says whether both classes have enough: evidence of one class never moves anything.

    Parameters
    ----------
    limits : GateLimits
    prototypes : (2, D)
        Class means of the source embedding, spoof first.
    variance : (D,)
        Of the embedding within classes.
    per_session : int
        Frames a session can give; it gives them to one class only.
    min_sessions, min_frames : int
        What each class needs before an update.

    Raises
    ------
    InputError
        If a parameter is out of range or shapes do not fit.

    Examples
    --------
    >>> limits = GateLimits(live_above=2.0, spoof_below=-2.0, live_margin=0.5, spoof_margin=0.5, view_sd=0.3)
    >>> gate = Gate(limits, np.array([[-1.0, 0.0], [1.0, 0.0]]), np.ones(2))
    >>> sure = Evidence(
    ...     session=0, source_logit=3.0, answer_logit=3.0, embedding=np.array([1.0, 0.0]), view_logits=(3.0, 2.9)
    ... )
    >>> gate.admit(sure)
    Admission(is_live=True, obstacle=None)
    >>> gate.frames, gate.ready
    ((0, 1), False)
    """

    def __init__(
        self,
        limits: GateLimits,
        prototypes: Floats,
        variance: Floats,
        *,
        per_session: int = 4,
        min_sessions: int = 4,
        min_frames: int = 8,
    ) -> None:
        if min(per_session, min_sessions, min_frames) < 1:
            raise InputError(f"gate: expected quotas of at least 1, got {per_session}, {min_sessions} and {min_frames}")
        self.limits = limits
        self.per_session = per_session
        self.min_sessions = min_sessions
        self.min_frames = min_frames
        self._axis, self._offset = separating_plane(prototypes, variance)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._refused = dict.fromkeys(Obstacle, 0)
        self.forget()

    def forget(self) -> None:
        """Drop the evidence, keep the counts of refusals."""
        self._frames = [0, 0]
        self._sessions = [0, 0]
        self._session = -1
        self._session_frames = 0
        self._session_is_live: bool | None = None

    def margin(self, embedding: Floats) -> float:
        """Signed distance to the plane between the prototypes in within-class standard deviations; positive = live."""
        if embedding.shape != self._axis.shape:
            raise InputError(f"gate: expected an embedding of shape {self._axis.shape}, got {embedding.shape}")
        return float(self._axis @ embedding) - self._offset

    def screen(self, evidence: Evidence) -> Admission:
        """Say what `admit` would without asking the views; nothing changes."""
        is_live = self._label(evidence)
        obstacle = self._obstacle(evidence, is_live)
        return Admission(None, obstacle) if obstacle else Admission(is_live)

    def admit(self, evidence: Evidence) -> Admission:
        """Admit a frame, or refuse it; count either.

        Raises
        ------
        InputError
            If an earlier session comes back, or the embedding has another length than the prototypes.
        """
        self._turn_to(evidence.session)
        admission = self.screen(evidence)
        if admission.obstacle is None and not self._views_agree(evidence):
            admission = Admission(None, Obstacle.VIEWS)
        if admission.obstacle is not None:
            self._refused[admission.obstacle] += 1
        elif admission.is_live is not None:
            self._count(admission.is_live)
        return admission

    @property
    def frames(self) -> tuple[int, int]:
        """Frames admitted, spoof and live."""
        return self._frames[0], self._frames[1]

    @property
    def sessions(self) -> tuple[int, int]:
        """Sessions that gave them."""
        return self._sessions[0], self._sessions[1]

    @property
    def ready(self) -> bool:
        """Whether both classes have enough sessions and frames."""
        return min(self._frames) >= self.min_frames and min(self._sessions) >= self.min_sessions

    @property
    def refused(self) -> dict[Obstacle, int]:
        """Frames refused, by reason."""
        return dict(self._refused)

    def export_state(self) -> dict[str, int]:
        """Everything counted, as plain numbers; the session under way ends with it."""
        kinds = ("spoof", "live")
        return {
            **{f"frames.{kind}": count for kind, count in zip(kinds, self._frames, strict=True)},
            **{f"sessions.{kind}": count for kind, count in zip(kinds, self._sessions, strict=True)},
            **{f"refused.{obstacle.name.lower()}": count for obstacle, count in self._refused.items()},
        }

    def restore_state(self, state: object) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If it does not fit; nothing has changed then.
        """
        if not isinstance(state, Mapping) or state.keys() != self.export_state().keys():
            raise StateError(f"gate state: expected the keys of `export_state`, got {state!r:.80}")
        if any(type(count) is not int or count < 0 for count in state.values()):
            raise StateError(f"gate state: expected whole numbers of at least 0, got {dict(state)!r:.200}")
        self.reset()
        self._frames = [state["frames.spoof"], state["frames.live"]]
        self._sessions = [state["sessions.spoof"], state["sessions.live"]]
        self._refused = {obstacle: state[f"refused.{obstacle.name.lower()}"] for obstacle in Obstacle}

    def _label(self, evidence: Evidence) -> bool | None:
        if evidence.confirmed is not None:
            return evidence.confirmed
        if evidence.source_logit >= self.limits.live_above:
            return True
        return False if evidence.source_logit <= self.limits.spoof_below else None

    def _obstacle(self, evidence: Evidence, is_live: bool | None) -> Obstacle | None:
        """Find what speaks against it, cheapest first."""
        if not evidence.accepted:
            return Obstacle.QUALITY
        margin = self.margin(evidence.embedding)
        if not all(map(math.isfinite, (evidence.source_logit, evidence.answer_logit, margin))):
            return Obstacle.NOT_FINITE
        if is_live is None:
            return Obstacle.UNSURE
        if evidence.confirmed is None and (doubt := self._doubt(evidence, is_live, margin)):
            return doubt
        return self._exhausted(evidence.session, is_live)

    def _doubt(self, evidence: Evidence, is_live: bool, margin: float) -> Obstacle | None:
        limits = self.limits
        middle = (limits.live_above + limits.spoof_below) / 2
        if (evidence.answer_logit > middle) != is_live:
            return Obstacle.OVERRULED
        enough = margin >= limits.live_margin if is_live else -margin >= limits.spoof_margin
        return None if enough else Obstacle.MARGIN

    def _exhausted(self, session: int, is_live: bool) -> Obstacle | None:
        if session != self._session or not self._session_frames:
            return None
        if self._session_is_live != is_live:
            return Obstacle.CONTRADICTS
        return Obstacle.SESSION_FULL if self._session_frames >= self.per_session else None

    def _views_agree(self, evidence: Evidence) -> bool:
        """Judge the spread; no view, or one that is no number, is no agreement."""
        if not evidence.view_logits or not all(map(math.isfinite, evidence.view_logits)):
            return False
        return bool(np.std((evidence.source_logit, *evidence.view_logits)) <= self.limits.view_sd)

    def _turn_to(self, session: int) -> None:
        if session < self._session:
            raise InputError(f"gate: expected session {self._session} or a later one, got {session}")
        if session > self._session:
            self._session, self._session_frames, self._session_is_live = session, 0, None

    def _count(self, is_live: bool) -> None:
        self._sessions[is_live] += self._session_frames == 0
        self._frames[is_live] += 1
        self._session_frames += 1
        self._session_is_live = is_live


def separating_plane(prototypes: Floats, variance: Floats) -> tuple[npt.NDArray[np.float32], float]:
    """Plane that is equally far from both prototypes: `axis @ x - offset` is the signed distance, positive = live.

    Fisher's linear discriminant with a diagonal covariance; the distance is in within-class standard deviations.

    Raises
    ------
    InputError
        If shapes do not fit, or the prototypes are one.
    """
    if prototypes.shape != (2, *variance.shape) or variance.ndim != 1:
        raise InputError(
            f"plane: expected (2, D) prototypes and (D,) variance, got {prototypes.shape}, {variance.shape}"
        )
    floor = 1e-3 * float(variance.mean())
    gap = (prototypes[1] - prototypes[0]).astype(np.float64)
    axis = gap / np.maximum(variance, floor if floor > 0 else 1.0)
    length = math.sqrt(float(axis @ gap))
    if not math.isfinite(length) or length == 0:
        raise InputError("plane: expected two finite prototypes that differ, got others; calibrate again")
    middle = prototypes.mean(axis=0, dtype=np.float64)
    return (axis / length).astype(np.float32), float(axis @ middle) / length
