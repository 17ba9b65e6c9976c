import os
from pathlib import Path

import pytest

PHONE = ("termux-battery-status", "getprop")


@pytest.fixture(autouse=True)
def no_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No phone's commands on the path, even on a phone: where a test runs must not decide what it finds."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    kept = [folder for folder in folders if not any(Path(folder, command).exists() for command in PHONE)]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))
