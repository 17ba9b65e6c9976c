"""Looks back on what was committed: rates and verdicts that chance does not explain call for a rollback."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from ratta.adaptation.guard.exact import at_least, unequal_rates
from ratta.errors import InputError, StateError


class Alarm(StrEnum):
    """Why a commit is taken back."""

    LIVE_RATE = "rate of live sessions changed"
    OVERTURNED = "confident verdicts of the source overturned"


class Watch:
    """Watches what the adapted model does to sessions and frames.

    - The share of sessions it calls live is compared with the share before the camera changed, when the source
      decided (the shift itself changes the source's share, so that one would say nothing).
    - On frames where the frozen source is confident, it may disagree about as often as the source does with itself.

    Tests are exact and small: they run at `alpha` after every session, for ever. So an alarm without a cause will come;
    it costs the gain of one commit, never safety.

    Parameters
    ----------
    overturn_rate : float
        Share of the source's confident verdicts that mild views overturn on development frames, in (0, 1).
    alpha : float
        Level of each test, in (0, 1).
    sessions, frames : int
        How many of the last ones are looked at.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> watch = Watch(overturn_rate=0.02)
    >>> for _ in range(20):
    ...     watch.note_usual(is_live=False)
    >>> for _ in range(10):
    ...     watch.note_adapted(is_live=True)
    >>> watch.alarm
    <Alarm.LIVE_RATE: 'rate of live sessions changed'>
    """

    def __init__(self, *, overturn_rate: float, alpha: float = 1e-3, sessions: int = 64, frames: int = 64) -> None:
        if not 0 < overturn_rate < 1 or not 0 < alpha < 1 or min(sessions, frames) < 1:
            raise InputError(
                "watch: expected overturn_rate and alpha in (0, 1), sessions and frames of at least 1, "
                f"got {overturn_rate}, {alpha}, {sessions} and {frames}"
            )
        self.overturn_rate = overturn_rate
        self.alpha = alpha
        self.sessions = sessions
        self.frames = frames
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._usual: deque[bool] = deque(maxlen=self.sessions)
        self.renew()

    def renew(self) -> None:
        """Begin to watch another commit; what is usual stays."""
        self._adapted: deque[bool] = deque(maxlen=self.sessions)
        self._overturned: deque[bool] = deque(maxlen=self.frames)

    def note_usual(self, *, is_live: bool) -> None:
        """Note the source's verdict on a session of a camera that has not changed."""
        self._usual.append(is_live)

    def note_adapted(self, *, is_live: bool) -> None:
        """Note the adapted model's verdict on a session that it decided."""
        self._adapted.append(is_live)

    def note_confident(self, *, overturned: bool) -> None:
        """Note a frame on which the frozen source is confident, and whether the adapted model disagrees."""
        self._overturned.append(overturned)

    @property
    def alarm(self) -> Alarm | None:
        """Why to roll back, or `None`."""
        usual, adapted, overturned = self._usual, self._adapted, self._overturned
        if at_least(sum(overturned), len(overturned), self.overturn_rate) <= self.alpha:
            return Alarm.OVERTURNED
        if usual and adapted:
            chance = unequal_rates(sum(adapted), len(adapted), sum(usual), len(usual))
            return Alarm.LIVE_RATE if chance <= self.alpha else None
        return None

    def export_state(self) -> list[bool]:
        """Give what is usual; what a commit did is watched anew after a restart."""
        return list(self._usual)

    def restore_state(self, state: object) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If it does not fit; nothing has changed then.
        """
        if not isinstance(state, list) or len(state) > self.sessions or not all(type(item) is bool for item in state):
            raise StateError(f"watch state: expected at most {self.sessions} verdicts, got {state!r:.80}")
        self.reset()
        self._usual.extend(state)
