"""Outputs: what would destroy something is refused before anything is opened; what is written is whole."""

import os
import stat
from pathlib import Path

import pytest

from ratta.errors import InputError, OutputError
from ratta.outputs import check_outputs, open_lines, replace_file, replace_text, replaced


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.jpg"
    path.write_bytes(b"the only copy")
    return path


def linked(source, name, how):
    other = source.with_name(name)
    {"hard": os.link, "symbolic": os.symlink}[how](source, other)
    return other


@pytest.mark.parametrize("how", ["hard", "symbolic"])
def test_a_link_does_not_hide_an_input(source, how):
    """A file is what it is on disk, whatever it is called."""
    other = linked(source, "other.json", how)
    for output, read in ((other, source), (source, other)):
        with pytest.raises(InputError, match="--json: expected another place than what is read"):
            check_outputs([("--json", output)], inputs=[read])


def test_other_spellings_of_a_path_are_the_same_path(source, monkeypatch):
    """Relative, through another folder, with a dot."""
    monkeypatch.chdir(source.parent)
    (source.parent / "folder").mkdir()
    for spelling in ("source.jpg", "./source.jpg", "folder/../source.jpg"):
        with pytest.raises(InputError, match="would be overwritten"):
            check_outputs([("--json", spelling)], inputs=[source])


def test_two_outputs_never_share_a_place(tmp_path, source):
    """Also where nothing is yet, and through links."""
    (tmp_path / "l").symlink_to(tmp_path / "new.json")
    linked(source, "hard", "hard")
    for one, two in (("new.json", "new.json"), ("l", "new.json"), ("source.jpg", "hard")):
        with pytest.raises(InputError, match=r"--journal: expected a place of its own, .* where --json writes too"):
            check_outputs([("--json", tmp_path / one), ("--journal", tmp_path / two)])
    with pytest.raises(InputError, match="where --json writes too"):
        check_outputs([("--json", "-"), ("--journal", "-")])


def test_what_the_shell_made_of_stdout_is_an_output_already(tmp_path, monkeypatch):
    """`--json answers > answers` would lose one of the two; `-` means stdout, and is not another."""
    with (tmp_path / "answers").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(InputError, match="where stdout writes too"):
            check_outputs([("--json", tmp_path / "answers")])
        check_outputs([("--json", "-"), ("--journal", tmp_path / "journal")])


def test_an_output_folder_is_no_input(tmp_path, source):
    """Neither under its own name nor through a link; an input folder with other names in it does no harm."""
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "link"):
        with pytest.raises(InputError, match="--output: expected another place than what is read"):
            check_outputs([], folders=[("--output", folder)], inputs=[tmp_path])
    check_outputs([("--json", tmp_path / "new.json")], folders=[("--output", tmp_path / "out")], inputs=[tmp_path])


@pytest.mark.parametrize(("kind", "make"), [("a pipe", os.mkfifo), ("a folder", os.mkdir)])
def test_what_is_no_file_is_neither_checked_nor_written_over(tmp_path, kind, make):
    """A pipe stays a pipe, a folder a folder; a link to one does not hide it."""
    path, link = tmp_path / "x", tmp_path / "l"
    make(path)
    link.symlink_to(path)
    before = path.stat().st_mode
    for output in (path, link):
        with pytest.raises(OutputError, match=f"--json: .*expected a writable file, got {kind}"):
            check_outputs([("--json", output)])
        for write in (lambda p: replace_file(p, b"x"), open_lines):
            with pytest.raises(OutputError, match=f"expected a writable file, got {kind}"):
                write(output)
    assert before == path.stat().st_mode


def test_a_device_is_left_alone():
    """The null device of a machine is not renamed away."""
    with pytest.raises(OutputError, match="got a device"):
        replace_file("/dev/null", b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("path", ["", " ", "a\0b", "folder/.", "folder/"])
def test_what_cannot_be_a_file_is_an_error_of_ours(path, tmp_path, monkeypatch):
    """An empty path is not the current folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="expected"):
        replace_file(path, b"x")
    with pytest.raises(OutputError, match=r"--json: .*expected"):
        check_outputs([("--json", path)])
    assert [] == list(tmp_path.iterdir())


def test_links_are_followed_and_rights_kept(tmp_path):
    """What the link means is replaced, the link stays; a private file is for its owner alone."""
    real, link = tmp_path / "volume", tmp_path / "state"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_text(link, "new")
    assert ("new", True, 0o640) == (real.read_text(), link.is_symlink(), stat.S_IMODE(real.stat().st_mode))
    replace_file(tmp_path / "secret", b"x", private=True)
    assert 0o600 == stat.S_IMODE((tmp_path / "secret").stat().st_mode)


def test_a_link_to_nowhere_becomes_what_it_means(tmp_path):
    """As any editor does it."""
    (tmp_path / "link").symlink_to(tmp_path / "later")
    replace_text(tmp_path / "link", "new")
    assert "new" == (tmp_path / "later").read_text()


def test_what_is_broken_off_leaves_the_old_file_and_no_rest(source):
    """Whole or not at all; other names of the old file keep what it held."""
    with pytest.raises(UnicodeEncodeError), replaced(source) as part:
        part.write_text("half \udcff")
    assert (b"the only copy", [source]) == (source.read_bytes(), list(source.parent.iterdir()))
    other = linked(source, "other", "hard")
    replace_file(source, b"new")
    assert (b"new", b"the only copy") == (source.read_bytes(), other.read_bytes())


def test_a_full_disk_is_an_error_of_ours(source, monkeypatch):
    """The old file is still there."""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ratta.outputs.os.fsync", full)
    with pytest.raises(OutputError, match="expected a writable file, got: No space left on device"):
        replace_file(source, b"new")
    assert (b"the only copy", [source]) == (source.read_bytes(), list(source.parent.iterdir()))


def test_lines_begin_a_new_file(source):
    """A hard link that nobody thought of keeps the old content."""
    other = linked(source, "other", "hard")
    with open_lines(source) as lines:
        lines.write("1\n")
        lines.flush()
        assert ("1\n", b"the only copy") == (source.read_text(), other.read_bytes())
