"""The card of a wrapped network: what is known, and what its owner must still fill in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ratta.contract import Contract
    from ratta.wrap.evidence import Finding
    from ratta.wrap.examples import Examples
    from ratta.wrap.foreign import Foreign
    from ratta.wrap.wishes import Wishes

FILL_IN = "**FILL IN**"


def card_of(
    network: Foreign,
    wishes: Wishes,
    contract: Contract,
    findings: Sequence[Finding],
    examples: Examples,
    deviation: float,
) -> str:
    """Write the card, Markdown."""
    crops = ", ".join(f"{rule.scale:g} of the face box, border {rule.border}" for rule in contract.crops)
    rows = {
        "licence of the weights": wishes.licence,
        "where they come from": wishes.source or FILL_IN,
        "who trained them, on what, under which licence": FILL_IN,
        "what it was measured on (data, split by subject, threshold's origin, n, interval)": FILL_IN,
        "what it cannot do": FILL_IN,
    }
    lines = [f"# {wishes.name or network.name}", "", f"Wrapped by `ratta wrap` from `{network.name}`.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), ""]
    lines += ["## Contract", "", f"Crops of {contract.size} pixels: {crops}.", "", f"Tried on {examples.origin}:", ""]
    lines += [f"- {finding}" for finding in findings]
    lines += [f"- scores equal to those of the file as it came within {deviation:.1e}", ""]
    lines += [
        "## Calibration of this copy",
        "",
        "None: its thresholds mean nothing until `ratta calibrate` has run.",
    ]
    return "\n".join(lines) + "\n"
