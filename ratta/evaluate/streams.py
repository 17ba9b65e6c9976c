"""Streams: ordered lists of sessions, made from any sessions, seeded.

*Home* is the camera the model was made for, *away* the other one. Kinds:

`iid`
    Single frames of away in random order: the easy contrast that no device ever sees.
`sessions`
    Away, session after session; frames in their order, sessions in random order.
`sudden`
    Home, then away.
`gradual`
    From home to away; the share of away sessions rises linearly over the middle half.
`return`
    Home, away, and home again.
`live-only`, `attack-only`
    A flood of one class from away, then a mixed rest on which the damage shows.
`live-heavy`, `attack-heavy`
    Ten live sessions to one attack, or five attacks to one live session, well mixed, then a mixed rest.
`alternate`
    Rounds of genuine sessions (trip the drift detector) and attacks (poison what it lets in), then a mixed rest.
`ramp`
    Attacks in the order in which the source model finds them live, least first, between genuine sessions; then a mixed
    rest.
`replay-accepted`
    The attack that the source model finds most live, again and again, between genuine sessions; then a mixed rest.
`forced-refuse`
    Away, then attacks on the same people through a camera too far off to learn from, then a mixed rest of away: what
    was learnt before must still be there, and nothing must have been learnt in between.
`drain`
    Home, twice over and without a pause between sessions (spends the budget), then away.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ratta.errors import DataError, InputError
from ratta.evaluate.sessions import change_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ratta.evaluate.sessions import CropSession

    Sessions = Sequence[CropSession]
    Rank = Callable[[CropSession], float]
    Phase = tuple[str, Sessions]

PAUSE_S = 30.0
"""Time between two sessions."""
RUSH_S = 0.1
"""The same where somebody means to spend the budget."""
LIVE_HEAVY, ATTACK_HEAVY = 10, 5
"""Sessions of the common class to one of the rare class."""
FAR_CHANGE = "infrared"
"""The camera change that nobody should learn from."""
CONFIRMING = 1
"""Sets the draws of confirmations apart from those of the order."""
REST_SHARE = 0.4
"""Share of the subjects kept for the mixed rest after a flood."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamSession:
    """A session at its place in a stream.

    Attributes
    ----------
    session : CropSession
    phase : str
        Which part of the stream it belongs to, such as "home", "away", "flood" or "rest".
    start_s : float
        When its first frame comes.
    confirmed : bool
        Whether it is confirmed as live after its end.
    """

    session: CropSession
    phase: str
    start_s: float
    confirmed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """An ordered list of sessions."""

    kind: str
    sessions: tuple[StreamSession, ...]

    def __len__(self) -> int:
        """Frames in all."""
        return sum(len(one.session) for one in self.sessions)

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases in the order of their first session."""
        return tuple(dict.fromkeys(one.phase for one in self.sessions))


def build_stream(
    kind: str,
    *,
    away: Sessions,
    home: Sessions = (),
    seed: int,
    rank: Rank | None = None,
    frames: int | None = None,
    confirm: float = 0.0,
) -> Stream:
    """Build a stream.

    Parameters
    ----------
    kind : str
        See the module.
    away : sequence of CropSession
        The target camera.
    home : sequence of CropSession
        The source camera; needed by `sudden`, `gradual`, `return` and `drain`. Never the development set: the
        threshold was chosen there.
    seed : int
        Same seed, same stream.
    rank : callable, optional
        From a session to the source model's live score; needed by `ramp` and `replay-accepted`.
    frames : int, optional
        Cut the stream, or repeat it, to this many frames.
    confirm : float
        Share of the live sessions that are confirmed as live after their end, in [0, 1]. Drawn by the seed, and no
        part of the order: what a lower share confirms, a higher one does too.

    Raises
    ------
    InputError
        If there is no such kind, or it needs what was not given.
    DataError
        If the sessions hold too few subjects or lack a class the kind is made of.
    """
    if kind not in KINDS:
        raise InputError(f"stream: expected one of {', '.join(KINDS)}, got {kind!r}")
    make, needs_home, needs_rank = KINDS[kind]
    if needs_home and not home:
        raise InputError(f"stream {kind}: expected home sessions, got none; give the source camera's test sessions")
    if needs_rank and rank is None:
        raise InputError(f"stream {kind}: expected a ranking by the source model, got none")
    if not 0 <= confirm <= 1:
        raise InputError(f"stream {kind}: confirm: expected a share in [0, 1], got {confirm}")
    rng = np.random.default_rng(seed)
    ranked = rank or (lambda _: 0.0)
    phases = list(make(_shuffled(home, rng), _shuffled(away, rng), rng, ranked))
    if not any(sessions for _, sessions in phases):
        raise DataError(f"stream {kind}: expected sessions, got none")
    return Stream(kind, tuple(_confirmed(_timed(phases, frames), confirm, np.random.default_rng([seed, CONFIRMING]))))


def _confirmed(sessions: Iterable[StreamSession], share: float, rng: np.random.Generator) -> Iterator[StreamSession]:
    for one in sessions:
        drawn = rng.random() < share
        yield replace(one, confirmed=one.session.is_live and drawn)


def _timed(phases: Iterable[Phase], frames: int | None) -> Iterator[StreamSession]:
    flat = [(phase, session) for phase, sessions in phases for session in sessions]
    now_s, total = 0.0, 0
    while frames is None or total < frames:
        for phase, session in flat:
            one = session if frames is None else session.take(slice(0, frames - total))
            yield StreamSession(one, phase, now_s)
            now_s += float(one.t[-1]) + (RUSH_S if phase == "rush" else PAUSE_S)
            total += len(one)
            if frames is not None and total >= frames:
                break
        if frames is None:
            break


def _shuffled(sessions: Sessions, rng: np.random.Generator) -> list[CropSession]:
    return [sessions[i] for i in rng.permutation(len(sessions))]


def _iid(_: Sessions, away: Sessions, rng: np.random.Generator, __: Rank) -> Iterator[Phase]:
    places = [(s, i) for s, one in enumerate(away) for i in range(len(one))]
    order = [places[i] for i in rng.permutation(len(places))]
    yield "away", [away[s].take(np.array([i]), name=f"{away[s].name}#{i}") for s, i in order]


def _sessions(_: Sessions, away: Sessions, __: np.random.Generator, ___: Rank) -> Iterator[Phase]:
    yield "away", away


def _sudden(home: Sessions, away: Sessions, _: np.random.Generator, __: Rank) -> Iterator[Phase]:
    yield "home", home
    yield "away", away


def _gradual(home: Sessions, away: Sessions, rng: np.random.Generator, _: Rank) -> Iterator[Phase]:
    queues = [list(home), list(away)]
    total = len(home) + len(away)
    for i in range(total):
        share = np.clip(2 * i / total - 0.5, 0, 1)
        pick = int(rng.random() < share)
        queue = queues[pick] or queues[1 - pick]
        yield ("home" if queue is queues[0] else "away"), [queue.pop(0)]


def _return(home: Sessions, away: Sessions, _: np.random.Generator, __: Rank) -> Iterator[Phase]:
    half = len(home) // 2
    yield "home", home[:half]
    yield "away", away
    yield "home again", home[half:]


def _flood(live: bool) -> Callable[[Sessions, Sessions, np.random.Generator, Rank], Iterator[Phase]]:
    def make(_: Sessions, away: Sessions, __: np.random.Generator, ___: Rank) -> Iterator[Phase]:
        first, rest = _split(away)
        yield "flood", _of(first, live=live)
        yield "rest", rest

    return make


def _heavy(common: int, *, live: bool) -> Callable[[Sessions, Sessions, np.random.Generator, Rank], Iterator[Phase]]:
    def make(_: Sessions, away: Sessions, __: np.random.Generator, ___: Rank) -> Iterator[Phase]:
        first, rest = _split(away)
        many, few = _of(first, live=live), _of(first, live=not live)
        kept = _by_turns(few)[: max(1, len(many) // common)]
        yield "mixture", _interleaved(many[: common * len(kept)], kept)
        yield "rest", rest

    return make


def _forced_refuse(_: Sessions, away: Sessions, __: np.random.Generator, ___: Rank) -> Iterator[Phase]:
    first, rest = _split(away)
    yield "away", first
    yield "forced", [change_session(one, FAR_CHANGE) for one in _of(first, live=False)]
    yield "rest", rest


def _alternate(_: Sessions, away: Sessions, __: np.random.Generator, ___: Rank) -> Iterator[Phase]:
    first, rest = _split(away)
    live, attacks = _of(first, live=True), _of(first, live=False)
    for i in range(0, max(len(live), len(attacks)), 8):
        yield "trip", live[i : i + 8]
        yield "poison", attacks[i : i + 8]
    yield "rest", rest


def _ramp(_: Sessions, away: Sessions, __: np.random.Generator, rank: Rank) -> Iterator[Phase]:
    first, rest = _split(away)
    yield "ramp", _interleaved(_of(first, live=True), sorted(_of(first, live=False), key=rank))
    yield "rest", rest


def _replay_accepted(_: Sessions, away: Sessions, __: np.random.Generator, rank: Rank) -> Iterator[Phase]:
    first, rest = _split(away)
    live, attacks = _of(first, live=True), _of(first, live=False)
    best = max(attacks, key=rank)
    yield "replay", _interleaved(live, [best] * max(len(live), len(attacks)))
    yield "rest", rest


def _drain(home: Sessions, away: Sessions, _: np.random.Generator, __: Rank) -> Iterator[Phase]:
    yield "rush", [*home, *home]
    yield "away", away


KINDS = {
    "iid": (_iid, False, False),
    "sessions": (_sessions, False, False),
    "sudden": (_sudden, True, False),
    "gradual": (_gradual, True, False),
    "return": (_return, True, False),
    "live-only": (_flood(live=True), False, False),
    "attack-only": (_flood(live=False), False, False),
    "live-heavy": (_heavy(LIVE_HEAVY, live=True), False, False),
    "attack-heavy": (_heavy(ATTACK_HEAVY, live=False), False, False),
    "forced-refuse": (_forced_refuse, False, False),
    "alternate": (_alternate, False, False),
    "ramp": (_ramp, False, True),
    "replay-accepted": (_replay_accepted, False, True),
    "drain": (_drain, True, False),
}


def _of(sessions: Sessions, *, live: bool) -> list[CropSession]:
    found = [one for one in sessions if one.is_live == live]
    if not found:
        raise DataError(f"stream: expected {'bona fide' if live else 'attack'} sessions, got none in this part")
    return found


def _by_turns(sessions: Sessions) -> list[CropSession]:
    """Let the species take turns, so that a short beginning holds all of them."""
    turns: Counter[str] = Counter()
    tagged = []
    for place, one in enumerate(sessions):
        tagged.append((turns[one.species], place, one))
        turns[one.species] += 1
    return [one for *_, one in sorted(tagged, key=lambda entry: entry[:2])]


def _split(sessions: Sessions) -> tuple[list[CropSession], list[CropSession]]:
    """Subjects for the flood, and others for the rest, so that nobody is remembered."""
    subjects = list(dict.fromkeys(one.subject for one in sessions))
    if len(subjects) < 2:
        raise DataError(f"stream: expected at least 2 subjects, got {len(subjects)}; the rest needs people of its own")
    kept = set(subjects[: max(1, round(REST_SHARE * len(subjects)))])
    return [s for s in sessions if s.subject not in kept], [s for s in sessions if s.subject in kept]


def _interleaved(first: Sessions, second: Sessions) -> list[CropSession]:
    """Alternate between two lists, the shorter one spread over the longer."""
    tagged = [((i + 0.5) / len(one), k, i, s) for k, one in enumerate((first, second)) for i, s in enumerate(one)]
    return [session for *_, session in sorted(tagged, key=lambda entry: entry[:3])]
