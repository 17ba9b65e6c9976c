"""The instrument behind `ratta-bench`: what an engine costs on this device. Needs the core only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `ratta-bench`; return 0, or 2 after an error that the user can mend."""
    from ratta.bench.command import run  # here, so that a measured process can read its memory without the rest

    return run(argv)
