from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ratta.adaptation.development import (
    Development,
    camera_moments,
    choose_canaries,
    class_means,
    every_other_session,
    gate_labels,
    make_reference,
    read_development,
    self_agreement,
    session_samples,
    spread,
)
from ratta.adaptation.drift import SourceStatistics, class_minimum_mahalanobis
from ratta.adaptation.gate import Gate, GateLimits
from ratta.adaptation.reference import Reference
from ratta.adaptation.update import LATE, Moments, Stem
from ratta.adaptation.views import Views
from ratta.errors import InputError
from ratta.records import Reading

WIDTH, HIDDEN = 4, 3
SHAPES = {
    "features.12.gamma": (2,),
    "features.12.beta": (2,),
    "classifier.0.weight": (HIDDEN, WIDTH),
    "classifier.0.bias": (HIDDEN,),
    "classifier.2.weight": (2, HIDDEN),
    "classifier.2.bias": (2,),
}


@dataclass(frozen=True)
class ToyTrace:
    logits: np.ndarray


class ToyTail:
    """Logits are minus and plus the mean of the cut; the gradient of each number is its place times that of live."""

    def __init__(self) -> None:
        generator = np.random.default_rng(11)
        self.source = {name: generator.normal(size=SHAPES[name]).astype(np.float32) for name in LATE}

    def forward(self, cut: np.ndarray, parameters: Any) -> ToyTrace:
        mean = cut.astype(np.float32).mean(axis=(-3, -2, -1))
        return ToyTrace(np.stack((-mean, mean), axis=-1))

    def backward(self, trace: ToyTrace, dlogits: np.ndarray, into: dict[str, Any] | None) -> dict[str, Any]:
        return {
            n: float(dlogits.ravel()[1]) * np.arange(1.0, v.size + 1).reshape(v.shape) for n, v in self.source.items()
        }

    def fold(self, parameters: Any) -> dict[str, np.ndarray]:
        return dict(parameters)


class ToyNetwork:
    """Says live the brighter the crop is, and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def read(self, pixels: np.ndarray) -> Reading:
        self.seen.append(pixels)
        value = np.float32(pixels.mean() / 16)
        return Reading(np.array([-value, value]), np.full(WIDTH, value), np.full((2, 2, 2), value), float(value) - 8)


def make_development(
    kinds: list[str], *, frames: int = 2, seed: int = 1, shift: float = 0.0, noise: float = 0.5
) -> Development:
    """One session a kind: embeddings, cuts and log-odds lie around +1 for live and around -1 for attacks."""
    generator = np.random.default_rng(seed)
    species = np.repeat(np.array(kinds), frames)
    is_live = species == "live"
    sign = np.where(is_live, 1.0, -1.0)
    count = len(species)
    logits = 4 * sign + noise * generator.normal(size=count)
    moments = [
        Moments(generator.normal(shift, 1, 2).astype(np.float32), np.exp(generator.normal(size=2)).astype(np.float32))
        for _ in range(count)
    ]
    return Development(
        live_logits=logits,
        view_logits=logits[:, None] + 0.1 * generator.normal(size=(count, 2)),
        embeddings=(sign[:, None] + noise * generator.normal(size=(count, WIDTH)) + shift).astype(np.float32),
        cuts=(sign[:, None, None, None] + generator.normal(size=(count, 2, 2, 2))).astype(np.float16),
        moments=moments,
        is_live=is_live,
        species=species,
        sessions=np.repeat(np.array([f"session {index}" for index in range(len(kinds))]), frames),
    )


def take(frames: Development, chosen: np.ndarray) -> Development:
    """Keep some frames."""
    arrays = ("live_logits", "view_logits", "embeddings", "cuts", "is_live", "species", "sessions")
    moments = [m for m, keep in zip(frames.moments, chosen, strict=True) if keep]
    return replace(frames, moments=moments, **{name: getattr(frames, name)[chosen] for name in arrays})


SOURCE = make_development(["live", "print", "replay"] * 40)
ENVELOPE = make_development(["live", "print"] * 30, seed=2, shift=0.5)


def measure(source: Development = SOURCE, **changes: Any) -> Reference:
    arguments: dict[str, Any] = {"temperature": 1.0, "bias": 0.0, "threshold_logit": 0.0, "canaries_per_species": 5}
    return make_reference(source, ENVELOPE, tail=ToyTail(), **(arguments | changes))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return measure()


def test_every_second_session_of_a_species_is_fitted():
    """The first is held out, the second fitted, whole sessions at a time, whatever stands between them."""
    frames = make_development(["live", "print", "live", "live", "print", "mask"])
    marked = every_other_session(frames)[::2].tolist()
    assert [False, False, True, False, True, False] == marked
    assert marked == every_other_session(frames)[1::2].tolist()


def test_class_means_by_hand():
    """Spoof first; what is left of a frame is what its class's mean does not explain."""
    features = np.array([[1.0, 0.0], [3.0, 2.0], [10.0, 10.0]], np.float32)
    means, within = class_means(features, np.array([False, False, True]))
    assert [[2.0, 1.0], [10.0, 10.0]] == means.tolist()
    assert [[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]] == within.tolist()


