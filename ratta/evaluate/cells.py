"""One cell of an evaluation: one method on one stream with one seed, computed once and kept in a file.

A cell is plain data, so it travels to other processes and machines; its file is written when it is complete, so a
worker that dies loses only the cell it was at.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta.errors import DataError
from ratta.evaluate.methods import FrameBatch, make_method
from ratta.evaluate.runner import answer_all, batches, run_stream, score_set
from ratta.evaluate.sessions import read_pool
from ratta.evaluate.streams import KINDS, Stream, StreamSession, build_stream
from ratta.files import read_json
from ratta.metrics import ScoreSet, Threshold, choose_threshold, summary
from ratta.outputs import replace_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ratta.evaluate.methods import Method
    from ratta.evaluate.methods.torch_source import TorchSource
    from ratta.evaluate.sessions import CropSession

    LoadSource = Callable[[str], TorchSource]

FORMAT = "ratta-cell/1"
DEVELOPMENT_FRAMES = 512
_THRESHOLDS: dict[str, Threshold] = {}
"""Known in this process: the same method asks for the same one on every target and stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What decides the result of one cell.

    Attributes
    ----------
    target, stream, label, seed
        Its name: `target/stream/label/seed`.
    method : str
        A name of `METHODS`.
    options : dict
    model : str
        Path of the bundle.
    model_sha256 : str
    pools : dict of str
        Folders of `development`, `home` (or empty) and `away`.
    pool_keys : dict of str
        What they were cut from.
    frames : int or None
    confirm : float
        Share of the live sessions that are confirmed.
    threshold : str
    threads : int
    """

    target: str
    stream: str
    label: str
    seed: int
    method: str
    model: str
    model_sha256: str
    pools: dict[str, str]
    pool_keys: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    frames: int | None = None
    confirm: float = 0.0
    threshold: str = "eer"
    threads: int = 1

    @property
    def name(self) -> str:
        """Unique within an evaluation."""
        return f"{self.target}/{self.stream_name}/{self.label}/{self.seed}"

    @property
    def stream_name(self) -> str:
        """The kind of stream, and what share of its live sessions is confirmed."""
        return f"{self.stream}+confirm-{self.confirm:g}" if self.confirm else self.stream

    @property
    def key(self) -> str:
        """SHA-256 of what decides the result; where files lie is not part of it."""
        decided = {k: v for k, v in asdict(self).items() if k not in ("pools", "model", "threads")}
        return hashlib.sha256(json.dumps({"format": FORMAT, **decided}, sort_keys=True).encode()).hexdigest()

    def path(self, folder: Path) -> Path:
        """Where the result is kept; other settings give another file."""
        return folder / f"{self.name.replace('/', '__')}__{self.key[:12]}.json"


def finished(cell: Cell, folder: Path) -> bool:
    """Whether the cell's result is there and was decided by the same things."""
    path = cell.path(folder)
    if not path.is_file():
        return False
    try:
        return bool(read_json(path)["key"] == cell.key)
    except (DataError, KeyError, TypeError):
        return False


def run_cell(cell: Cell, folder: Path, load_source: LoadSource) -> Path:
    """Compute a cell and write its result; nothing is done if it is there already.

    Parameters
    ----------
    cell : Cell
    folder : Path
        Of the results.
    load_source : callable
        From the model's path to a `TorchSource`; importable by name, so that it travels to other processes.
    """
    path = cell.path(folder)
    if finished(cell, folder):
        return path
    result = compute_cell(cell, load_source(cell.model))
    return replace_text(path, json.dumps(clean(result), allow_nan=False))


