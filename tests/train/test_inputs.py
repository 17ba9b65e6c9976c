"""Distillation inputs and the replay pool."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ratta.errors import DataError, InputError
from ratta.simulate import PortraitBank, prepare_portraits
from ratta.train.another_camera import another_camera
from ratta.train.development import development_samples
from ratta.train.distil import flip, retone, student_pixels
from ratta.train.factory import DistillationFactory, PictureFactory, split_identities, split_portraits
from ratta.train.inputs import NO_FACE, OPERATIONS, InputMaker, cut_mix, held_medium, pattern, random_crop, random_scale
from ratta.train.judge import NOTHING, SUREST
from ratta.train.pool import CHUNK, ReplayPool, empty_pictures, fields
from ratta.train.teachers import live_margin


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Two noise portraits, prepared."""
    rng = np.random.default_rng(0)
    for index in range(2):
        cv2.imwrite(
            str(tmp_path / f"p{index}.png"), cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (200, 200))
        )
    return prepare_portraits(tmp_path, tmp_path / "cache", detect=lambda _: (60.0, 50.0, 140.0, 150.0))


@pytest.mark.parametrize("operation", dict.fromkeys(OPERATIONS))
def test_operations_keep_shape_and_leave_their_input_alone(operation) -> None:  # type: ignore[no-untyped-def]
    """Every damage gives (S, S, 3) uint8 and does not write into what it was given."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    before = image.copy()
    for _ in range(8):
        out = operation(rng, image)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
    assert (image == before).all()


@pytest.mark.parametrize("mixer", [cut_mix, held_medium])
def test_mixers_keep_shape(mixer) -> None:  # type: ignore[no-untyped-def]
    """Mixing two pictures gives one of the same size."""
    rng = np.random.default_rng(2)
    first, second = rng.integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    for _ in range(8):
        assert mixer(rng, first, second).shape == (48, 48, 3)


def test_maker_is_seeded_and_labels_only_what_it_left_whole(cache: Path) -> None:
    """The same seed gives the same inputs; labels are live, spoof or none."""

    def make(seed: int) -> list[np.ndarray]:
        maker = InputMaker(portraits=PortraitBank(cache), size=48, bank=4, renew_every=8)
        rng = np.random.default_rng(seed)
        made = [maker.make(rng) for _ in range(12)]
        assert {m.label for m in made} <= {NO_FACE, -1, 0, 1}
        return [m.pixels for m in made]

    assert all((a == b).all() for a, b in zip(make(3), make(3), strict=True))
    assert any((a != b).any() for a, b in zip(make(3), make(4), strict=True))


def test_random_crops_have_the_size_asked_for(cache: Path) -> None:
    """Whatever the scale, the crop is square and of the given side."""
    cutout = PortraitBank(cache)[0]
    rng = np.random.default_rng(5)
    scales = [random_scale(rng, cutout.rgba, cutout.box) for _ in range(40)]
    assert {random_crop(rng, cutout.rgba, cutout.box, 40, scale=scale).shape for scale in scales} == {(40, 40, 4)}


def test_no_scale_is_wider_than_the_canvas() -> None:
    """A face that fills half of its canvas is cropped at most twice as wide as itself."""
    rng = np.random.default_rng(6)
    scales = [random_scale(rng, np.zeros((80, 100, 3), np.uint8), (20.0, 20.0, 60.0, 50.0)) for _ in range(200)]
    assert min(scales) >= 1
    assert max(scales) == 2


def pictures_of(cache: Path, *people: str, size: int = 48) -> PictureFactory:
    """Pictures of some of the noise people."""
    return PictureFactory(cache=str(cache), identities=people, size=size)


def test_pool_of_pictures_brings_every_new_one_near(cache: Path) -> None:
    """With no teacher, what is drawn is what the worker made, once it was made, also where a copy is drawn from."""
    slots = empty_pictures(2 * CHUNK, size=48)
    pool = ReplayPool(factory=pictures_of(cache, "p0", "p1"), slots=slots, workers=1, reuse=1.0, seed=0)
    pool._near = {name: values.clone() for name, values in fields(slots).items()}
    pool._far = True
    try:
        pool.wait_for(2 * CHUNK)
        drawn = pool.draw(np.random.default_rng(0), 16)
    finally:
        pool.close()
    assert drawn.pixels.flatten(1).max(1).values.min() > 0
    assert float(drawn.scale.min()) >= 1
    assert torch.equal(pool._near["pixels"], slots.pixels)


def test_two_teachers_share_the_target(cache: Path, silent_face_file: Path) -> None:
    """The target margin is the mean over teachers and views, each margin scaled."""
    name = str(silent_face_file)
    scales = ((1.0, 3.0), (2.0, 0.5))
    factory = DistillationFactory(pictures=pictures_of(cache, "p0"), teachers=(name, name), scales=scales, size=32)
    batch = factory()(np.random.default_rng(0), 4)
    first = live_margin(batch.logits.flatten(0, 1), live=1).view(4, 2)
    scaled = torch.stack((first, torch.tensor([3.0, 0.5]) * first), 2) * torch.tensor([[1.0, 1.0], [2.0, 1.0]])
    torch.testing.assert_close(batch.extra[..., 0], scaled[..., 1].clamp(-SUREST, SUREST))
    expected = scaled.clamp(-SUREST, SUREST).mean((1, 2))
    torch.testing.assert_close(batch.target, expected.where(batch.labels != NO_FACE, expected.clamp(max=NOTHING)))


def test_makers_that_forget_depend_on_their_generator_alone(cache: Path) -> None:
    """Whatever was made before, the same generator gives the same pictures: what an exact resume needs."""
    factory = PictureFactory(cache=str(cache), identities=("p0", "p1"), bank=2, renew_every=8, size=48, remember=False)
    used, fresh = factory(), factory()
    used(np.random.default_rng(1), 12)
    assert torch.equal(used(np.random.default_rng(2), 12).pixels, fresh(np.random.default_rng(2), 12).pixels)


def test_flip_mirrors_pixels_and_maps_together(producer) -> None:  # type: ignore[no-untyped-def]
    """A sample is mirrored in all its fields and views or in none."""
    batch = producer(np.random.default_rng(0), 32)
    turned = flip(batch, torch.Generator().manual_seed(0))
    mirrored = [not torch.equal(a, b) for a, b in zip(batch.middle, turned.middle, strict=True)]
    assert 0 < sum(mirrored) < 32
    for index, is_mirrored in enumerate(mirrored):
        expected = batch.pixels[index].flip(2) if is_mirrored else batch.pixels[index]
        assert torch.equal(turned.pixels[index], expected)


def test_another_camera_is_seen_by_its_share_only(producer) -> None:  # type: ignore[no-untyped-def]
    """The first pictures are seen through another camera, in every view; the rest is what the teachers saw."""
    batch = producer(np.random.default_rng(0), 8)
    generator = torch.Generator().manual_seed(0)
    plain = student_pixels(batch, size=32, camera_share=0.0, generator=generator)
    changed = student_pixels(batch, size=32, camera_share=0.5, generator=generator)
    assert plain.shape == (16, 3, 32, 32)
    assert torch.equal(plain[8:], changed[8:])
    assert not torch.equal(plain[:8], changed[:8])
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1


def test_views_of_one_picture_share_one_light() -> None:
    """A grey pair takes on one colour, other pairs others."""
    grey = torch.full((40, 3, 16, 16), 0.5)
    out = another_camera(grey, torch.Generator().manual_seed(3), views=2).mean((2, 3)).view(20, 2, 3)
    hue = out / out.sum(2, keepdim=True)
    assert float((hue[:, 0] - hue[:, 1]).abs().max()) < 0.02
    assert float(hue[:, 0].std(0).max()) > 0.05


def test_retone_stays_in_range() -> None:
    """Re-toned pixels stay within 0-1."""
    out = retone(torch.rand((4, 3, 8, 8)), torch.Generator().manual_seed(0))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1


def test_patterns_are_varied_and_hold_no_face() -> None:
    """Patterns of every kind have the size asked for; cells of any size are among them."""
    rng = np.random.default_rng(0)
    made = [pattern(rng, 48) for _ in range(40)]
    assert {one.shape for one in made} == {(48, 48, 3)}
    assert len({one.tobytes() for one in made}) == 40


def test_further_portraits_never_cross_the_line(tmp_path: Path) -> None:
    """Those of training people and of unknown ones teach, those of held-out people are left out."""
    rng, names = np.random.default_rng(0), [f"p{i}" for i in range(20)]
    split = split_identities(names)
    further = {"x0": split.train[0], "x1": split.validation[0], "x2": split.test[0], "x3": ""}
    for name in (*names, *further):
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (60, 60)))
    persons = tmp_path / "persons.csv"
    persons.write_text("portrait,person\n" + "".join(f"{a},{b}\n" for a, b in further.items()))
    cache = prepare_portraits(tmp_path, tmp_path / "c", detect=lambda _: (18.0, 15.0, 42.0, 45.0), further=persons)
    found = split_portraits(cache)
    assert found.train == (*split.train, "x0", "x3")
    assert (found.validation, found.test) == (split.validation, split.test)
    persons.write_text("name,whose\nx0,p0\n")
    with pytest.raises(DataError, match="expected CSV with the columns portrait,person"):
        prepare_portraits(tmp_path, tmp_path / "d", detect=lambda _: None, further=persons)


def test_development_samples_are_labelled_held_out_and_seeded(tmp_path: Path) -> None:
    """Sessions of live, print and replay in turn, of held-out people only, the same for the same seed."""
    rng = np.random.default_rng(0)
    for index in range(10):
        picture = cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (120, 120))
        cv2.imwrite(str(tmp_path / f"p{index}.png"), picture)
    cache = prepare_portraits(tmp_path, tmp_path / "cache", detect=lambda _: (36.0, 30.0, 84.0, 90.0))
    samples = list(development_samples(str(cache), size=32, sessions_per_species=1, frames=2))
    held_out = split_identities([f"p{i}" for i in range(10)]).validation
    assert [s[1] for s in samples] == [True, True, False, False, False, False]
    assert [s[2] for s in samples] == ["", "", "print", "print", "replay", "replay"]
    assert {s[3] for s in samples} == set(held_out)
    assert len({s[4] for s in samples}) == 3
    again = next(iter(development_samples(str(cache), size=32, sessions_per_species=1, frames=2)))
    assert (again[0][0] == samples[0][0][0]).all()
    pair = next(iter(development_samples(str(cache), size=32, crop_scales=(2.7, 1.15), sessions_per_species=1)))[0]
    assert [one.shape for one in pair] == [(32, 32, 3)] * 2
    assert (pair[0] == samples[0][0][0]).all()
    assert (pair[1] != pair[0]).any()
    with pytest.raises(InputError, match="expected 'validation' or 'test'"):
        next(iter(development_samples(str(cache), part="train")))
