"""The demo's day before a camera that changes, in lines for the terminal and sentences for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratta.camera.day import FRAMES, SESSIONS, play_day, simulate_sessions
from ratta.cli.paint import level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.adaptation.adapter import Adapter
    from ratta.camera.day import Moment, Phase
    from ratta.contract import Contract

NOT_CALIBRATED = "This model is not calibrated for adaptation, so there is nothing to show."
ABOUT = (
    f"{SESSIONS} simulated sessions of {FRAMES} frames of the one real face, live, printed and on a screen, shown "
    "again and again as crops, half a minute apart; the other camera is a change of tone laid over them. The line is "
    "the evidence of drift, from 0 to the alarm at 1; a dot is an attempt's score, in the color of what it truly was; "
    "a broken line is a commit. Errors are frames on the wrong side of the threshold. The source model is the frozen "
    "one, on the same frames."
)


def show_day(adapter: Adapter | None, contract: Contract, *, seed: int) -> list[Moment]:
    """Play the day and print it: a mark an attempt, then a row a phase, then what came of it."""
    print("\n  A change of camera\n")
    if adapter is None:
        print(f"  {NOT_CALIBRATED}")
        return []
    sessions = simulate_sessions(contract, seed=seed)
    shown: list[Moment] = []

    def mark(moment: Moment) -> None:
        if not shown or shown[-1].phase is not moment.phase:
            print(f"{chr(10) if shown else ''}  {moment.phase.name:<27}", end="")
        shown.append(moment)
        print(level(moment.drift), end="", flush=True)

    moments = play_day(adapter, sessions, on_moment=mark)
    print("\n\n  one mark per attempt: its height is the evidence of drift, full at the alarm\n")
    _print_table(moments)
    print(f"\n  {day_summary(moments)}")
    return moments


def day_summary(moments: Sequence[Moment]) -> str:
    """Say what came of the day; nothing but what happened.

    Returns
    -------
    str
        `NOT_CALIBRATED` of no moments.
    """
    if not moments:
        return NOT_CALIBRATED
    sentences = [_learning(moments), _flood(moments)]
    last = moments[-1]
    share = last.spent_ms / (10 * last.elapsed_s)
    sentences.append(f"Learning took {last.spent_ms:.0f} ms of {last.elapsed_s / 60:.0f} minutes, {share:.3f} %.")
    return " ".join(sentence for sentence in sentences if sentence)


def _learning(moments: Sequence[Moment]) -> str:
    shifted = [m for m in moments if m.phase.change and not m.phase.attacks_only]
    if not shifted:
        return ""
    end = shifted[-1]
    noticed = next((i for i, m in enumerate(shifted, 1) if m.band != "in"), None)
    if noticed is None:
        return f"The change was not noticed in {len(shifted)} attempts, so nothing was learnt and the source answered."
    found = f"The change was noticed at attempt {noticed} ({shifted[noticed - 1].band})."
    if not end.admitted:
        return f"{found} The gate let no frame teach ({end.refused} refused): the source answered everything."
    if not end.commits:
        return (
            f"{found} {end.admitted} frames were let teach, {end.refused} were not; of {end.tried} candidates none "
            "passed its trial: the source answered everything."
        )
    first = next(i for i, m in enumerate(shifted, 1) if m.commits)
    after = shifted[first:] or shifted[-1:]
    source, answered, frames = (sum(getattr(m, n) for m in after) for n in ("wrong_by_source", "wrong", "frames"))
    return (
        f"{found} {end.admitted} frames were let teach, {end.refused} were not; {end.commits} of {end.tried} "
        f"candidates were committed, the first at attempt {first}. From there on {answered} of {frames} frames "
        f"were answered wrongly; the source would have erred on {source}."
    )


def _flood(moments: Sequence[Moment]) -> str:
    flood = [m for m in moments if m.phase.attacks_only]
    if not flood:
        return ""
    end = flood[-1]
    source, answered, frames = (sum(getattr(m, n) for m in flood) for n in ("wrong_by_source", "wrong", "frames"))
    moved = "nothing moved" if not end.commits else f"{end.commits} of {end.tried} candidates were committed"
    return (
        f"Then {len(flood)} attacks in a row: {moved}; {answered} of {frames} frames passed as live, "
        f"{source} by the source."
    )


def _print_table(moments: Sequence[Moment]) -> None:
    phases: dict[str, Phase] = {m.phase.name: m.phase for m in moments}
    print(
        f"  {'':<27}{'drift':<9}{'labels':>8}{'refused':>9}{'tried':>7}{'committed':>11}{'errors':>9}{'by source':>11}"
    )
    for phase in phases.values():
        of = [m for m in moments if m.phase is phase]
        end = of[-1]
        print(
            f"  {phase.name:<27}{end.band:<9}{end.admitted:>8}{end.refused:>9}{end.tried:>7}{end.commits:>11}"
            f"{sum(m.wrong for m in of):>9}{sum(m.wrong_by_source for m in of):>11}"
        )
