"""OpenCV is an extra: this room is importable without it and names the command that installs it."""

import subprocess
import sys

import pytest

from ratta.camera import open_source, read_picture
from ratta.errors import MissingExtraError


def test_importing_the_room_does_not_import_opencv():
    """Only using it does."""
    code = "import sys, ratta.camera, ratta.cli.run, ratta.cli.info; print('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_without_opencv_the_message_names_the_command(monkeypatch, tmp_path):
    """The extra, as it is written in a shell."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "p.bmp").write_bytes(b"BM")
    for use in (open_source, read_picture):
        with pytest.raises(MissingExtraError, match=r"pictures and video need OpenCV: pip install 'ratta\[camera\]'"):
            use(tmp_path / "p.bmp")
