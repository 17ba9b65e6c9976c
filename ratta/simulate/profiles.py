"""Named cameras, displays, printers and illuminants: a domain is a set of names, a domain shift a change of names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from ratta.errors import InputError

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraProfile:
    """A camera: ranges from which each session draws.

    Attributes
    ----------
    lens_sigma_px : range
        Standard deviation of the lens' point spread in sensor pixels.
    electrons : range
        Electrons at full scale; shot noise grows as these shrink.
    read_electrons : range
        Read noise in electrons.
    denoise, sharpen : range
        Strength of the image processor's smoothing (0-1) and unsharp mask.
    acuity : range
        Target of the final edge contrast; the processor sharpens or softens towards it.
    contrast, saturation, exposure : range
        Targets of automatic tone: spread and mean of encoded luminance, colourfulness as a factor.
    balance_error : float
        Spread of the white balance error in log gains.
    jpeg_quality : range
        Quality of the final compression.
    megascale : range
        Sensor pixels per delivered pixel; above one the frame is reduced after development.
    vignette : float
        Loss of light in the corners.
    """

    name: str
    lens_sigma_px: Range
    electrons: Range
    read_electrons: Range
    denoise: Range
    sharpen: Range
    acuity: Range
    contrast: Range
    saturation: Range
    exposure: Range
    balance_error: float
    jpeg_quality: Range
    megascale: Range
    vignette: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayProfile:
    """A display: its pixels per sensor pixel at the usual distance, primaries, black, bands, glare."""

    name: str
    pixels_per_sensor_px: Range
    stripe_duty: float
    row_duty: float
    pentile: bool
    gamma: Range
    gamut: Range
    kelvin: Range
    black: Range
    banding: Range
    glare: Range
    bezel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterProfile:
    """A printer and its paper: halftone cells per sensor pixel, ink gamut, paper white, surface."""

    name: str
    cells_per_sensor_px: Range
    dot_depth: float
    gamut: Range
    black: Range
    paper: tuple[float, float, float]
    dot_gain: Range
    grain: Range
    sheen: Range
    bend: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class IlluminantProfile:
    """A light: colour temperature, how directed it is, tint off the black-body line."""

    name: str
    kelvin: Range
    directed: Range
    tint: float


CAMERAS: dict[str, CameraProfile] = {
    c.name: c
    for c in (
        CameraProfile(
            name="flagship", lens_sigma_px=(0.45, 0.7), electrons=(9000, 30000), read_electrons=(1.5, 3),
            denoise=(0.1, 0.4), sharpen=(0.2, 0.7), acuity=(0.05, 0.12), contrast=(0.17, 0.27),
            saturation=(0.9, 1.25), exposure=(0.4, 0.58), balance_error=0.03, jpeg_quality=(85, 96),
            megascale=(1.3, 1.8), vignette=0.08,
        ),
        CameraProfile(
            name="phone-2019", lens_sigma_px=(0.5, 0.8), electrons=(5000, 16000), read_electrons=(2, 4),
            denoise=(0.2, 0.6), sharpen=(0.3, 0.9), acuity=(0.045, 0.11), contrast=(0.16, 0.27),
            saturation=(0.85, 1.25), exposure=(0.36, 0.58), balance_error=0.05, jpeg_quality=(80, 95),
            megascale=(1.2, 1.7), vignette=0.12,
        ),
        CameraProfile(
            name="phone-2015", lens_sigma_px=(0.55, 0.95), electrons=(2500, 9000), read_electrons=(3, 6),
            denoise=(0.2, 0.7), sharpen=(0.3, 1.2), acuity=(0.035, 0.1), contrast=(0.15, 0.26),
            saturation=(0.75, 1.2), exposure=(0.32, 0.56), balance_error=0.07, jpeg_quality=(70, 93),
            megascale=(1.0, 1.5), vignette=0.2,
        ),
        CameraProfile(
            name="webcam", lens_sigma_px=(0.6, 1.1), electrons=(1800, 7000), read_electrons=(4, 8),
            denoise=(0.1, 0.7), sharpen=(0.2, 1.4), acuity=(0.025, 0.085), contrast=(0.14, 0.25),
            saturation=(0.6, 1.15), exposure=(0.3, 0.55), balance_error=0.1, jpeg_quality=(55, 90),
            megascale=(1.0, 1.2), vignette=0.2,
        ),
        CameraProfile(
            name="laptop-vga", lens_sigma_px=(0.8, 1.4), electrons=(1200, 5000), read_electrons=(5, 10),
            denoise=(0.1, 0.6), sharpen=(0.0, 1.2), acuity=(0.02, 0.07), contrast=(0.13, 0.24),
            saturation=(0.5, 1.1), exposure=(0.28, 0.55), balance_error=0.12, jpeg_quality=(40, 85),
            megascale=(0.8, 1.0), vignette=0.25,
        ),
        CameraProfile(
            name="tablet", lens_sigma_px=(0.5, 0.9), electrons=(3000, 12000), read_electrons=(2.5, 5),
            denoise=(0.1, 0.5), sharpen=(0.1, 0.7), acuity=(0.035, 0.1), contrast=(0.15, 0.26),
            saturation=(0.8, 1.2), exposure=(0.34, 0.58), balance_error=0.06, jpeg_quality=(75, 95),
            megascale=(1.0, 1.5), vignette=0.12,
        ),
    )
}  # fmt: skip

DISPLAYS: dict[str, DisplayProfile] = {
    d.name: d
    for d in (
        DisplayProfile(
            name="phone-oled", pixels_per_sensor_px=(0.5, 1.8), stripe_duty=0.3, row_duty=0.6, pentile=True,
            gamma=(2.1, 2.4), gamut=(1.05, 1.3), kelvin=(6300, 8200), black=(0.0, 0.004), banding=(0.0, 0.08),
            glare=(0.0, 0.1), bezel=0.04,
        ),
        DisplayProfile(
            name="phone-lcd", pixels_per_sensor_px=(0.45, 1.6), stripe_duty=0.3, row_duty=0.8, pentile=False,
            gamma=(2.0, 2.4), gamut=(0.9, 1.05), kelvin=(6500, 8500), black=(0.002, 0.012), banding=(0.0, 0.03),
            glare=(0.0, 0.12), bezel=0.06,
        ),
        DisplayProfile(
            name="tablet", pixels_per_sensor_px=(0.4, 1.4), stripe_duty=0.3, row_duty=0.85, pentile=False,
            gamma=(2.1, 2.3), gamut=(0.95, 1.1), kelvin=(6300, 7500), black=(0.001, 0.008), banding=(0.0, 0.02),
            glare=(0.0, 0.12), bezel=0.1,
        ),
        DisplayProfile(
            name="laptop", pixels_per_sensor_px=(0.3, 1.0), stripe_duty=0.28, row_duty=0.8, pentile=False,
            gamma=(1.9, 2.4), gamut=(0.7, 1.0), kelvin=(6200, 7800), black=(0.003, 0.02), banding=(0.0, 0.04),
            glare=(0.0, 0.06), bezel=0.08,
        ),
        DisplayProfile(
            name="monitor", pixels_per_sensor_px=(0.25, 0.9), stripe_duty=0.28, row_duty=0.78, pentile=False,
            gamma=(2.0, 2.4), gamut=(0.85, 1.1), kelvin=(6000, 7500), black=(0.002, 0.015), banding=(0.0, 0.05),
            glare=(0.0, 0.05), bezel=0.05,
        ),
    )
}  # fmt: skip

PRINTERS: dict[str, PrinterProfile] = {
    p.name: p
    for p in (
        PrinterProfile(
            name="laser-office", cells_per_sensor_px=(0.5, 1.6), dot_depth=0.9, gamut=(0.6, 0.85), black=(0.03, 0.08),
            paper=(0.93, 0.94, 0.98), dot_gain=(0.75, 0.95), grain=(0.005, 0.025), sheen=(0.0, 0.12), bend=(0.0, 0.12),
        ),
        PrinterProfile(
            name="inkjet-plain", cells_per_sensor_px=(0.8, 2.5), dot_depth=0.4, gamut=(0.5, 0.8), black=(0.05, 0.12),
            paper=(0.94, 0.94, 0.95), dot_gain=(0.7, 0.95), grain=(0.01, 0.04), sheen=(0.0, 0.03), bend=(0.0, 0.15),
        ),
        PrinterProfile(
            name="photo-glossy", cells_per_sensor_px=(1.2, 3.0), dot_depth=0.2, gamut=(0.85, 1.05), black=(0.01, 0.03),
            paper=(0.96, 0.95, 0.94), dot_gain=(0.9, 1.05), grain=(0.002, 0.01), sheen=(0.05, 0.4), bend=(0.0, 0.1),
        ),
        PrinterProfile(
            name="photo-matte", cells_per_sensor_px=(1.0, 3.0), dot_depth=0.2, gamut=(0.75, 0.95), black=(0.02, 0.06),
            paper=(0.95, 0.94, 0.91), dot_gain=(0.85, 1.0), grain=(0.003, 0.015), sheen=(0.0, 0.06), bend=(0.0, 0.1),
        ),
        PrinterProfile(
            name="magazine", cells_per_sensor_px=(0.3, 1.2), dot_depth=1.0, gamut=(0.7, 0.95), black=(0.03, 0.07),
            paper=(0.90, 0.89, 0.85), dot_gain=(0.7, 0.9), grain=(0.003, 0.015), sheen=(0.02, 0.25), bend=(0.0, 0.2),
        ),
    )
}  # fmt: skip

ILLUMINANTS: dict[str, IlluminantProfile] = {
    i.name: i
    for i in (
        IlluminantProfile(name="daylight", kelvin=(5000, 7500), directed=(0.0, 0.4), tint=0.02),
        IlluminantProfile(name="window", kelvin=(5500, 9000), directed=(0.3, 0.9), tint=0.02),
        IlluminantProfile(name="office", kelvin=(3500, 5000), directed=(0.0, 0.4), tint=0.05),
        IlluminantProfile(name="lamp", kelvin=(2400, 3300), directed=(0.3, 0.9), tint=0.03),
        IlluminantProfile(name="evening", kelvin=(2600, 4200), directed=(0.1, 0.8), tint=0.06),
    )
}

Profile = TypeVar("Profile")


def named(table: dict[str, Profile], name: str, *, where: str) -> Profile:
    """Look a profile up by name.

    Raises
    ------
    InputError
        If there is no such profile; the message lists those there are.
    """
    if name not in table:
        raise InputError(f"{where}: expected one of {', '.join(sorted(table))}, got {name!r}; choose a listed name")
    return table[name]