def compute_cell(cell: Cell, source: TorchSource) -> dict[str, Any]:
    """Compute a cell: threshold on the development set, then the stream, answer first.

    The threshold is chosen on the answers of the method's own untouched state, in random order of sessions, so that a
    method whose scores are on a scale of their own is compared fairly; for methods that begin as the source it is the
    source's.
    """
    import torch

    torch.set_num_threads(cell.threads)
    torch.manual_seed(cell.seed)
    pools = {name: read_pool(folder) if folder else () for name, folder in cell.pools.items()}
    development = build_stream("iid", away=pools["development"], seed=0)
    frames = development_frames(development)
    method = make_method(cell.method, source, development=frames, seed=cell.seed, options=cell.options)
    threshold = _threshold(cell, method, development)
    rank = _ranking(source, frames) if KINDS[cell.stream][2] else None
    stream = build_stream(
        cell.stream,
        away=pools["away"],
        home=pools["home"],
        seed=cell.seed,
        rank=rank,
        frames=cell.frames,
        confirm=cell.confirm,
    )
    method.reset()
    run = run_stream(method, stream)
    scores = _scores(stream, run.live_scores)
    return {
        "format": FORMAT,
        "key": cell.key,
        "name": cell.name,
        "cell": {k: v for k, v in asdict(cell).items() if k not in ("pools", "model")},
        "summary": summary(scores, threshold).to_dict(),
        "at_fixed_half": summary(scores, Threshold(0.5, "fixed=0.5", "nowhere")).to_dict(),
        "phases": {phase: _phase_rates(stream, scores, phase, threshold) for phase in stream.phases},
        "sessions": [_entry(one) for one in stream.sessions],
        "live_scores": run.live_scores.tolist(),
        "refusals": _refusal_counts(stream),
        "trace": [[at, state] for at, state in run.trace],
        "timing": {
            "frames": int(np.sum(~scores.refused)),
            "wall_s": run.wall_s,
            "cpu_s": run.cpu_s,
            "peak_memory_mb": peak_memory_mb(),
        },
        "machine": {"python": platform.python_version(), "system": platform.platform(), "torch": torch.__version__},
    }


def development_frames(development: Stream) -> FrameBatch:
    """Return the first accepted frames of the development set, in its random order."""
    for _, batch in batches(development, DEVELOPMENT_FRAMES):
        return batch
    return FrameBatch(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0), np.zeros(0, np.int64))


def clean(value: Any) -> Any:
    """Make a value strict JSON: numbers that are not finite become null, NumPy's become Python's."""
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far; `nan` where the system does not say."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _scores(stream: Stream, live_scores: Any) -> ScoreSet:
    return score_set([one.session for one in stream.sessions], live_scores)


def _threshold(cell: Cell, method: Method, development: Stream) -> Threshold:
    decided = (cell.model, cell.model_sha256, cell.method, cell.options, getattr(method, "seed", None), cell.threshold)
    pool = (cell.pools["development"], cell.pool_keys["development"])
    key = json.dumps([*decided, *pool], sort_keys=True)
    if key not in _THRESHOLDS:
        scores = _scores(development, answer_all(method, development))
        _THRESHOLDS[key] = choose_threshold(scores, policy=cell.threshold, origin="source development set")
    return _THRESHOLDS[key]


def _ranking(source: TorchSource, frames: FrameBatch) -> Callable[[CropSession], float]:
    no_tta: Method = make_method("no-tta", source, development=frames)

    def rank(session: CropSession) -> float:
        scores = answer_all(no_tta, Stream("rank", (StreamSession(session, "rank", 0.0),)))
        known = scores[~np.isnan(scores)]
        return float(known.mean()) if len(known) else 0.0

    return rank


def _phase_rates(stream: Stream, scores: ScoreSet, phase: str, threshold: Threshold) -> dict[str, float]:
    inside = np.repeat([one.phase == phase for one in stream.sessions], [len(one.session) for one in stream.sessions])
    found = summary(scores.take(inside), threshold)
    return {
        "frames": int(inside.sum()),
        "apcer": found.apcer.value,
        "bpcer": found.bpcer.value,
        "acer": found.acer.value,
    }


def _entry(one: StreamSession) -> dict[str, Any]:
    session = one.session
    return {
        "name": session.name,
        "subject": session.subject,
        "camera": session.camera,
        "is_live": session.is_live,
        "species": session.species,
        "phase": one.phase,
        "confirmed": one.confirmed,
        "frames": len(session),
    }


def _refusal_counts(stream: Stream) -> dict[str, int]:
    reasons: Sequence[Any] = [one.session.refusals for one in stream.sessions]
    names, counts = np.unique(np.concatenate(reasons), return_counts=True)
    return {str(name): int(n) for name, n in zip(names, counts, strict=True) if name}
