"""The error tree of ratta.

::

    RattaError
    ├── InputError         (ValueError)         a caller's argument does not fit
    ├── BundleError        (ValueError)         a model folder is incomplete, altered or does not fit
    ├── StateError         (ValueError)         a saved engine state does not verify
    ├── DataError          (ValueError)         a corpus, manifest or score file does not fit
    ├── SourceError        (OSError)            a picture, video or camera cannot be read
    ├── OutputError        (OSError)            a file cannot be written
    ├── TrainingError      (RuntimeError)       training cannot go on
    └── MissingExtraError  (ImportError)        an optional dependency is absent

Every message says where, what was expected, what came, and what to do.
"""

from collections.abc import Iterable


class RattaError(Exception):
    """Root of every error that ratta raises on purpose."""


class InputError(RattaError, ValueError):
    """A caller's argument does not fit what the function expects."""


class BundleError(RattaError, ValueError):
    """A model bundle is missing, incomplete, altered, or does not fit its own contract."""


class StateError(RattaError, ValueError):
    """A saved engine state is corrupt, forged, too old, or belongs to another model."""


class DataError(RattaError, ValueError):
    """A corpus, manifest, score file or experiment file does not fit its format."""


class SourceError(RattaError, OSError):
    """A picture, folder, video, camera or URL cannot be opened or decoded."""


class OutputError(RattaError, OSError):
    """A file cannot be written: no space, no permission, or not a regular file; the old one is untouched."""


class TrainingError(RattaError, RuntimeError):
    """Training or export cannot go on."""


class MissingExtraError(RattaError, ImportError):
    """An optional dependency is absent; the message names the install command."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` where a known word is spelt much like this one, and nothing otherwise.

    Examples
    --------
    >>> did_you_mean("calibarte", ["calibrate", "run"]), did_you_mean("fly", ["calibrate", "run"])
    ('; did you mean calibrate?', '')
    """
    from difflib import get_close_matches  # only once something is wrong

    close = get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
