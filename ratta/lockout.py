"""Failed attempts of one engine: how many stand, and for how long further ones are refused.

An attempt stands as failed from its first scored frame, and through every frame after it, until it ends LIVE. So the
lockout counts from the last moment of the last attempt, however that ended: by a verdict, by its time limit, by
`close`, or by being forgotten. An attempt that ends LIVE clears the count; one that was open beside it and goes on
stands again with its next frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NoReturn

from ratta.errors import InputError
from ratta.records import as_float, as_time

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lockout:
    """Counts the attempts that stand as failed.

    Parameters
    ----------
    max_attempts : int
        Attempts in a row without a LIVE verdict before further ones are refused.
    lockout_s : float
        Seconds of `t` after the last of these until attempts are allowed again; the count then begins anew.

    Raises
    ------
    InputError
        If a parameter limits nothing.

    Examples
    --------
    >>> lockout = Lockout(max_attempts=1, lockout_s=60.0)
    >>> attempt = lockout.begin(0.0)
    >>> lockout.stand(attempt, 2.0)
    >>> lockout.locked(61.0), lockout.left_s, lockout.locked(62.0)
    (True, 1.0, False)
    """

    def __init__(self, *, max_attempts: int = 5, lockout_s: float = 60.0) -> None:
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
            raise InputError(f"max_attempts: expected a whole number of at least 1, got {max_attempts!r}")
        if not 0 < as_float(lockout_s) < math.inf:
            raise InputError(f"lockout_s: expected a positive number of seconds, got {lockout_s!r}")
        self.max_attempts = max_attempts
        self.lockout_s = as_float(lockout_s)
        self._standing: set[int] = set()
        self._begun = 0
        self._last_s = -math.inf
        self._now_s = -math.inf

    @property
    def failed(self) -> int:
        """Attempts in a row that did not end LIVE, those under way among them."""
        return len(self._standing)

    @property
    def left_s(self) -> float:
        """Seconds until attempts are allowed again, as of the latest known time; 0 where they are."""
        if self.failed < self.max_attempts:
            return 0.0
        return max(0.0, self._last_s + self.lockout_s - self._now_s)

    def locked(self, t: float) -> bool:
        """Say whether attempts that begin at time `t` are refused.

        Raises
        ------
        InputError
            If `t` lies before the latest time that was told: all attempts share one clock, however they ended.
            `Engine.reset` begins another, for clips that have nothing to do with one another.
        """
        t = as_time(t, self._now_s)
        self._now_s = t
        return self.failed >= self.max_attempts and t - self._last_s < self.lockout_s

    def begin(self, t: float) -> int:
        """Charge an attempt with its first scored frame, and give it a number."""
        if self.failed >= self.max_attempts:
            self._standing.clear()  # the lockout was served
        self._begun += 1
        self.stand(self._begun, t)
        return self._begun

    def stand(self, attempt: int, t: float) -> None:
        """Let an attempt stand as failed up to time `t`."""
        self._standing.add(attempt)
        self._last_s = max(self._last_s, t)
        self._now_s = max(self._now_s, t)

    def clear(self) -> None:
        """Forget the failed attempts, but not the time: one ended LIVE."""
        self._standing.clear()
        self._last_s = -math.inf

    def shut(self, t: float) -> None:
        """Refuse attempts for a whole lockout from time `t` on, as if the last one allowed had just failed."""
        self.restore({"failed": self.max_attempts, "left_s": self.lockout_s}, t)

    def export(self) -> dict[str, float]:
        """Give what a process that is killed must not forget: JSON values for `restore`."""
        return {"failed": self.failed, "left_s": self.left_s}

    def restore(self, values: Mapping[str, object], t: float) -> None:
        """Go on from exported values at time `t` on this process's clock; what passed in between does not count.

        Raises
        ------
        InputError
            If `t` or the values do not fit; nothing is changed then.
        """
        t, failed, left_s = as_time(t), values.get("failed"), as_float(values.get("left_s"))
        if isinstance(failed, bool) or not isinstance(failed, int) or failed < 0 or not 0 <= left_s < math.inf:
            raise InputError(f"lockout: expected failed attempts and seconds left, got {dict(values)!r:.80}")
        self._standing = {-number for number in range(1, min(failed, self.max_attempts) + 1)}
        self._now_s = t
        self._last_s = t - max(0.0, self.lockout_s - left_s) if self.failed >= self.max_attempts else t

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled: a copy would be a second count."""
        raise InputError("lockout: expected one count of attempts, got an order to copy it; share the engine instead")
