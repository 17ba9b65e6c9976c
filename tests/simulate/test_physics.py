"""The simulator obeys the laws it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ratta.simulate import camera, media
from ratta.simulate.light import kelvin_gains, to_linear, to_srgb
from ratta.simulate.profiles import DISPLAYS


def spectrum_peak(row: np.ndarray) -> float:
    """Frequency of the strongest line of a signal, in cycles per sample."""
    power = np.abs(np.fft.rfft((row - row.mean()) * np.hanning(len(row)), 16 * len(row)))
    return float(np.argmax(power) / (16 * len(row)))


@pytest.mark.parametrize("cycles_per_pixel", [0.31, 0.83, 0.93, 1.07, 1.15])
def test_moire_appears_where_the_two_pitches_say(cycles_per_pixel: float) -> None:
    """A stripe grid sampled by a pixel grid beats at its distance to the nearest whole number of cycles."""
    grid = media.grid_at_sensor(np.eye(3), 64, 512, cells_per_unit=cycles_per_pixel)
    light = media.pixel_grid(grid, DISPLAYS["monitor"], lens_sigma_px=0.3)
    expected = abs(cycles_per_pixel - round(cycles_per_pixel))
    assert spectrum_peak(light[32, :, 1]) == pytest.approx(expected, abs=2e-3)


def test_colour_moire_appears_where_the_bayer_pitch_says() -> None:
    """Red pixels lie two sensor pixels apart, so their beat is that of twice the frequency."""
    cycles = 0.55
    grid = media.grid_at_sensor(np.eye(3), 64, 512, cells_per_unit=cycles)
    raw = camera.mosaic(media.pixel_grid(grid, DISPLAYS["monitor"], lens_sigma_px=0.3))
    assert spectrum_peak(raw[32, 0::2]) == pytest.approx(abs(2 * cycles - 1), abs=2e-3)


def test_moire_is_not_painted_on() -> None:
    """A lens that resolves nothing at the grid's frequency leaves a flat field."""
    grid = media.grid_at_sensor(np.eye(3), 64, 64, cells_per_unit=0.93)
    assert np.ptp(media.pixel_grid(grid, DISPLAYS["monitor"], lens_sigma_px=2.0)) < 1e-2


def test_a_screen_without_gaps_and_a_print_without_dots_have_no_grid() -> None:
    """What bench/simulator_ablation.py leaves out by these values is gone, and nothing else with it."""
    grid = media.grid_at_sensor(np.eye(3), 64, 64, cells_per_unit=0.3)
    for display in DISPLAYS.values():
        full = replace(display, stripe_duty=1.0, row_duty=1.0)
        assert (np.asarray(media.pixel_grid(grid, full, lens_sigma_px=0.3)) == 1).all()
    picture = np.full((64, 64, 3), 0.5, np.float32)
    assert (media.halftone(picture, grid, 0.3, depth=0.0) == picture).all()
    assert (media.halftone(picture, grid, 0.3, depth=1.0) != picture).any()


@pytest.mark.parametrize("kelvin", [2500.0, 4000.0, 6500.0, 9000.0])
def test_grey_card_stays_grey_through_white_balance(kelvin: float) -> None:
    """A grey card under any lamp is neutral once the illuminant's gains are divided out."""
    rng = np.random.default_rng(0)
    gains = kelvin_gains(kelvin)
    card = np.full((64, 64, 3), 0.18, np.float32) * gains
    state = camera.draw_camera(camera_profile(), rng)
    raw = camera.expose(card, state, rng, gain=1.5)
    red, green, blue = camera.white_balance(camera.demosaic(raw), gains).reshape(-1, 3).mean(0)
    assert red == pytest.approx(green, rel=0.01)
    assert blue == pytest.approx(green, rel=0.01)


def camera_profile():  # type: ignore[no-untyped-def]
    """A camera with moderate noise."""
    from ratta.simulate.profiles import CAMERAS

    return CAMERAS["phone-2019"]


def test_noise_follows_the_photon_transfer_line() -> None:
    """Variance against signal is a straight line of slope 1 / electrons through the read noise."""
    rng = np.random.default_rng(1)
    electrons, read = 4000.0, 8.0
    signals = np.array([0.05, 0.2, 0.4, 0.6, 0.8])
    variances = [
        camera.add_noise(np.full((400, 400), s, np.float32), rng, electrons=electrons, read_electrons=read).var()
        for s in signals
    ]
    slope, offset = np.polyfit(signals, variances, 1)
    assert slope == pytest.approx(1 / electrons, rel=0.03)
    assert offset == pytest.approx((read / electrons) ** 2, abs=2e-6)


def test_srgb_survives_the_way_to_linear_light_and_back() -> None:
    """Decoding and encoding give the same byte, within one step of the darkest."""
    values = np.arange(256, dtype=np.uint8)
    assert np.abs(to_srgb(to_linear(values)).astype(int) - values).max() <= 1


def test_transfer_falls_with_frequency_and_blur() -> None:
    """Finer patterns and softer lenses leave less modulation."""
    assert media.transfer(0.2, 0.5) > media.transfer(0.4, 0.5) > media.transfer(0.4, 0.9) > 0
