"""Methods under evaluation, one file each; `make_method` makes one by its name in an experiment file.

The baselines are driven by torch, on the same network and weights: `pip install 'ratta[train]'`. `ratta` is the product
itself.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ratta.errors import DataError, MissingExtraError
from ratta.evaluate.methods.method import FrameBatch, Method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ratta.evaluate.methods.torch_source import TorchSource

# Name -> module, class, and what differs from the published constants. EATA and SAR stand here twice because their
# published constants switch them off on two classes (see their docstrings).
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no-tta": ("no_tta", "NoTTA", {}),
    "bn-batch": ("bn_statistics", "BatchStatistics", {}),
    "bn-ema": ("bn_statistics", "BNStatistics", {}),
    "tent": ("tent", "Tent", {}),
    "tent-source-statistics": ("tent", "Tent", {"statistics": "source"}),
    "t3a": ("t3a", "T3A", {}),
    "eata": ("eata", "EATA", {}),
    "eata-two-class": ("eata", "EATA", {"redundancy": None}),
    "sar": ("sar", "SAR", {}),
    "sar-two-class": ("sar", "SAR", {"reset_below": 0.2 * 0.6931471805599453 / 6.907755278982137}),
    "cotta": ("cotta", "CoTTA", {}),
    "rotta": ("rotta", "RoTTA", {}),
    "ratta": ("engine_adapter", "EngineAdapter", {}),
}


def make_method(
    name: str, source: TorchSource, *, development: FrameBatch, seed: int = 0, options: Mapping[str, Any] | None = None
) -> Method:
    """Make a method by name.

    Parameters
    ----------
    name : str
        A key of `METHODS`, or `module:Class` for a method of your own.
    source : TorchSource
    development : FrameBatch
        Frames of the source development set, for methods that want some.
    seed : int
        For methods that draw.
    options : mapping, optional
        Constructor arguments that differ from the published ones.

    Raises
    ------
    DataError
        If the name or an option does not exist, or a value is out of range.
    MissingExtraError
        Without torch.
    """
    kind, defaults = _kind_of(name)
    known = set(inspect.signature(kind).parameters) - {"source"}
    unknown = sorted(set(options or {}) - (known - {"development", "seed"}))
    if unknown:
        raise DataError(
            f"method {name}: options: expected some of {sorted(known - {'development', 'seed'})}, got {unknown}"
        )
    given = {key: value for key, value in (("development", development), ("seed", seed)) if key in known}
    try:
        method: Method = kind(source, **given, **{**defaults, **(options or {})})
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(f"method {name}: options: {error}") from error
    if method.batch < 1:
        raise DataError(f"method {name}: options: batch: expected at least 1 frame, got {method.batch}")
    return method


def _kind_of(name: str) -> tuple[Any, dict[str, Any]]:
    """Find the class of a method, and what differs from its published constants."""
    own, _, attribute = name.partition(":")
    if name not in METHODS and not attribute:
        raise DataError(f"method: expected one of {', '.join(METHODS)} or module:Class, got {name!r}")
    module, attribute, defaults = METHODS.get(name, ("", attribute, {}))
    try:
        return getattr(import_module(f"ratta.evaluate.methods.{module}" if module else own), attribute), defaults
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingExtraError("ratta.evaluate needs torch: pip install 'ratta[train]'") from error
        if module:
            raise
        raise DataError(f"method {name}: expected a module that Python finds, got: {error}") from error
    except AttributeError as error:
        raise DataError(f"method {name}: expected a class {attribute} in {own}, got none") from error


__all__ = ["METHODS", "FrameBatch", "Method", "make_method"]
