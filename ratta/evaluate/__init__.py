"""Evaluation: methods on streams, prequentially, with tables and reports that a referee would accept.

Needs `pip install 'ratta[tools]'`, and torch for the baselines: `pip install 'ratta[train]'`. Methods, streams and
experiments are described in `docs/evaluation.md`.
"""

from ratta.evaluate.evaluation import Report, run_evaluation
from ratta.evaluate.experiment import ExperimentSettings, parse_experiment, read_settings, strictly
from ratta.evaluate.methods import METHODS, FrameBatch, Method, make_method
from ratta.evaluate.runner import StreamRun, run_stream, score_set
from ratta.evaluate.sessions import CropSession, from_presentations, read_pool, write_pool
from ratta.evaluate.source import torch_source
from ratta.evaluate.streams import KINDS, Stream, build_stream
from ratta.evaluate.sweep import run_sweep

__all__ = [
    "KINDS",
    "METHODS",
    "CropSession",
    "ExperimentSettings",
    "FrameBatch",
    "Method",
    "Report",
    "Stream",
    "StreamRun",
    "build_stream",
    "from_presentations",
    "make_method",
    "parse_experiment",
    "read_pool",
    "read_settings",
    "run_evaluation",
    "run_stream",
    "run_sweep",
    "score_set",
    "strictly",
    "torch_source",
    "write_pool",
]
