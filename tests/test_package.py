"""The package: what an import costs and what the facade shows."""

import subprocess
import sys

import ratta

HEAVY = ("onnxruntime", "onnx", "torch", "cv2", "mediapipe", "pydantic", "psutil", "tqdm", "scipy", "sklearn", "optuna")


def test_import_loads_numpy_and_nothing_heavy():
    """A fresh interpreter that imports ratta has loaded, beyond the standard library, only NumPy and ratta."""
    code = (
        "import sys; before = set(sys.modules); import ratta;"
        "tops = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "print(*sorted(t for t in tops if t not in sys.stdlib_module_names))"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [name for name in shown if not name.startswith("_")] == ["numpy", "ratta"]
    assert not set(shown) & set(HEAVY)


def test_facade_is_sorted_and_real():
    """`__all__` is sorted, and every name in it exists."""
    assert ratta.__all__ == sorted(ratta.__all__)
    assert all(hasattr(ratta, name) for name in ratta.__all__)


def test_the_package_under_test_is_the_installed_one():
    """Tests prove what users get: the wheel, with its models inside."""
    from pathlib import Path

    folder = Path(ratta.__file__).parent
    assert "site-packages" in folder.parts
    assert (folder / "models").is_dir()
