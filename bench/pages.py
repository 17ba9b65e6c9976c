"""Figures in Markdown pages: what stands between markers is generated from committed results, or checked against them.

A block is filled by a named generator, or with a committed Markdown file of `bench/results`::

    <!-- bench: devices -->
    ...
    <!-- /bench -->

    <!-- bench: evaluation/nuaa.md -->
    ...
    <!-- /bench -->

A figure inside a sentence names a file, a JSON pointer into it and a format::

    one frame takes <!--= DEVICE/ratta.json#/timings/pipeline/cpu_ms/p50 .2f -->1.01<!--/=--> ms

Every result names the model it was made with. A block about another model than the shipped one begins by saying so.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Generator = Callable[["Results"], tuple[str, list["Stamp"]]]

BLOCK = re.compile(r"(<!-- bench: (?P<name>\S+) -->\n)(?P<body>.*?)(<!-- /bench -->)", re.DOTALL)
FIGURE = re.compile(r"(<!--= (?P<file>[^#\n]+)#(?P<pointer>[^\n]*?) (?P<format>\S+) -->)(?P<body>[^<]*)(<!--/=-->)")
MARKER = re.compile(r"<!--(?:=| /?bench)")


@dataclass(frozen=True, slots=True)
class Stamp:
    """The model that a result was made with; an empty hash says that no model is involved."""

    sha256: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """One block or figure of a page: where, from which model, what stands there and what should."""

    page: str
    line: int
    name: str
    found: str
    wanted: str
    model: str
    shipped: bool

    @property
    def stale(self) -> bool:
        """Whether the page holds something else than the results."""
        return self.found != self.wanted


@dataclass(frozen=True, slots=True)
class Results:
    """The folder of committed results.

    Attributes
    ----------
    folder : path
    shipped : frozenset of str
        Versions of the models that are shipped.
    known : mapping
        SHA-256 of a manifest -> version, of every model that was ever shipped.
    """

    folder: Path
    shipped: frozenset[str]
    known: Mapping[str, str]

    def read(self, name: str) -> Any:
        """Read one JSON result.

        Raises
        ------
        SystemExit
            If it is not there or no JSON.
        """
        try:
            return json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError) as error:
            raise SystemExit(f"{name}: expected a JSON result in {self.folder.name}/, got: {error}") from error

    def stamp(self, name: str) -> Stamp:
        """Find the model that a result names.

        Raises
        ------
        SystemExit
            If it names none; a result without a model says `"model": null`.
        """
        result = self.read(name)
        if isinstance(result, dict):
            model = result.get("model", "")
            if model is None:
                return Stamp("")
            inner = model if isinstance(model, dict) else {}
            sha256 = inner.get("sha256") or result.get("model_sha256") or result.get("sha256")
            if sha256:
                return Stamp(str(sha256), str(self.known.get(sha256) or inner.get("version", "")))
        raise SystemExit(
            f'{name}: expected a result that names its model ("model": {{"sha256": ...}}, or null), got one that does '
            "not; write it again"
        )

    def is_shipped(self, stamp: Stamp) -> bool:
        """Whether a result is about a shipped model, or about none."""
        return not stamp.sha256 or stamp.version in self.shipped

    def describe(self, stamp: Stamp) -> str:
        """Name the model of a result in words."""
        if not stamp.sha256:
            return "no model"
        return f"model version {stamp.version or 'unknown'}"

    def note(self, *stamps: Stamp) -> str:
        """Return the sentence that a block about other models begins with; empty for shipped ones."""
        old = sorted({self.describe(stamp) for stamp in stamps if not self.is_shipped(stamp)})
        if not old:
            return ""
        return (
            f"*Measured with {' and '.join(old)}; the shipped model is version {', '.join(sorted(self.shipped))}.*\n\n"
        )


KNOWN = "models.json"


def open_results(root: Path) -> Results:
    """Open the results of a repository, and read which models it ships and has shipped."""
    folder = root / "bench" / "results"
    shipped = {}
    for manifest in sorted((root / "models").glob("*/bundle.json")):
        raw = manifest.read_bytes()
        shipped[hashlib.sha256(raw).hexdigest()] = str(json.loads(raw)["version"])
    before = json.loads((folder / KNOWN).read_bytes()) if (folder / KNOWN).is_file() else {}
    return Results(folder, frozenset(shipped.values()), {**before, **shipped})


def remember_models(results: Results) -> None:
    """Keep the hashes of the models that are shipped now: a later release can then tell what was measured with them."""
    (results.folder / KNOWN).write_text(json.dumps(results.known, indent=1) + "\n", encoding="utf-8")


def places(page: Path, text: str, results: Results, generators: Mapping[str, Generator]) -> Iterator[Place]:
    """Find every block and figure of a page.

    Raises
    ------
    SystemExit
        If a marker has no end, or a name or pointer does not exist.
    """
    found = [*BLOCK.finditer(text), *FIGURE.finditer(text)]
    left = MARKER.sub("", BLOCK.sub("", FIGURE.sub("", text)))
    if len(left) != len(BLOCK.sub("", FIGURE.sub("", text))):
        raise SystemExit(f"{page.name}: expected each marker of a block or figure to have its end, found one without")
    for match in sorted(found, key=lambda one: one.start()):
        line = text.count("\n", 0, match.start()) + 1
        if match.re is FIGURE:
            file, pointer = match["file"], match["pointer"]
            stamps, name = [results.stamp(file)], f"{file}#{pointer}"
            wanted = format(follow(results.read(file), pointer, where=file), match["format"])
        else:
            name = match["name"]
            body, stamps = block(name, page, results, generators)
            wanted = f"\n{results.note(*stamps)}{body.strip()}\n\n"
        yield Place(
            page=page.name,
            line=line,
            name=name,
            found=match["body"],
            wanted=wanted,
            model=", ".join(sorted({results.describe(stamp) for stamp in stamps})),
            shipped=all(map(results.is_shipped, stamps)),
        )


def block(name: str, page: Path, results: Results, generators: Mapping[str, Generator]) -> tuple[str, list[Stamp]]:
    """Make the content of a block: by its generator, or a committed file.

    Raises
    ------
    SystemExit
        If there is neither.
    """
    if name in generators:
        return generators[name](results)
    path = results.folder / name
    if not name.endswith(".md") or not path.is_file():
        known = ", ".join(sorted(generators))
        raise SystemExit(f"{page.name}: bench: {name}: expected one of {known}, or a Markdown file of the results")
    lines = path.read_text(encoding="utf-8").splitlines()
    body = "\n".join(line for line in lines if not line.startswith("# "))
    return body, [results.stamp(str(path.relative_to(results.folder).with_suffix(".json").as_posix()))]


def follow(value: Any, pointer: str, *, where: str) -> Any:
    """Follow a JSON pointer (RFC 6901).

    Raises
    ------
    SystemExit
        If it leads nowhere.

    Examples
    --------
    >>> follow({"rows": [{"a/b": 3}]}, "/rows/0/a~1b", where="x.json")
    3
    """
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise SystemExit(f"{where}#{pointer}: expected a value there, found none at {part!r}") from error
    return value


def filled(text: str, wanted: Mapping[tuple[int, str], str]) -> str:
    """Put the wanted content between the markers; keys are line and name."""

    def put(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 1
        name = match["name"] if match.re is BLOCK else f"{match['file']}#{match['pointer']}"
        return match[1] + wanted[line, name] + match[match.re.groups]

    # Figures do not span lines, so that filling them first leaves every block's line where it was.
    text = FIGURE.sub(put, text)
    return BLOCK.sub(put, text)
