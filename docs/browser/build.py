"""Build the folder that a static server serves: the page, ratta's wheel, Pyodide, NumPy and onnxruntime-web.

Needs npm and pip. What others have made is fetched by their package managers, pinned; this repository holds none of it.

    python docs/browser/build.py out/browser
    python -m http.server --directory out/browser --bind 127.0.0.1     # then open http://127.0.0.1:8000

exit status: 0, or 3 when something could not be had or not be verified (a test lane skips then)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PAGE = ("index.html", "page.css", "page.js", "worker.js", "inside.py")
PYODIDE = "pyodide@0.29.0"
PYODIDE_FILES = (
    "pyodide.mjs", "pyodide.asm.js", "pyodide.asm.wasm", "pyodide-lock.json", "python_stdlib.zip", "package.json",
)  # fmt: skip
ONNXRUNTIME = "onnxruntime-web@1.30.0"
ONNXRUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
NUMPY_CARRIER = "gbdraw==0.14.2"
"""NumPy for Pyodide is not on PyPI; this package carries that very file. It is used only if Pyodide's lock says so."""


class UnavailableError(Exception):
    """Something could not be had, or is not what it should be."""


def main() -> int:
    """Build the folder; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--numpy", type=Path, metavar="WHEEL", help="the NumPy wheel of that Pyodide release")
    arguments = parser.parse_args()
    try:
        build(arguments.folder, numpy=arguments.numpy)
    except UnavailableError as error:
        print(f"browser: SKIPPED: {error}", file=sys.stderr)
        return 3
    return 0


def build(folder: Path, *, numpy: Path | None) -> None:
    """Fill the folder; files that are there and verified are not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    unpack(PYODIDE, "package", PYODIDE_FILES, folder / "pyodide")
    unpack(ONNXRUNTIME, "package/dist", ONNXRUNTIME_FILES, folder / "onnxruntime-web")
    wheels = folder / "wheels"
    wheels.mkdir(exist_ok=True)
    numpy_name = place_numpy(folder / "pyodide" / "pyodide-lock.json", wheels, numpy)
    for old in wheels.glob("ratta-*.whl"):
        old.unlink()
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, HERE.parent.parent)
    (ratta,) = wheels.glob("ratta-*.whl")
    for name in PAGE:
        shutil.copyfile(HERE / name, folder / name)
    (folder / "wheels.json").write_text(json.dumps([numpy_name, ratta.name]) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")


def unpack(package: str, inside: str, names: tuple[str, ...], folder: Path) -> None:
    """Take some files of an npm package, whose integrity npm checks."""
    if (folder / package).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run("npm", "pack", "--silent", "--pack-destination", scratch, package)
        (archive,) = Path(scratch).glob("*.tgz")
        with tarfile.open(archive) as content:
            for name in names:
                member = content.extractfile(f"{inside}/{name}")
                if member is None:
                    raise UnavailableError(f"{package}: expected a file {inside}/{name}, got a folder")
                (folder / name).write_bytes(member.read())
    (folder / package).touch()


def place_numpy(lock: Path, wheels: Path, given: Path | None) -> str:
    """Put NumPy's wheel among the wheels, if it is the one that Pyodide's lock file names."""
    entry = json.loads(lock.read_text(encoding="utf-8"))["packages"]["numpy"]
    name, expected = entry["file_name"], entry["sha256"]
    target = wheels / name
    if given is None and target.exists() and digest(target.read_bytes()) == expected:
        return str(name)
    content = given.read_bytes() if given is not None else carried(name)
    if digest(content) != expected:
        raise UnavailableError(f"{name}: expected SHA-256 {expected} as in {PYODIDE}'s lock, got {digest(content)}")
    target.write_bytes(content)
    return str(name)


def carried(name: str) -> bytes:
    """Take NumPy's wheel out of the package that carries it."""
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, NUMPY_CARRIER)
        (archive,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(archive) as content:
            found = [member for member in content.namelist() if member.endswith("/" + name)]
            if not found:
                raise UnavailableError(f"{name}: not in {NUMPY_CARRIER}; take it from Pyodide's release, --numpy WHEEL")
            return content.read(found[0])


def digest(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def run(*command: str | Path) -> None:
    """Run a command, or say that it could not be done."""
    try:
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"{Path(str(command[0])).name} {command[-1]}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
