"""The demo's report: one HTML file that holds everything it shows and asks nothing of the network."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ratta.camera.chart import cost_bar, day_chart, score_chart
from ratta.camera.recorder import encode_picture
from ratta.media.opencv import opencv
from ratta.page import page, table, today

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.bundle import Bundle
    from ratta.camera.day import Moment
    from ratta.camera.playback import StageTimes, Take
    from ratta.decision import Policy
    from ratta.records import Decision

TEMPLATE = Path(__file__).parent / "assets" / "page.html"
PICTURE_WIDTH = 640
STAGES = {
    "perception": "find, check and cut out the face",
    "inference": "run the network",
    "decision": "weigh the evidence",
}


@dataclass(frozen=True, slots=True)
class PageText:
    """What the page says in words.

    Attributes
    ----------
    heading, summary : str
        At the top.
    honest : str
        What the demo proves and what it does not.
    device : str
        What the times were measured on.
    day : str
        What came of the day in front of a new camera.
    day_about : str
        How that day was made.
    """

    heading: str
    summary: str
    honest: str
    device: str
    day: str
    day_about: str


def demo_page(
    takes: Sequence[Take], *, moments: Sequence[Moment], bundle: Bundle, policy: Policy, text: PageText
) -> str:
    """Make the page.

    Parameters
    ----------
    takes : sequence of Take
        The costs are those of the first.
    moments : sequence of Moment
        Of the day in front of a new camera; empty where the model cannot adapt.
    bundle : Bundle
        The model that answered.
    policy : Policy
        Its thresholds.
    text : PageText

    Returns
    -------
    str
        An HTML document without references to anything outside it.
    """
    body = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        honest=escape(text.honest),
        device=escape(text.device),
        day=escape(text.day),
        day_about=escape(text.day_about),
        day_chart=_day(moments, policy) if moments else "",
        cards="\n".join(_card(take, policy) for take in takes),
        live_threshold=f"{policy.live_threshold:.2f}",
        spoof_threshold=f"{policy.spoof_threshold:.2f}",
        origin=escape(bundle.calibration.origin),
        cost=cost_bar(takes[0].stages),
        cost_key=_cost_key(takes[0].stages),
        model=f"Model {escape(bundle.name)} {escape(bundle.version)}, <code>{bundle.sha256}</code>",
    )
    facts = {"date": today(), "model": f"{bundle.name} {bundle.version}", "decisions": "decisions.jsonl"}
    return page(text.heading, body, summary=text.summary, facts=facts)


def _card(take: Take, policy: Policy) -> str:
    verdict, last = take.verdict.value, take.decisions[-1]
    chart = score_chart(
        take.decisions,
        spoof_threshold=policy.spoof_threshold,
        live_threshold=policy.live_threshold,
        title=f"{take.scene.shown}: score over time, ends {verdict}",
    )
    facts = {
        "reason": take.reason.value,
        "session score": f"{last.session_score:.2f}" if last.scored_frames else "none",
        "expected" if take.as_expected else "missed, expected": take.scene.expected.value,
        "frames scored": f"{last.scored_frames} of {len(take.decisions)}",
        "final after": f"{take.final_s:.1f} s" if math.isfinite(take.final_s) else "not final",
        "per frame": f"{take.stages.total_ms:.1f} ms",
    }
    entries = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    kind = "card" if take.as_expected else "card missed"
    return (
        f'<article class="{kind}"><img alt="{escape(take.scene.shown)}, as the camera saw it" src="{_picture(take)}">'
        f'<div class="inside"><div class="head"><h3>{escape(take.scene.shown)}</h3>'
        f'<span class="chip {verdict}">{verdict.upper()}</span></div>'
        f'<p class="soft small">{escape(take.scene.about)}</p><dl>{entries}</dl>{chart}{_frames(take.decisions)}'
        "</div></article>"
    )


def _day(moments: Sequence[Moment], policy: Policy) -> str:
    chart = day_chart(moments, threshold=policy.live_threshold, title="a day in front of a new camera")
    phases = list(dict.fromkeys(m.phase for m in moments))
    rows = [_day_row(i, [m for m in moments if m.phase is phase]) for i, phase in enumerate(phases, 1)]
    names = ("part", "attempts", "drift", "sessions learnt", "source accepts", "adapted accepts", "denied")
    return f"{chart}{table(names, rows)}"


def _day_row(number: int, of: Sequence[Moment]) -> tuple[object, ...]:
    end = of[-1]
    source, adapted, denied = (sum(getattr(m, n) for m in of) for n in ("accepted_by_source", "accepted", "denied"))
    return (f"{number} {end.phase.name}", len(of), end.band, end.learnt, source, adapted, denied)


def _frames(decisions: Sequence[Decision]) -> str:
    rows = "".join(
        f"<tr><td>{d.t:.2f}</td><td>{_number(d.live_score)}</td><td>{_number(d.session_score)}</td>"
        f'<td class="{d.verdict}">{d.verdict}</td><td>{escape(d.reason)}</td></tr>'
        for d in decisions
    )
    head = "<tr><th>time, s</th><th>frame</th><th>session</th><th>verdict</th><th>reason</th></tr>"
    return f'<details><summary>Frame by frame</summary><div class="scroll"><table>{head}{rows}</table></div></details>'


def _cost_key(stages: StageTimes) -> str:
    spent = {"perception": stages.perception_ms, "inference": stages.inference_ms, "decision": stages.decision_ms}
    return "".join(
        f'<span><i class="{stage}"></i>{STAGES[stage]}: <b>{ms:.2f} ms</b></span>'
        for stage, ms in spent.items()
        if math.isfinite(ms)
    )


def _picture(take: Take) -> str:
    picture = take.picture(len(take.frames) - 1)
    height = round(picture.shape[0] * PICTURE_WIDTH / picture.shape[1])
    small = opencv().resize(picture, (PICTURE_WIDTH, height), interpolation=opencv().INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(encode_picture(small, ".jpg", quality=82)).decode("ascii")


def _number(score: float) -> str:
    return f"{score:.2f}" if math.isfinite(score) else "–"
