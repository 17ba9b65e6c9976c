"""A test-time adaptation method of your own, evaluated prequentially beside the source model.

    python examples/own_tta_method.py --sessions 24 --change contrast-0.5

The stream is simulated from one public-domain portrait, so that the program runs anywhere; its figures say nothing
about real cameras. docs/howto-tta-method.md explains the interface; `ratta eval` runs methods on corpora.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np

from ratta.bundle import find_bundle, read_bundle
from ratta.evaluate.methods import FrameBatch
from ratta.inference import OrtSession
from ratta.metrics import ScoreSet, Threshold, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Pixels = npt.NDArray[np.uint8]
    Embed = Callable[[Pixels], tuple[Floats, Floats]]


class NearestMean:
    """Answer by the nearer class mean of the embedding; the means follow the source's own predictions.

    This is T3A (Iwasawa and Matsuo 2021) reduced to its idea: centroids in the place of the last layer.

    Parameters
    ----------
    embed : callable
        Crops (B, S, S, 3) uint8 RGB to embeddings (B, D) and live scores (B,) of the source.
    rate : float
        How fast a mean follows.
    """

    batch = 1

    def __init__(self, embed: Embed, *, rate: float = 0.1) -> None:
        self.embed = embed
        self.rate = rate
        self.reset()

    def reset(self) -> None:
        """Go back to the source model."""
        self._means: dict[bool, Floats] = {}
        self._updates = 0

    def answer(self, batch: FrameBatch) -> Floats:
        """Live scores of the present state, without learning."""
        embeddings, scores = self.embed(batch.pixels)
        if len(self._means) < 2:
            return scores
        spoof, live = (((embeddings - self._means[label]) ** 2).sum(axis=1) for label in (False, True))
        scale = ((self._means[True] - self._means[False]) ** 2).sum()
        return np.asarray(1 / (1 + np.exp(8 * (live - spoof) / scale)))

    def observe(self, batch: FrameBatch) -> Floats:
        """Live scores from before learning; then move the mean of each frame's predicted class."""
        answered = self.answer(batch)
        for embedding, score in zip(*self.embed(batch.pixels), strict=True):
            label = bool(score >= 0.5)
            mean = self._means.get(label, embedding)
            self._means[label] = mean + self.rate * (embedding - mean)
            self._updates += 1
        return answered

    def state(self) -> dict[str, float]:
        """Counters for a report."""
        return {"updates": float(self._updates)}


class Source:
    """The source model under the same interface: it never learns."""

    batch = 1

    def __init__(self, embed: Embed) -> None:
        self.embed = embed

    def reset(self) -> None:
        """Nothing was learnt."""

    def answer(self, batch: FrameBatch) -> Floats:
        """Live scores of the source."""
        return self.embed(batch.pixels)[1]

    observe = answer

    def state(self) -> dict[str, float]:
        """Nothing to tell."""
        return {}


def source_of(model: str) -> tuple[Embed, float]:
    """Return a shipped model's embedding function and live threshold."""
    bundle = read_bundle(find_bundle(model))
    session, calibration = OrtSession(bundle.graph), bundle.calibration
    where = session.outputs.index("embedding")

    def embed(pixels: Pixels) -> tuple[Floats, Floats]:
        outputs = session.run({session.inputs[0]: pixels})
        margin = outputs[0][:, 1].astype(np.float64) - outputs[0][:, 0]
        scores = 1 / (1 + np.exp(-(margin / calibration.temperature + calibration.bias)))
        return outputs[where].astype(np.float64), scores

    return embed, calibration.live_threshold


def stream_of(sessions: int, *, change: str, size: int, seed: int) -> list[tuple[FrameBatch, str]]:
    """Simulate sessions of two frames, live, print and replay in turn, by one phone whose picture has changed."""
    from ratta.camera import read_picture
    from ratta.camera.scenes import FACE, PORTRAIT
    from ratta.simulate import Session, change_crops, crop_face, cut_out

    person = cut_out(np.ascontiguousarray(read_picture(PORTRAIT)[..., ::-1]), FACE)
    stream = []
    for index in range(sessions):
        species = ("live", "print", "live", "replay")[index % 4]
        rng = np.random.default_rng((seed, index))
        session = Session(
            cutout=person, species=species, camera="phone-2019", rng=rng, height=176, width=176, face_px=60
        )
        shots = [session.frame(0.2 * i) for i in range(2)]
        crops = np.stack([crop_face(shot.rgb, shot.box, scale=2.7, size=size) for shot in shots])
        pixels = change_crops(crops, change, seed=index) if change else crops
        times = 30.0 * index + 0.2 * np.arange(len(pixels))
        stream.append((FrameBatch(pixels, times, np.full(len(pixels), index)), species))
    return stream


def main(argv: Sequence[str] | None = None) -> int:
    """Run both methods over the stream and print their error rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=48, help="simulated sessions of two frames (%(default)s)")
    parser.add_argument("--change", default="contrast-0.5", help="of the camera; empty for none (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    embed, threshold = source_of("ratta-mnv3s-128")
    stream = stream_of(arguments.sessions, change=arguments.change, size=128, seed=arguments.seed)
    kinds = np.repeat([species for _, species in stream], [len(batch) for batch, _ in stream])
    for method in (Source(embed), NearestMean(embed)):
        scores = np.concatenate([method.observe(batch) for batch, _ in stream])
        answered = ScoreSet(live_scores=scores, is_live=kinds == "live", species=np.where(kinds == "live", "", kinds))
        found = summary(answered, Threshold(threshold, "shipped", "the model's calibration"))
        rates = f"APCER {found.apcer.value:.3f} ({found.worst_species}), BPCER {found.bpcer.value:.3f}"
        print(f"{type(method).__name__:<12} {rates}, ACER {found.acer.value:.3f}, AUC {found.auc.value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
