"""A toy network that reads its answer off a crop of one colour, so that every number can be reckoned by hand."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from ratta.adaptation.budget import Allowance, Budget
from ratta.adaptation.controller import Controller
from ratta.adaptation.source import SourceReference, Space
from ratta.decision import Policy
from ratta.records import Reading, logit

SIZE = 4
POLICY = Policy(live_threshold=0.6, spoof_threshold=0.4)
LIVE_LOGIT = logit(POLICY.live_threshold)
PLENTY = Allowance(refill_per_s=1e3, capacity=1e6, per_session=1e6, per_hour=1e9, per_day=1e9)
ME, STRANGER, SCREEN = (140, 140), (180, 100), (30, 220)
"""Where embeddings lie: the owner, another person, and an attack that the source takes for live."""


def crop(red: float, green: float, blue: float) -> tuple[np.ndarray, ...]:
    """Crops of a frame that the toy network reads as `z = (red, green) / 16` and log-odds `(blue - 100) / 16`."""
    return (np.full((SIZE, SIZE, 3), (red, green, blue), np.uint8),)


class ToyNetwork:
    """Reads the colour of the first pixel; counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def read(self, pixels: tuple[np.ndarray, ...]) -> Reading:
        self.runs += 1
        red, green, blue = pixels[0][0, 0].astype(float).tolist()
        live_logit = (blue - 100) / 16
        embedding = np.array([red / 16, green / 16], np.float32)
        return Reading(np.array([0, live_logit], np.float32), embedding, None, live_logit)


SOURCE = SourceReference(Space(np.full(2, 120 / 16, np.float32), np.eye(2, dtype=np.float32)))


def make_controller(**arguments) -> Controller:
    """Make a controller over the toy, with all the budget it may want once `t` has gone on."""
    return Controller(
        arguments.pop("network", None) or ToyNetwork(),
        arguments.pop("reference", SOURCE),
        live_logit=LIVE_LOGIT,
        budget=arguments.pop("budget", None) or Budget(watts=1.0, time=PLENTY),
        clock=arguments.pop("clock", lambda: 0.0),
        **arguments,
    )


@dataclass
class Stream:
    """Attempts one after the other on one controller, on a clock of their own."""

    adapter: Controller
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    t: float = 0.0

    def __post_init__(self) -> None:
        self.adapter.idle(self.t)  # the budget's clock begins

    def attempt(self, place=ME, *, blue: float = 180, frames: int = 8, spread: float = 4.0):
        """Play an attempt to its end; what it was answered, as pairs (source's log-odds, answer's)."""
        attempt, answers = self.adapter.begin(), []
        for _ in range(frames):
            self.t += 0.25
            colour = np.clip((*(np.array(place) + self.rng.normal(0, spread, 2)), blue + self.rng.normal(0, 4)), 0, 255)
            pixels = crop(*colour)
            source = ToyNetwork().read(pixels).live_logit
            answers.append((source, self.adapter.read(attempt, pixels, t=self.t).live_logit))
        self.adapter.end(attempt, t=self.t)
        return attempt, answers

    def session(self, place=ME, *, confirmed: bool | None = None, **how):
        """Play an attempt, confirm it where something is known, and let all be learnt; its answers."""
        attempt, answers = self.attempt(place, **how)
        if confirmed is not None:
            self.adapter.confirm(attempt, is_live=confirmed)
        self.t += 100
        self.adapter.idle(self.t)
        return answers


def lowered_share(answers) -> float:
    """Share of the answers that differ from the source's, from the fifth slot on: before it none may."""
    assert all(answer == source for source, answer in answers[:4])
    return float(np.mean([answer < source for source, answer in answers[4:]]))


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """All of the above, for tests."""
    return SimpleNamespace(
        crop=crop,
        Network=ToyNetwork,
        controller=make_controller,
        Stream=Stream,
        lowered=lowered_share,
        source=SOURCE,
        policy=POLICY,
        live_logit=LIVE_LOGIT,
        plenty=PLENTY,
        me=ME,
        stranger=STRANGER,
        screen=SCREEN,
    )


@pytest.fixture
def stream() -> Stream:
    return Stream(make_controller())


@pytest.fixture
def learnt(stream) -> Stream:
    """A stream whose anchors have learnt twenty confirmed sessions of one person."""
    for _ in range(20):
        stream.session(confirmed=True)
    return stream
