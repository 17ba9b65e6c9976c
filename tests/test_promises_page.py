"""docs/security.md: every promise names its tests, and each of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.fixture(scope="module")
def page():
    path = ROOT / "docs" / "security.md"
    if not path.is_file():
        pytest.skip("the documentation is no part of the installed package")
    return path.read_text(encoding="utf-8")


def test_every_promise_names_a_test(page):
    """Each row of each table."""
    rows = [line for line in page.splitlines() if line.startswith("| ") and line != "| promise | test |"]
    assert len(rows) > 30
    assert [row for row in rows if not NAME.search(row.split("|")[2])] == []


def test_every_named_test_exists(page):
    """In the file that is named."""
    missing = []
    for file, name in NAME.findall(page):
        text = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
        if f"def {name}(" not in text and f"\n{name} = " not in text:
            missing.append(f"{file}::{name}")
    assert missing == []
