"""Checkpoints: written completely or not at all, and read without running code from them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from ratta.errors import OutputError, TrainingError
from ratta.outputs import replace_file


def save_checkpoint(path: Path, state: dict[str, Any]) -> Path:
    """Write a state atomically; it holds tensors and plain values only."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code from it."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path.name}: expected a checkpoint, got {error}; remove it to start anew") from error
    return state


def write_atomically(path: Path, data: bytes) -> Path:
    """Write a file completely or not at all.

    Raises
    ------
    TrainingError
        If the disk is full or the folder cannot be written; the older file is untouched.
    """
    try:
        return replace_file(path, data)
    except OutputError as error:
        raise TrainingError(
            f"{path.name}: expected room to write {len(data)} bytes, got {error}; free space"
        ) from error
