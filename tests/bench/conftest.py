import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PHONE = ("termux-battery-status", "getprop")


@pytest.fixture(autouse=True)
def no_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No phone's commands on the path, even on a phone: where a test runs must not decide what it finds."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    kept = [folder for folder in folders if not any(Path(folder, command).exists() for command in PHONE)]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


@pytest.fixture
def feature_sessions() -> Callable[..., list[object]]:
    """Sessions of five frames in four directions; attacks lie `apart` from the live ones."""
    from feature_streams import FeatureSession

    def make(*, people: int, each: tuple[bool, ...], apart: float, spread: float, logit: float) -> list[object]:
        rng = np.random.default_rng(0)
        return [
            FeatureSession(
                rng.normal(0 if live else apart, spread, (5, 4)).astype(np.float32),
                np.full(5, logit),
                live,
                "" if live else "print",
                person,
            )
            for person in range(people)
            for live in each
        ]

    return make
