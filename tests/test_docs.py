"""The pages: links and anchors lead somewhere, figures are those of the results, versions agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ratta

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")


@pytest.fixture(scope="module")
def pages() -> list[Path]:
    """Every Markdown page of the repository that is read by people."""
    if not (ROOT / "mkdocs.yml").is_file():
        pytest.skip("the documentation is no part of the installed package")
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/*.md"), *ROOT.glob("examples/*.md")]
    return [*found, *ROOT.glob("bench/results/**/*.md")]


def prose(page: Path) -> str:
    """The page without code."""
    return CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").strip().lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def test_every_relative_link_leads_to_a_file_and_an_anchor(pages):
    """Without asking the network."""
    broken = []
    for page in pages:
        for match in LINK.finditer(prose(page)):
            target, _, anchor = match["target"].partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (page.parent / target).resolve() if target else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {match['target']}")
    assert broken == []


def test_every_page_is_in_the_navigation(pages):
    """And the navigation names no page that is not there."""
    named = set(re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert {page.name for page in pages if page.parent == ROOT / "docs"} == named


def test_every_figure_is_that_of_a_committed_result(pages):
    """`bench/table.py --check`: tables and figures between markers, and the model they were measured with."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "table.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_versions_agree(pages):
    """Package, metadata, citation and changelog name one version."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    dated = re.findall(
        r"^## (\S+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {metadata, citation[1], dated[0]} == {ratta.__version__}


def test_lines_of_prose_fit_100_columns(pages):
    """Tables, code, links that cannot be broken and what is generated are left out."""
    long = []
    for page in pages:
        if page.parent not in (ROOT, ROOT / "docs") or page.name in ("README.md", "CHANGELOG.md"):
            continue
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        text = re.sub(r"<!-- bench: .*?<!-- /bench -->", "", text, flags=re.DOTALL)
        unbreakable = ("](http", "<!--")
        lines = [line for line in text.splitlines() if not line.startswith(("|", "    "))]
        lines = [line for line in lines if not any(part in line for part in unbreakable)]
        long += [f"{page.name}: {line[:60]}" for line in lines if len(line) > 100]
    assert long == []