def test_self_agreement_by_hand():
    """Of six views two disagree, one of the four of sure frames; each with one more in two more (Laplace)."""
    frames = replace(
        make_development(["live", "print", "live"], frames=1),
        live_logits=np.array([3.0, -3.0, 0.5]),
        view_logits=np.array([[3.0, 3.0], [-3.0, 1.0], [0.4, -1.0]]),
    )
    limits = GateLimits(live_above=2.0, spoof_below=-2.0, live_margin=0.0, spoof_margin=0.0, view_sd=1.0)
    assert (1 - 3 / 8, 2 / 6) == self_agreement(frames, limits, 0.0)


def test_gate_labels_ask_no_quota_and_refuse_as_the_gate_does():
    """Six good frames of one session are all labelled; an unsure one and one of split views are not."""
    frames = make_development(["live", "print"], frames=6, noise=0.0)
    frames.live_logits[0] = 0.0
    frames.view_logits[7] = (-9.0, 9.0)
    limits = GateLimits(live_above=2.0, spoof_below=-2.0, live_margin=0.1, spoof_margin=0.1, view_sd=0.5)
    prototypes = np.array([[-1.0] * WIDTH, [1.0] * WIDTH])
    expected = [None, *[True] * 5, False, None, *[False] * 4]
    assert expected == gate_labels(frames, Gate(limits, prototypes, np.ones(WIDTH)))


def test_spread_takes_first_and_last():
    """At most so many, evenly; all of them where there are no more."""
    assert [0, 3, 6] == spread(np.arange(7), 3).tolist()
    assert [0, 1] == spread(np.arange(2), 3).tolist()
    assert [0] == spread(np.arange(7), 1).tolist()


def test_canaries_are_of_every_species_and_held_out():
    """A species with one session has canaries too; none comes from a frame that was fitted."""
    frames = make_development(["live", "print", "live", "print", "mask"], frames=4)
    fitted = every_other_session(frames)
    canaries = choose_canaries(frames, ~fitted, 3)
    assert ["live"] * 3 + ["mask"] * 3 + ["print"] * 3 == canaries.species.tolist()
    held_out = {cut.tobytes() for cut in frames.cuts[~fitted]}
    assert all(cut.tobytes() in held_out for cut in canaries.cuts)


def test_drift_is_measured_over_all_frames_of_a_session():
    """The median distance is that of sixteen frames, not of the first few."""
    frames = make_development(["live", "print"], frames=16)
    statistics = SourceStatistics(np.zeros(4), np.ones(4), np.array([[-1.0] * WIDTH, [1.0] * WIDTH]), np.eye(WIDTH))
    distances = class_minimum_mahalanobis(frames.embeddings, statistics.prototypes, statistics.precision)
    expected = [float(np.median(distances[:16])), float(np.median(distances[16:]))]
    assert pytest.approx(expected) == [sample.distance for sample in session_samples(frames, statistics)]
    (second,) = session_samples(frames, statistics, frames.species == "print")
    assert pytest.approx(expected[1]) == second.distance


def test_camera_moments_are_the_first_layers_and_the_cuts():
    """Mean and population variance over the pixels of each channel, one after another."""
    moments = Moments(np.array([7.0], np.float32), np.array([8.0], np.float32))
    mean, variance = camera_moments(moments, np.array([[[1.0, 3.0]], [[5.0, 5.0]]], np.float16))
    assert ([7.0, 2.0, 5.0], [8.0, 1.0, 0.0]) == (mean.tolist(), variance.tolist())


def samples() -> Iterator[tuple[np.ndarray, bool, str, str]]:
    yield np.full((4, 4, 3), 200, np.uint8), True, "whoever", "a"
    yield np.full((4, 4, 3), 40, np.uint8), False, "print", "b"


def test_reading_keeps_order_and_reads_each_crop_and_its_views():
    """Three runs a crop, the crop first; a live face is of the species `live`, whatever it was called."""
    network = ToyNetwork()
    stem = Stem(np.ones((2, 3, 3, 3), np.float32), np.zeros(2, np.float32), mean=(0, 0, 0), std=(1, 1, 1))
    frames = read_development(network, stem, Views(4), samples())
    darker = int(255 * (200 / 255) ** 1.12 + 0.5)
    assert [200, 200, darker] == [int(pixels[0, 0, 0]) for pixels in network.seen[:3]]
    assert len(network.seen) == 6
    assert [200 / 16 - 8, 40 / 16 - 8] == frames.live_logits.tolist()
    assert [200 / 16 - 8, darker / 16 - 8] == frames.view_logits[0].tolist()
    assert ["live", "print"] == frames.species.tolist()
    assert ["a", "b"] == frames.sessions.tolist()
    assert [True, False] == frames.is_live.tolist()
    assert (np.float16, (2, 2, 2, 2)) == (frames.cuts.dtype, frames.cuts.shape)
    assert [200 * 27.0] * 2 == frames.moments[0].mean.tolist()


