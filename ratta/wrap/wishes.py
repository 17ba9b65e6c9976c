"""What its owner knows of a network: options of the command line, or a small TOML file; what is left out is found."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratta.contract import BORDERS, COLORS, KINDS, LAYOUTS, CropRule, InputRule
from ratta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratta.wrap.foreign import Foreign

Three = tuple[float, float, float]
RANGES: dict[str, tuple[Three, Three]] = {
    "0-1": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "0-255": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "-1-1": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Usual normalisations of 0-255 pixels, mean and standard deviation in the order red, green, blue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is known of a network; an empty or absent value is found, or asked for.

    Attributes
    ----------
    layout, color, kind : str
        As in `ratta.contract`.
    range : str
        A name of `RANGES`, or empty.
    mean, std : tuple of 3 floats
        In place of a named range, in the order of `color`.
    size : int
        Needed where the graph leaves it open.
    scales : tuple of float
        Of the crops; the only thing that cannot be found.
    border : str
    scores, embedding : str
        Names in the graph.
    classes : tuple of str
        In the order of the scores.
    name, version, licence, source : str
        For manifest and card; a licence must be given.

    Raises
    ------
    InputError
        If a value is none that it can be.
    """

    layout: str = ""
    color: str = ""
    range: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int = 0
    scales: tuple[float, ...] = ()
    border: str = "shift"
    scores: str = ""
    kind: str = ""
    classes: tuple[str, ...] = ()
    embedding: str = ""
    name: str = ""
    version: str = "1"
    licence: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        allowed = {"layout": LAYOUTS, "color": COLORS, "range": tuple(RANGES), "border": BORDERS, "kind": KINDS}
        for field, values in allowed.items():
            if getattr(self, field) not in ("", *values):
                raise InputError(f"{field}: expected one of {list(values)}, got {getattr(self, field)!r}")
        if bool(self.mean) != bool(self.std) or (self.range and self.mean):
            raise InputError("expected mean and std together, or a range in their place")

    def normalisation(self, color: str, default: str = "0-1") -> tuple[Three, Three]:
        """Mean and standard deviation in the order of `color`."""
        if self.mean:
            return _three(self.mean), _three(self.std)
        mean, std = RANGES[self.range or default]
        return (mean, std) if color == "rgb" else (_three(mean[::-1]), _three(std[::-1]))

    def crops(self, network: Foreign) -> tuple[CropRule, ...]:
        """Crop rules.

        Raises
        ------
        InputError
            If the size or the scales are neither in the graph nor known, or contradict it.
        """
        if not self.scales:
            raise InputError(
                "crop scale: expected the side of the crop over the longer side of the face box, got none; it cannot "
                "be read off the network: say --crop-scale (1.0, 1.2, 1.5, 2.7 and 4.0 are usual)"
            )
        if self.size and network.size and self.size != network.size:
            raise InputError(f"size: expected {network.size}, as the graph says, got {self.size}")
        size = network.size or self.size
        if not size:
            raise InputError(f"size: expected the side of {network.name}'s input, which the graph leaves open: --size")
        return tuple(CropRule(size=size, scale=scale, border=self.border) for scale in self.scales)

    def input(self, network: Foreign, *, color: str, range_name: str) -> InputRule:
        """Input rule, where colour order and range are these."""
        mean, std = self.normalisation(color, range_name)
        return InputRule(
            name=network.input, layout=network.layout, dtype=network.dtype, color=color, mean=mean, std=std
        )


def _three(values: tuple[float, ...]) -> Three:
    if len(values) != 3:
        raise InputError(f"mean, std: expected three numbers each, got {values}")
    first, second, third = (float(value) for value in values)
    return first, second, third


def read_wishes(path: str | Path | None, given: Mapping[str, Any]) -> Wishes:
    """Put a TOML file and options together; an option comes before the file.

    Raises
    ------
    InputError
        If the file cannot be read or has an unknown key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected a readable TOML file, got: {error}") from error
    values |= {name: value for name, value in given.items() if value not in (None, "", (), 0)}
    known = {field.name for field in fields(Wishes)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"{path}: expected keys of {sorted(known)}, got {unknown}")
    try:
        made: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return Wishes(**made)
    except TypeError as error:
        raise InputError(f"{path}: expected texts, numbers and lists, got: {error}") from error
