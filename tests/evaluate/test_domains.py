"""From a domain to a pool: cut once, cut again when something changed, and the simulator as a domain."""

from pathlib import Path

import numpy as np
import pytest

from ratta.contract import Contract
from ratta.errors import DataError
from ratta.evaluate import domains
from ratta.evaluate.domains import part_of, prepare_pool, read_corpus
from ratta.evaluate.experiment import CorpusDomain, PoolDomain, SimulatedDomain
from ratta.evaluate.sessions import read_pool, write_pool
from ratta.perception import Perception
from ratta.records import Box, Face

cv2 = pytest.importorskip("cv2")


class Middle:
    """A detector that always finds a face in the middle, and counts."""

    calls = 0

    def detect(self, frame, *, color="bgr"):
        type(self).calls += 1
        height, width = frame.shape[:2]
        return (Face(Box(width * 0.3, height * 0.3, width * 0.7, height * 0.7), 1.0),)


CONTRACT = Contract.native(size=32, scales=(1.5,))


@pytest.fixture(autouse=True)
def stub_perception(monkeypatch):
    """A detector that needs no model file."""
    Middle.calls = 0
    eyes = Perception(detector=Middle(), crops=CONTRACT.crops)
    monkeypatch.setattr(domains, "_perception", lambda _: eyes)
    monkeypatch.setattr(domains, "_detector_hash", lambda: "0")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two subjects, live and printed, one picture each: warm, textured, bright enough."""
    rng = np.random.default_rng(0)
    for subject in ("ann", "bob"):
        for kind in ("live", "print"):
            path = tmp_path / "corpus" / "test" / kind / subject / "1"
            path.mkdir(parents=True)
            noise = rng.integers(-40, 40, (240, 320, 1))
            cv2.imwrite(str(path / "0.png"), (np.array([110, 130, 170]) + noise).clip(0, 255).astype(np.uint8))
    return tmp_path / "corpus"


def test_corpus_is_cut_once(folder, tmp_path) -> None:
    """The second call finds the pool; a changed picture makes another."""
    domain = CorpusDomain(kind="folder", root=folder)
    first = prepare_pool(domain, CONTRACT, tmp_path / "pools")
    again = prepare_pool(domain, CONTRACT, tmp_path / "pools")
    assert (first, 4) == (again, Middle.calls)
    sessions = read_pool(first)
    assert [("ann", True), ("bob", True), ("ann", False), ("bob", False)] == [(s.subject, s.is_live) for s in sessions]
    assert {""} == {reason for s in sessions for reason in s.refusals.tolist()}
    path = next(folder.rglob("*.png"))
    cv2.imwrite(str(path), cv2.imread(str(path)) // 2)
    assert first != prepare_pool(domain, CONTRACT, tmp_path / "pools")


def test_refusals_are_kept(folder, tmp_path) -> None:
    """A black picture is a refused frame with its reason, not a missing one."""
    cv2.imwrite(str(folder / "test" / "live" / "ann" / "1" / "0.png"), np.zeros((240, 320, 3), np.uint8))
    sessions = read_pool(prepare_pool(CorpusDomain(kind="folder", root=folder), CONTRACT, tmp_path / "pools"))
    assert 4 == len(sessions)
    assert "" != sessions[0].refusals[0]


@pytest.mark.parametrize(("narrowed", "left"), [({"subjects": ("ann",)}, 2), ({"camera": ""}, 4)])
def test_corpus_can_be_narrowed(folder, narrowed, left) -> None:
    """Subjects and camera choose among the sessions of the split."""
    assert left == len(read_corpus(CorpusDomain(kind="folder", root=folder, **narrowed)))


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"split": "dev"}, "folder .*: expected sessions of split dev, found none among 4"),
        ({"camera": "webcam"}, "expected sessions of split test, camera webcam, found none among 4"),
        ({"kind": "oulu-npu"}, "oulu-npu .*: protocol: expected 1 to 4, got none"),
    ],
)
def test_nothing_left(folder, domain, message) -> None:
    """A choice that leaves nothing says what it chose."""
    with pytest.raises(DataError, match=message):
        read_corpus(CorpusDomain(**{"kind": "folder", "root": folder, **domain}))


def test_pool_domain(corpus, tmp_path) -> None:
    """A pool is taken as it is; a folder that is none is refused."""
    write_pool(tmp_path / "pool", corpus(2), key="k")
    assert tmp_path / "pool" == prepare_pool(PoolDomain(kind="pool", path=tmp_path / "pool"), CONTRACT, tmp_path)
    with pytest.raises(DataError, match=r"pool.json: expected the manifest of a pool"):
        prepare_pool(PoolDomain(kind="pool", path=tmp_path), CONTRACT, tmp_path)


def test_changed_domain(corpus, tmp_path) -> None:
    """Another camera makes another pool of the same sessions, once; the plain one is left alone."""
    plain = write_pool(tmp_path / "pool", corpus(2), key="k")
    domain = PoolDomain(kind="pool", path=tmp_path / "pool", change="dark-2.2")
    path = prepare_pool(domain, CONTRACT, tmp_path / "pools")
    written = path.stat().st_mtime_ns
    assert (path, written) == (prepare_pool(domain, CONTRACT, tmp_path / "pools"), path.stat().st_mtime_ns)
    dark = read_pool(path)
    assert [(one.name, one.species) for one in plain] == [(one.name, one.species) for one in dark]
    assert all(after.pixels.mean() < before.pixels.mean() for before, after in zip(plain, dark, strict=True))
    assert {"a+dark-2.2"} == {one.camera for one in dark}
    other = prepare_pool(domain.model_copy(update={"change": "bright-0.5"}), CONTRACT, tmp_path / "pools")
    assert path != other


def test_people_are_chosen_as_in_training() -> None:
    """The parts are those of training's split, so a target never holds somebody the model has seen."""
    pytest.importorskip("torch")
    from ratta.train.factory import split_identities

    names = [f"person-{i}" for i in range(50)]
    split = split_identities(names)
    assert (split.validation, split.test, split.train) == (
        part_of(names, (0.0, 0.1)),
        part_of(names, (0.1, 0.2)),
        part_of(names, (0.2, 1.0)),
    )
    with pytest.raises(DataError, match="expected shares that hold somebody of 50"):
        part_of(names, (0.5, 0.5))


