"""Checkpoints: written completely or not at all, and read without running code from them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from ratta.errors import TrainingError


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
    partial = path.with_suffix(path.suffix + ".partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path.name}: expected room to write {len(data)} bytes, got {error}; free space"
        ) from error
    return path
