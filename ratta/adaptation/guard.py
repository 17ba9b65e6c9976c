"""The last line of defence: anchors that deny confirmed live sessions too often are dropped."""

from __future__ import annotations

from collections import deque

from ratta.adaptation.stats import at_least
from ratta.errors import InputError, StateError


class RollbackMonitor:
    """Tests, after each confirmed live session, whether more of the last ones were denied than the target explains.

    Exact binomial test of the denials among the last 32 confirmed live sessions, at level `significance`, for ever: an
    alarm without a cause will come at times; it costs the anchors' gain until they are learnt again, never safety.

    Parameters
    ----------
    alpha : float
        Share of confirmed live sessions that may be denied; the test allows twice as many.
    significance : float
        In (0, 1).

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> monitor = RollbackMonitor(alpha=0.05)
    >>> for _ in range(4):
    ...     monitor.update(denied=True)
    >>> monitor.alarm
    True
    """

    def __init__(self, *, alpha: float, significance: float = 1e-3) -> None:
        if not 0 < alpha < 0.5 or not 0 < significance < 1:
            raise InputError(
                f"monitor: expected alpha in (0, 0.5), significance in (0, 1), got {alpha}, {significance}"
            )
        self.alpha = alpha
        self.significance = significance
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if newly made."""
        self._denied: deque[bool] = deque(maxlen=32)

    def update(self, *, denied: bool) -> None:
        """Take in one confirmed live session."""
        self._denied.append(denied)

    @property
    def alarm(self) -> bool:
        """Whether to go back to the source."""
        return at_least(sum(self._denied), len(self._denied), 2 * self.alpha) <= self.significance

    def export_state(self) -> list[bool]:
        """Give the last denials."""
        return list(self._denied)

    def restore_state(self, state: object) -> None:
        """Take back what `export_state` gave.

        Raises
        ------
        StateError
            If it does not fit; nothing has changed then.
        """
        if not isinstance(state, list) or len(state) > 32 or not all(type(item) is bool for item in state):
            raise StateError(f"monitor state: expected at most 32 truth values, got {state!r:.80}")
        self.reset()
        self._denied.extend(state)