def test_reading_refuses_nothing_and_an_attack_called_live():
    """An attack among the live canaries would blind the guard."""
    stem = Stem(np.ones((2, 3, 3, 3), np.float32), np.zeros(2, np.float32), mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(InputError, match="expected labelled crops, got none"):
        read_development(ToyNetwork(), stem, Views(4), [])
    with pytest.raises(InputError, match="expected the species of an attack"):
        read_development(ToyNetwork(), stem, Views(4), [(np.zeros((4, 4, 3), np.uint8), False, "live", "a")])


def test_prototypes_and_moments_come_from_the_fitted_half(reference: Reference):
    """Class means, variance and camera moments of every second session, nothing else."""
    fitted = every_other_session(SOURCE)
    lives = SOURCE.embeddings[fitted & SOURCE.is_live].astype(np.float64).mean(axis=0)
    attacks = SOURCE.embeddings[fitted & ~SOURCE.is_live].astype(np.float64).mean(axis=0)
    assert pytest.approx(np.array([attacks, lives])) == reference.prototypes
    within = np.where(SOURCE.is_live[:, None], SOURCE.embeddings - lives, SOURCE.embeddings - attacks)
    assert pytest.approx(within[fitted].var(axis=0), rel=1e-5) == reference.variance
    means = np.array([m.mean for m, fit in zip(SOURCE.moments, fitted, strict=True) if fit])
    assert pytest.approx(means.mean(axis=0), abs=1e-6) == reference.camera_mean[:2]


def test_the_held_out_half_changes_no_prototype():
    """Spoiling the embeddings of held-out sessions moves the median distance, not what was fitted."""
    fitted = every_other_session(SOURCE)
    spoilt = replace(SOURCE, embeddings=np.where(fitted[:, None], SOURCE.embeddings, 2 * SOURCE.embeddings))
    clean, other = measure(), measure(spoilt)
    assert np.array_equal(clean.prototypes, other.prototypes)
    assert np.array_equal(clean.precision, other.precision)
    assert other.wide_median > 1.2 * clean.wide_median


def test_the_stem_reference_is_of_frames_that_the_gate_admits(reference: Reference):
    """The mean first-layer moments by the gate's label; about half is refused, by the margin alone."""
    labels = gate_labels(SOURCE, Gate(reference.limits, reference.prototypes, reference.variance))
    assert 0.3 < labels.count(None) / len(labels) < 0.7
    for is_live in (False, True):
        admitted = [m.mean for m, label in zip(SOURCE.moments, labels, strict=True) if label is is_live]
        assert pytest.approx(np.mean(admitted, axis=0), abs=1e-6) == reference.stem.mean[int(is_live)]


def test_what_else_the_reference_holds(reference: Reference):
    """Canaries, median distance and drift of held-out sessions; Fisher information of mean 1 in every tensor."""
    held_out = ~every_other_session(SOURCE)
    assert {cut.tobytes() for cut in reference.canaries.cuts} <= {cut.tobytes() for cut in SOURCE.cuts[held_out]}
    distances = class_minimum_mahalanobis(SOURCE.embeddings[held_out], reference.prototypes, reference.precision)
    assert pytest.approx(np.median(distances), rel=1e-5) == reference.wide_median
    assert reference.drift.sessions == 60
    assert ["live"] * 5 + ["print"] * 5 + ["replay"] * 5 == reference.canaries.species.tolist()
    limits = reference.limits
    sure = ((SOURCE.live_logits >= limits.live_above) | (SOURCE.live_logits <= limits.spoof_below)).sum()
    assert (1 - 1 / 482, 1 / (2 * sure + 2)) == (reference.agreement, reference.overturn_rate)
    assert set(LATE) == set(reference.fisher)
    assert pytest.approx([1 / 2.5, 4 / 2.5]) == reference.fisher["classifier.2.bias"].tolist()


def test_the_same_frames_give_the_same_reference(reference: Reference):
    """No chance is involved, and the frames are left as they were."""
    before = SOURCE.embeddings.copy(), SOURCE.cuts.copy()
    again = measure().to_arrays()
    assert all(np.array_equal(value, again[name]) for name, value in reference.to_arrays().items())
    assert np.array_equal(before[0], SOURCE.embeddings)
    assert np.array_equal(before[1], SOURCE.cuts)


def test_too_little_is_refused():
    """One class, one session of a class, too few held-out sessions, no canaries."""
    with pytest.raises(InputError, match="got one class"):
        measure(take(SOURCE, SOURCE.is_live))
    with pytest.raises(InputError, match="got one class"):
        measure(make_development(["live", "print", "print"]))
    with pytest.raises(InputError, match=r"n >= 50"):
        measure(make_development(["live", "print"] * 40))
    with pytest.raises(InputError, match="canaries_per_species of at least 1"):
        measure(canaries_per_species=0)