def test_simulated_domain(tmp_path, monkeypatch) -> None:
    """Every person live, printed and replayed, cameras dealt in turn, seeded."""
    from ratta import simulate

    class Bank:
        further = ()

        def __init__(self, folder, *, keep=("ann", "bob")) -> None:
            self.names = tuple(sorted(keep))

        def __len__(self) -> int:
            return len(self.names)

        def __getitem__(self, position):
            return position

    def session(cutout, *, species, camera, frames, seed, size, illuminant, every):
        rng = np.random.default_rng(seed)
        for i in range(frames):
            rgb = (np.array([170, 130, 110]) + rng.integers(-40, 40, (240, 320, 1))).astype(np.uint8)
            yield simulate.Capture(
                rgb=rgb, box=(100.0, 60.0, 220.0, 180.0), species=species, camera=camera, medium="", t_s=i / 15
            )

    monkeypatch.setattr(simulate, "PortraitBank", Bank)
    monkeypatch.setattr(simulate, "simulate_session", session)
    domain = SimulatedDomain(
        kind="simulated", portraits=tmp_path, cameras=("webcam", "tablet"), frames=3, people=(0, 1)
    )
    sessions = read_pool(prepare_pool(domain, CONTRACT, tmp_path / "pools"))
    assert [("ann", ""), ("ann", "print"), ("ann", "replay"), ("bob", ""), ("bob", "print"), ("bob", "replay")] == [
        (s.subject, s.species) for s in sessions
    ]
    assert ["webcam", "tablet"] * 3 == [s.camera for s in sessions]
    assert 0 == Middle.calls
    other = prepare_pool(domain.model_copy(update={"seed": 1}), CONTRACT, tmp_path / "pools")
    assert not np.array_equal(sessions[0].pixels, read_pool(other)[0].pixels)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_cameras_are_dealt_to_every_species(count) -> None:
    """Whatever the number of cameras, each sees every species, and as often: none gives a species away."""
    cameras = [f"camera-{i}" for i in range(count)]
    met = [(domains.dealt(cameras, turn, kinds=3), turn % 3) for turn in range(6 * count * 3)]
    assert {18 * count // (3 * count)} == {met.count(pair) for pair in {(c, s) for c in cameras for s in range(3)}}


def test_a_part_of_a_corpus(folder) -> None:
    """People are chosen by the hash of their names, whole or not at all."""
    half = read_corpus(CorpusDomain(kind="folder", root=folder, people=(0.0, 0.5)))
    rest = read_corpus(CorpusDomain(kind="folder", root=folder, people=(0.5, 1.0)))
    assert [{"ann"}, {"bob"}] == sorted(({one.subject for one in part} for part in (half, rest)), key=min)
