"""Every piece of work that learning is made of, to be timed on this device; its cost does not depend on the crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ratta.adaptation.anchors import LiveAnchor, Worth
from ratta.adaptation.records import BUFFERED_FRAMES
from ratta.adaptation.source import drift_sample
from ratta.adaptation.views import augmented
from ratta.assembly import source_of
from ratta.bench.stages import scene_crops
from ratta.bench.timing import Contestant
from ratta.engine import load

if TYPE_CHECKING:
    from ratta.adaptation.source import SourceReference
    from ratta.bench.frames import Scene
    from ratta.engine import Engine
    from ratta.inference import Corrected, Ensemble, Network
    from ratta.records import Pixels

READ = "one run of the network"
VIEW = "an augmented view, read"
REFIT = "a refit of the anchor"
STUDY = "a session studied"
PIECES = (VIEW, REFIT)
"""What the budget admits, each taken for one run of the network."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A network and an anchor with what the pieces of work need: the crops of one frame, and the `z` of one session."""

    network: Network | Ensemble | Corrected
    reference: SourceReference
    anchor: LiveAnchor
    crops: Pixels
    z: np.ndarray

    def contestants(self) -> list[Contestant]:
        """Line up every piece by its name."""
        calls = {
            READ: lambda: self.network.read(self.crops),
            VIEW: lambda: self.network.read(augmented(self.crops, 1)),
            REFIT: self.anchor.refit,
            STUDY: self._study,
        }
        return [Contestant(name, call, calls=2) for name, call in calls.items()]

    def _study(self) -> None:
        logits = [3.0] * len(self.z)
        if self.reference.prototypes is not None:
            drift_sample(self.z, logits, self.reference.prototypes)
        conformities = [self.anchor.conformity(z, 3.0) for z in self.z]
        self.anchor.learn(self.z, float(np.median(conformities)), denied=False, worth=Worth.CONFIRMED)


def rehearse(model: str, scene: Scene, *, runtime: str = "onnxruntime", threads: int = 1) -> tuple[Rehearsal, Engine]:
    """Load a model and put a session in front of it.

    Raises
    ------
    BundleError
        If its network gives no embedding.
    """
    engine = load(model, runtime=runtime, threads=threads)
    reference, crops = source_of(engine.bundle, engine.network), scene_crops(engine, scene)
    rng = np.random.default_rng(0)
    seen = [
        tuple(np.clip(crop + rng.normal(0, 6, crop.shape), 0, 255).astype(np.uint8) for crop in crops)
        for _ in range(BUFFERED_FRAMES)
    ]
    z = np.stack([reference.space.project(engine.network.read(pixels).embedding) for pixels in seen])
    return Rehearsal(engine.network, reference, LiveAnchor(reference.space), crops, z), engine
