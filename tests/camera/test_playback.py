"""Played sessions, and the sheet and the page that are made of them."""

import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from ratta.camera.chart import score_chart
from ratta.camera.page import PageText, demo_page
from ratta.camera.playback import Scene, StageTimes, play, time_stages
from ratta.camera.sheet import contact_sheet
from ratta.decision import Policy
from ratta.records import Reason, Verdict

TEXT = PageText(
    heading="A <heading>", summary="2 & 2", honest="It is a simulation.", device="a test", day="", day_about=""
)


def scene(frames, kind, expected, count=30):
    return Scene(f"a {kind}", "about it", expected, [(i / 10, f) for i, f in enumerate(frames(kind, count))])


@pytest.fixture
def takes(engine, frames):
    return [
        play(engine, scene(frames, "live", Verdict.LIVE)),
        play(engine, scene(frames, "spoof", Verdict.SPOOF)),
        play(engine, scene(frames, "none", Verdict.REFUSED, count=5)),
        play(engine, scene(frames, "spoof", Verdict.LIVE, count=4)),
    ]


def test_a_scene_is_played_until_its_verdict_is_final(takes):
    """Or until it is over, and then the session is closed."""
    assert [t.verdict for t in takes] == [Verdict.LIVE, Verdict.SPOOF, Verdict.REFUSED, Verdict.UNCERTAIN]
    assert [t.reason for t in takes] == [Reason.STABLE, Reason.STABLE, Reason.NO_FACE, Reason.GATHERING]
    assert [t.as_expected for t in takes] == [True, True, True, False]
    assert [len(t.decisions) for t in takes] == [13, 13, 5, 4]
    assert takes[0].final_s == 1.2
    assert math.isnan(takes[2].final_s)
    assert math.isnan(takes[2].session_score)


def test_each_decision_is_told_and_timed(engine, frames):
    """Once each; of a frame that is refused only perception costs time."""
    told, ticks = [], iter(range(1000))
    take = play(
        engine, scene(frames, "none", Verdict.REFUSED, count=3), on_decision=told.append, clock=lambda: next(ticks)
    )
    assert tuple(told) == take.decisions
    assert take.stages.total_ms == take.stages.perception_ms == 1000


def test_stages_are_timed_by_room(engine, frames):
    """A refused frame costs perception alone."""
    ticks = iter(range(1000))

    def timed(kind):
        return [(i / 10, frame) for i, frame in enumerate(frames(kind, 2))]

    scored = time_stages(engine, timed("live"), clock=lambda: next(ticks))
    refused = time_stages(engine, timed("none"), clock=lambda: next(ticks))
    assert scored == StageTimes(1000, 1000, 1000)
    assert scored.total_ms == 3000
    assert refused.perception_ms == 1000
    assert math.isnan(refused.inference_ms)
    assert math.isnan(refused.decision_ms)


def test_the_sheet_has_a_row_for_each_take(takes):
    """A header and equal rows."""
    heights = [contact_sheet(takes[:n], title="t", note="n").shape[0] for n in (1, 2, 3)]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 200
    assert contact_sheet(takes, title="t", note="n").dtype == np.uint8


def test_the_chart_is_well_formed_and_holds_every_frame(takes):
    """A dot for a score, a tick for a refusal, a line for the session, bands at the thresholds."""
    for take in takes:
        chart = score_chart(take.decisions, spoof_threshold=0.4, live_threshold=0.6, title='"live" & <spoof>')
        root = ElementTree.fromstring(chart)
        classes = [element.get("class", "") for element in root]
        dots = [c for c in classes if c.startswith("dot ")]
        assert dots == [f"dot {d.verdict}" for d in take.decisions]
        assert [c for c in classes if c.startswith("band")] == ["band spoof", "band uncertain", "band live"]
        assert classes.count("session") == (take.decisions[-1].scored_frames > 0)
        assert classes.count("final") == take.decisions[-1].final


class Page(HTMLParser):
    """Collects what a page refers to and checks that its tags close."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.tags = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_holds_everything_itself(engine, takes):
    """No script, no link, no font or picture from elsewhere; every tag closes; text is escaped."""
    text = demo_page(takes, moments=(), bundle=engine.bundle, policy=engine.policy, text=TEXT)
    page = Page(text)
    assert page.open == []
    assert page.references.pop(0) == "decisions.jsonl"  # beside it
    assert len(page.references) == len(takes)
    assert all(r.startswith("data:image/jpeg;base64,") for r in page.references)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert "A &lt;heading&gt;" in text
    assert "2 &amp; 2" in text
    assert "prefers-color-scheme: dark" in text
    assert page.tags.count("article") == len(takes)
    assert text.count("<dt>missed, expected</dt><dd>live</dd>") == text.count('<article class="card missed">') == 1


def test_a_session_that_stays_between_the_thresholds_says_so(engine, frames, monkeypatch):
    """Its reason is that of its last frame, not that it was broken off."""
    monkeypatch.setattr(
        engine, "policy", Policy(live_threshold=0.999, spoof_threshold=0.001, max_logit=8.0, timeout_s=60.0)
    )
    take = play(engine, scene(frames, "live", Verdict.LIVE, count=20))
    assert (take.verdict, take.reason) == (Verdict.UNCERTAIN, Reason.BETWEEN_THRESHOLDS)
