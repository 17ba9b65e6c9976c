"""What is written: never over what is read, never two in one place, and each file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ratta.errors import InputError, OutputError, RattaError
from ratta.files import kind_of, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STDOUT = "-"
_INSTEAD = "name a file, or leave the option out"

Identity = tuple[int, int] | str


def check_outputs(
    files: Iterable[tuple[str, str | Path]],
    *,
    folders: Iterable[tuple[str, str | Path]] = (),
    inputs: Iterable[str | Path] = (),
) -> None:
    """Refuse outputs that would destroy something, before anything is opened.

    Files are told apart by what they are on disk, so hard links and symbolic links do not hide them.

    Parameters
    ----------
    files : iterable of (option, path)
        Every file that will be written, with the option that asks for it; `-` is stdout.
    folders : iterable of (option, path)
        Folders that will be filled; the files in them that are known before belong into `files` too.
    inputs : iterable of path
        Files and folders that are read.

    Raises
    ------
    InputError
        If an output is an input, or another output.
    OutputError
        If an output cannot be written, or is no regular file: a device, a pipe, a folder.
    """
    files, folders = list(files), list(folders)
    read = {key: Path(path) for path in inputs if (key := identity(path)) is not None}
    taken = {} if any(str(path) == STDOUT for _, path in files) else _streams()
    for option, path in files:
        if str(path) != STDOUT:
            _check_file(option, path)
        _claim(option, path, read, taken)
    for option, path in folders:
        _check_folder(option, path)
        _claim(option, path, read, {})


def identity(path: str | Path) -> Identity | None:
    """Say which file, folder or place a path means, whatever it is called; nothing where it cannot be said."""
    if str(path) == STDOUT:
        return _stdout()
    try:
        found = os.stat(path)  # noqa: PTH116  (an empty path must not become the current folder)
    except FileNotFoundError:
        return os.path.normcase(os.path.realpath(path))
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def target(path: str | Path) -> Path:
    """Follow the links of a path that will be written, so that what the link means is replaced and not the link.

    Raises
    ------
    OutputError
        If there is something that is no regular file, or the path cannot be one.
    """
    text = os.fspath(path)
    if not text.strip() or "\0" in text:
        raise OutputError(f"{printable(text)!r}: expected the path of a file to write, got none")
    real = Path(os.path.realpath(text))
    try:
        kind = kind_of(Path(text))
    except (FileNotFoundError, NotADirectoryError):
        kind = "file"  # to be made, if that can be
    except OSError as error:
        raise OutputError(f"{text}: expected a writable file, got: {error.strerror or error}") from error
    if text.endswith(("/", os.sep, "/.")):
        kind = "a folder"
    if kind != "file":
        raise OutputError(f"{text}: expected a writable file, got {kind}; {_INSTEAD}")
    return real


def replace_file(path: str | Path, content: bytes, *, private: bool = False, alone: bool = False) -> Path:
    """Write a file whole or not at all, making its folder; links are followed, the old file's rights are kept.

    Parameters
    ----------
    path : path
    content : bytes
    private : bool
        For nobody but its owner.
    alone : bool
        Whether no other process writes to this path: then what a killed one left half written is replaced, too.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    OutputError
        If it cannot be written, or what is there is no regular file; the old file is untouched.
    """
    with replaced(path, private=private, alone=alone) as part, part.open("r+b") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return Path(path)


def replace_text(path: str | Path, text: str) -> Path:
    """Write a text file in UTF-8, as `replace_file` does."""
    return replace_file(path, text.encode("utf-8"))


@contextlib.contextmanager
def replaced(path: str | Path, *, private: bool = False, alone: bool = False, suffix: str = ".part") -> Iterator[Path]:
    """Give an empty file beside `path` to be filled, and put it in the place of `path` if nothing was raised.

    Raises
    ------
    OutputError
        If it cannot be made, filled or put there; the old file is untouched.
    """
    real = target(path)
    part: Path | None = None
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        part = _new_file(real, f"{real.name}{suffix}" if alone else "", private=private, suffix=suffix)
        yield part
        part.replace(real)
        _sync_folder(real.parent)
    except OSError as error:
        if isinstance(error, RattaError):
            raise
        raise OutputError(f"{path}: expected a writable file, got: {error.strerror or error}") from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def open_lines(path: str | Path) -> TextIO:
    """Open a file that grows line by line, as a new file in the place of the old one.

    Raises
    ------
    OutputError
        If it cannot be written, or what is there is no regular file.
    """
    with replaced(path):
        pass
    try:
        return target(path).open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"{path}: expected a writable file, got: {error.strerror or error}") from error


def _new_file(real: Path, name: str, *, private: bool, suffix: str) -> Path:
    part = real.with_name(name or f".ratta-{os.getpid()}-{time.monotonic_ns():x}{suffix}")
    if name:
        part.unlink(missing_ok=True)  # left by a crash, or laid there as a link to elsewhere
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    os.close(os.open(part, flags, 0o600 if private else 0o666))
    if not private and real.exists():
        with contextlib.suppress(OSError):
            part.chmod(stat.S_IMODE(real.stat().st_mode))
    return part


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself last, where the platform can open a folder (Windows cannot)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):  # some file systems refuse; the renaming is atomic all the same
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stdout(stream: TextIO | None = None) -> Identity:
    """Say what stdout is; a file that the shell made of it is a file like any other."""
    try:
        found = os.fstat((stream or sys.stdout).fileno())
    except (OSError, ValueError, AttributeError):
        return STDOUT
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else STDOUT


def _streams() -> dict[Identity, str]:
    """Give the files that the shell made of stdout and stderr."""
    found = {_stdout(stream): name for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr"))}
    found.pop(STDOUT, None)
    return found


def _check_file(option: str, path: str | Path) -> None:
    try:
        real = target(path)
    except OutputError as error:
        raise OutputError(f"{option}: {error}") from error
    if real.exists() and not os.access(real, os.W_OK):
        raise OutputError(f"{option}: {path}: expected a writable file, got one without the right to write")
    _check_place(option, real.parent)


def _check_folder(option: str, path: str | Path) -> None:
    text = os.fspath(path)
    if not text.strip() or "\0" in text:
        raise OutputError(f"{option}: {printable(text)!r}: expected the path of a folder to write, got none")
    _check_place(option, Path(os.path.realpath(text)))


def _check_place(option: str, folder: Path) -> None:
    """Refuse a folder that is none, or that cannot be written or made."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"{option}: {folder}: expected a folder to write in, got something else")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{option}: {folder}: expected a writable folder, got one without the right to write")


def _claim(option: str, path: str | Path, read: dict[Identity, Path], taken: dict[Identity, str]) -> None:
    key = identity(path)
    if key is None:
        return
    if key in read:
        raise InputError(
            f"{option}: expected another place than what is read, got {str(path)!r}, "
            f"which is {str(read[key])!r}; it would be overwritten"
        )
    if key in taken:
        raise InputError(f"{option}: expected a place of its own, got {str(path)!r}, where {taken[key]} writes too")
    taken[key] = option
