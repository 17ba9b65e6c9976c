"""Damage done anew to whole batches."""

from __future__ import annotations

import pytest
import torch

from ratta.train import fresh
from ratta.train.fresh import BLOCK, DAMAGES, refresh


def batch(count: int = 64, size: int = 32) -> torch.Tensor:
    """Smooth pictures in 0-1."""
    small = torch.rand((count, 3, 5, 5), generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, size=size, mode="bilinear")


@pytest.mark.parametrize("damage", [damage for _, damage in DAMAGES])
def test_every_damage_keeps_shape_and_draws_for_each_picture(damage) -> None:  # type: ignore[no-untyped-def]
    """Equal pictures come out finite, of the same shape, and different from one another."""
    x = batch(1).repeat(6, 1, 1, 1)
    before = x.clone()
    out = damage(x, torch.Generator().manual_seed(1))
    assert out.shape == x.shape
    assert bool(torch.isfinite(out).all())
    assert torch.equal(x, before)
    assert min(float((out[0] - other).abs().max()) for other in out[1:]) > 1e-4


def test_refresh_is_seeded_in_range_and_leaves_some_alone() -> None:
    """The same seed damages alike; one picture in six or so stays as it was; the input is not written to."""
    x = batch(400)
    before = x.clone()
    out = refresh(x, torch.Generator().manual_seed(2))
    assert torch.equal(out, refresh(x, torch.Generator().manual_seed(2)))
    assert torch.equal(x, before)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    untouched = (out == x).flatten(1).all(1).float().mean()
    expected = torch.tensor([1 - share for share, _ in DAMAGES]).prod()
    assert float(untouched) == pytest.approx(float(expected), abs=0.05)


def test_cosines_are_orthonormal_and_start_with_the_mean() -> None:
    """The transform keeps energy, and its first row averages: a flat block has one number."""
    table = fresh._cosines(torch.device("cpu"))
    torch.testing.assert_close(table @ table.T, torch.eye(BLOCK), atol=1e-6, rtol=0)
    torch.testing.assert_close(table @ torch.ones(BLOCK), torch.eye(BLOCK)[0] * BLOCK**0.5, atol=1e-6, rtol=0)


def test_codec_loses_high_frequencies_first() -> None:
    """A flat picture survives within a quantiser step; a checkerboard loses more than a ramp does."""
    generator = torch.Generator().manual_seed(3)
    ramp = torch.linspace(0.3, 0.6, 32).expand(32, 3, 32, 32).contiguous()
    place = torch.arange(32)
    board = ((place[:, None] + place) % 2).float() * 0.1 + 0.4
    board = board.expand(32, 3, 32, 32).contiguous()
    lost_ramp = (fresh.codec(ramp, generator.manual_seed(3)) - ramp).square().mean()
    lost_board = (fresh.codec(board, generator.manual_seed(3)) - board).square().mean()
    assert float(lost_board) > 2 * float(lost_ramp)
