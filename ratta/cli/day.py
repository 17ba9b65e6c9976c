"""The demo's day in front of a new camera, in lines for the terminal and sentences for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratta.camera.day import CAMERA, FRAMES, LIGHT, play_day, simulate_day
from ratta.cli.paint import level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.adaptation.controller import Controller
    from ratta.camera.day import Moment
    from ratta.contract import Contract

NOT_ADAPTABLE = "This model gives no embedding, so it cannot adapt and there is nothing to show."
ABOUT = (
    f"The one real face in front of one simulated camera ({CAMERA}, {LIGHT}), {FRAMES} frames an attempt, a minute "
    "apart. Twenty unlocks are confirmed as by a passcode and learnt. Then the same person comes again, and then "
    "prints and screens with her picture. A dot is an attempt's score as answered; a ring is what the source alone "
    "would have said, where that differs. Anchors only deny: no dot lies above its ring."
)


def show_day(adapter: Controller | None, contract: Contract, *, seed: int) -> list[Moment]:
    """Play the day and print it: a mark an attempt, then a row a phase, then what came of it."""
    print("\n  A day in front of a new camera\n")
    if adapter is None:
        print(f"  {NOT_ADAPTABLE}")
        return []
    shown: list[Moment] = []

    def mark(moment: Moment) -> None:
        if not shown or shown[-1].phase is not moment.phase:
            print(f"{chr(10) if shown else ''}  {moment.phase.name:<27}", end="")
        shown.append(moment)
        print(level(moment.score), end="", flush=True)

    moments = play_day(adapter, simulate_day(contract, seed=seed), on_moment=mark)
    print("\n\n  one mark per attempt: its height is the live score as answered\n")
    _print_table(moments)
    print(f"\n  {day_summary(moments)}")
    return moments


def day_summary(moments: Sequence[Moment]) -> str:
    """Say what came of the day; nothing but what happened.

    Returns
    -------
    str
        `NOT_ADAPTABLE` of no moments.
    """
    if not moments:
        return NOT_ADAPTABLE
    last, sentences = moments[-1], []
    live = [m for m in moments if m.species == "live" and not m.phase.confirmed]
    attacks = [m for m in moments if m.species != "live"]
    sentences.append(f"{last.learnt} live sessions were learnt.")
    if live:
        sentences.append(
            f"Of {len(live)} further unlocks the source accepts {_accepted(live, source=True)}, the adapted engine "
            f"{_accepted(live)}."
        )
    if attacks:
        sentences.append(
            f"Of {len(attacks)} simulated prints and screens the source accepts {_accepted(attacks, source=True)}, the "
            f"adapted engine {_accepted(attacks)}."
        )
    share = last.spent_ms / (10 * last.elapsed_s)
    sentences.append(f"Learning took {last.spent_ms:.0f} ms of {last.elapsed_s / 60:.0f} minutes, {share:.3f} %.")
    return " ".join(sentences)


def _accepted(moments: Sequence[Moment], *, source: bool = False) -> int:
    return sum(m.accepted_by_source if source else m.accepted for m in moments)


def _print_table(moments: Sequence[Moment]) -> None:
    heads = f"{'attempts':>9}{'drift':>8}{'learnt':>8}{'source accepts':>16}{'adapted accepts':>17}{'denied':>8}"
    print(f"  {'':<27}{heads}")
    for phase in dict.fromkeys(m.phase for m in moments):
        of = [m for m in moments if m.phase is phase]
        print(
            f"  {phase.name:<27}{len(of):>9}{of[-1].band:>8}{of[-1].learnt:>8}{_accepted(of, source=True):>16}"
            f"{_accepted(of):>17}{sum(m.denied for m in of):>8}"
        )
