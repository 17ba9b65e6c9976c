"""The frame of every HTML page that ratta writes: one style, one file, nothing fetched."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STYLE = Path(__file__).parent / "assets" / "page.css"


def page(title: str, body: str, *, summary: str, facts: Mapping[str, str]) -> str:
    """Return an HTML document without references to anything outside its folder.

    Parameters
    ----------
    title, summary : str
        Plain text: the heading and the sentence below it.
    body : str
        HTML.
    facts : mapping of str to str
        Plain text; a value like `results.json` that names a file beside the page becomes a link.

    Examples
    --------
    >>> "<h1>A &amp; B</h1>" in page("A & B", "<p>text</p>", summary="", facts={})
    True
    """
    entries = "".join(f"<span>{escape(name)}: <b>{_fact(value)}</b></span>" for name, value in facts.items())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n<header>\n"
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(summary)}</p>\n<div class="facts">{entries}</div>\n'
        f"</header>\n{body}\n</main>\n</body>\n</html>\n"
    )


def table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """Return a table of plain text that scrolls sideways where a screen is narrow; figures to the right."""
    top = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in line) + "</tr>" for line in lines)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def figure(svg: str, caption: str) -> str:
    """Return a plot with its caption."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def today() -> str:
    """Return the date, for a page that is being written."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _fact(value: str) -> str:
    shown = escape(value)
    is_file = value.endswith((".json", ".md", ".jsonl")) and "/" not in value and " " not in value
    return f'<a href="{shown}">{shown}</a>' if is_file else shown
