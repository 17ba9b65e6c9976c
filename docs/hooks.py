"""What the site needs beyond Markdown: links into the repository, help texts of the commands, formulas.

MkDocs calls `on_page_markdown` for every page. A link that leaves `docs/` must lead to a file of the repository; it
becomes a link to the repository's page of that file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = re.compile(r"\]\((?P<path>\.\./[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
HELP = "<!-- cli: every command -->"
COLUMNS = "88"


def on_page_markdown(markdown: str, *, page: Any, config: Mapping[str, Any], **_: Any) -> str:
    """Rewrite links into the repository and put the help texts in.

    Raises
    ------
    FileNotFoundError
        If a link leads to no file.
    """
    here = Path(page.file.abs_src_path).parent

    def into_repository(match: re.Match[str]) -> str:
        target = (here / match["path"]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_path}: {match['path']}: no such file in the repository")
        kind = "tree" if target.is_dir() else "blob"
        address = f"{config['repo_url'].rstrip('/')}/{kind}/main/{target.relative_to(ROOT).as_posix()}"
        return f"]({address}{match['anchor'] or ''})"

    return OUTSIDE.sub(into_repository, markdown.replace(HELP, help_texts() if HELP in markdown else HELP))


def help_texts() -> str:
    """Return the help of each command as it is printed."""
    listing = "import ratta.cli; print(*ratta.cli.COMMANDS)"
    names = run("-c", listing).split()
    parts = [f"## ratta\n\n```text\n{run('-m', 'ratta', '--help')}```\n"]
    parts += [f"## ratta {name}\n\n```text\n{run('-m', 'ratta', name, '--help')}```\n" for name in names]
    bench = "import sys, ratta.bench; sys.argv[0] = 'ratta-bench'; sys.exit(ratta.bench.main(['--help']))"
    return "\n".join([*parts, f"## ratta-bench\n\n```text\n{run('-c', bench)}```\n"])


def run(*arguments: str) -> str:
    """Run this Python on the repository's package and return what it prints."""
    environment = {**os.environ, "COLUMNS": COLUMNS, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def math_fence(source: str, *_: Any, **__: Any) -> str:
    """Turn a LaTeX formula into MathML, which browsers draw without a script."""
    from latex2mathml.converter import convert

    return f'<div class="formula" role="math" aria-label="{escape(source)}">{convert(source, display="block")}</div>'
