"""Sessions, streams and captures: shapes, seeds, species, errors."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from ratta.errors import DataError, InputError
from ratta.simulate import (
    CAMERAS,
    DISPLAYS,
    PRINTERS,
    PortraitBank,
    contact_sheet,
    cut_out,
    prepare_portraits,
    simulate_capture,
    simulate_frames,
    simulate_session,
)
from ratta.simulate.portraits import crop_face, crop_square, read_picture
from ratta.simulate.statistics import STATISTICS, separability


@pytest.mark.parametrize("species", ["live", "print", "replay"])
def test_stream_gives_timed_rgb_frames(species: str, person) -> None:
    """Every species streams (480, 640, 3) uint8 frames with rising time, and frames differ."""
    frames = list(simulate_frames(person[0], species=species, camera="webcam", frames=2, seed=3, box=person[1]))
    assert [frame.shape for _, frame in frames] == [(480, 640, 3)] * 2
    assert all(frame.dtype == np.uint8 for _, frame in frames)
    assert frames[0][0] == 0.0 < frames[1][0]
    assert (frames[0][1] != frames[1][1]).any()


def test_same_seed_same_stream(person) -> None:
    """Nothing but the seed decides."""

    def stream(seed: int) -> np.ndarray:
        shots = simulate_frames(
            person[0], species="replay", camera="tablet", frames=1, seed=seed, size=(120, 160), box=person[1]
        )
        return next(iter(shots))[1]

    assert (stream(5) == stream(5)).all()
    assert (stream(5) != stream(6)).any()


@pytest.mark.parametrize("camera", sorted(CAMERAS))
def test_every_camera_delivers(camera: str, person) -> None:
    """Every named camera delivers a picture that is neither black nor white, with the face in it."""
    shot = simulate_capture(cut_out(*person), np.random.default_rng(2), species="live", camera=camera, side=128)
    x_min, y_min, x_max, y_max = shot.box
    assert shot.rgb.shape == (128, 128, 3)
    assert 20 < crop_face(shot.rgb, shot.box, scale=1.0, size=32).mean() < 235
    assert 0 <= x_min < x_max <= 128
    assert 0 <= y_min < y_max <= 128


@pytest.mark.parametrize(("species", "medium"), [("print", m) for m in PRINTERS] + [("replay", m) for m in DISPLAYS])
def test_every_medium_can_be_shown(species: str, medium: str, person) -> None:
    """Every named printer and display makes an attack of its species."""
    cutout = cut_out(*person)
    shot = next(
        iter(
            simulate_session(cutout, species=species, camera="webcam", frames=1, seed=1, size=(96, 128), medium=medium)
        )
    )
    assert (shot.species, shot.medium) == (species, medium)


def test_unknown_names_are_refused_with_the_known_ones(person) -> None:
    """An error names what was expected, what came and what to do."""
    cutout, rng = cut_out(*person), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"camera: expected one of .*webcam.*, got 'brownie'"):
        simulate_capture(cutout, rng, camera="brownie")
    with pytest.raises(InputError, match="species: expected one of live, print, replay, got 'mask'"):
        simulate_capture(cutout, rng, species="mask")
    with pytest.raises(InputError, match="expected at least 1"):
        next(iter(simulate_session(cutout, species="live", camera="webcam", frames=0, seed=0)))


def test_crop_shrinks_and_shifts_and_never_pads() -> None:
    """The crop rule of the product, by hand."""
    assert crop_square((40, 40, 60, 60), 2.0, 100, 100) == (30, 30, 40)
    assert crop_square((0, 0, 20, 20), 2.0, 100, 100) == (0, 0, 40)
    assert crop_square((40, 40, 60, 60), 9.0, 80, 100) == (10, 0, 80)
    with pytest.raises(InputError, match="expected x_min < x_max"):
        crop_square((5, 5, 5, 5), 2.0, 100, 100)


def test_portraits_are_prepared_once_and_read_back(tmp_path: Path, draw_person, caplog) -> None:
    """A folder of portraits becomes a bank of cut-outs under the files' names; one bad picture is skipped and named."""
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"person-{index}.png"), draw_person(index)[0][..., ::-1])
    box = draw_person(0)[1]
    (tmp_path / "person-3.png").write_bytes(b"")
    (tmp_path / "._person-4.png").write_bytes(b"a companion that a desktop system leaves")
    with caplog.at_level(logging.WARNING):
        prepare_portraits(tmp_path, tmp_path / "cache", detect=lambda _: box)
    assert ["person-3.png"] == [Path(r.getMessage().split(":")[1].strip()).name for r in caplog.records]
    bank = PortraitBank(tmp_path / "cache", keep=("person-0", "person-2"))
    assert bank.names == ("person-0", "person-2")
    assert bank[1].rgba.shape == (448, 448, 4)
    assert max(bank[0].box[2] - bank[0].box[0], bank[0].box[3] - bank[0].box[1]) == pytest.approx(130)


def test_corrupt_and_missing_pictures_are_named(tmp_path: Path) -> None:
    """A picture that cannot be decoded, an empty folder and a folder without faces each give a clear error."""
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(DataError, match=r"broken\.jpg: expected a picture, got .*; remove or replace it"):
        read_picture(tmp_path / "broken.jpg")
    with pytest.raises(DataError, match="expected portraits with a face, found no face in 1 pictures"):
        prepare_portraits(tmp_path, tmp_path / "cache", detect=lambda _: None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected portraits"):
        prepare_portraits(tmp_path / "empty", tmp_path / "cache", detect=lambda _: None)
    with pytest.raises(DataError, match="expected a prepared portrait folder"):
        PortraitBank(tmp_path / "nowhere")


def test_no_single_statistic_gives_the_class_away(draw_person) -> None:
    """On made-up people every global statistic alone stays near chance (the real measure uses portraits)."""
    rng = np.random.default_rng(4)
    cutouts = [cut_out(*draw_person(seed)) for seed in range(8)]

    def crops(species: str, count: int) -> list[np.ndarray]:
        shots = [simulate_capture(cutouts[i % 8], rng, species=species, side=144) for i in range(count)]
        return [crop_face(shot.rgb, shot.box, scale=1.5, size=96) for shot in shots]

    found = separability(crops("live", 60), crops("print", 30) + crops("replay", 30))
    assert set(found) == set(STATISTICS)
    assert all(0.3 < value < 0.7 for value in found.values()), found


def test_a_statistic_needs_both_classes() -> None:
    """An empty class is refused."""
    with pytest.raises(DataError, match="expected both classes"):
        separability([], [np.zeros((32, 32, 3), np.uint8)])


def test_contact_sheet_shows_every_medium(person) -> None:
    """One row for live and one for each printer and display, frames above crops."""
    sheet = contact_sheet([cut_out(*person)], tile=32, columns=1)
    assert sheet.shape == (2 * 32 * (1 + len(PRINTERS) + len(DISPLAYS)), 32, 3)
