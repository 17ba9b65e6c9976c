"""Trees of empty files in the layouts of the corpora."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Plant = Callable[[Iterable[str]], Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Make empty files (or, after `=`, files with that text) under a fresh folder, and return it."""

    def make(entries: Iterable[str]) -> Path:
        for entry in entries:
            name, _, text = entry.partition("=")
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make
