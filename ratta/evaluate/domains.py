"""From a domain of an experiment file to a pool of crops, made once."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ratta import data
from ratta.bundle import read_detector
from ratta.data import CropReader, Presentation, stacked
from ratta.errors import DataError
from ratta.evaluate.experiment import CorpusDomain, PoolDomain, SimulatedDomain
from ratta.evaluate.progress import shown
from ratta.evaluate.sessions import (
    CropSession,
    change_session,
    from_presentations,
    open_pool,
    pool_key,
    read_pool,
    write_pool,
)
from ratta.files import printable
from ratta.networks import open_detector
from ratta.perception import Perception
from ratta.records import Box, Crop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ratta.contract import Contract
    from ratta.data import FrameRecord, Skipped
    from ratta.evaluate.experiment import Domain
    from ratta.records import Refusal


def prepare_pool(domain: Domain, contract: Contract, folder: Path, *, progress: bool = False) -> Path:
    """Return the pool of a domain, cutting it now if it is not there or was cut from other files or by another rule.

    Parameters
    ----------
    domain : Domain
    contract : Contract
        How crops are made.
    folder : Path
        Where pools are kept.
    progress : bool
        Show a bar.
    """
    if domain.change is not None:
        plain = prepare_pool(domain.model_copy(update={"change": None}), contract, folder, progress=progress)
        return _changed_pool(plain, domain.change, folder)
    if isinstance(domain, PoolDomain):
        pool_key(domain.path)
        return domain.path
    perception = _perception(contract)
    skipped: Sequence[Skipped] = ()
    rule = {
        "crops": [asdict(one) for one in contract.crops],
        "limits": asdict(perception.limits),
        "detector": _detector_hash(),
    }
    if isinstance(domain, SimulatedDomain):
        key = _digest({"domain": json.loads(domain.model_dump_json(exclude={"change"})), "contract": rule})
        sessions: Iterable[CropSession] = simulate_sessions(domain, perception)
        total = None
    else:
        reader = _reader(perception, rule, domain.frames, strict=domain.strict)
        skipped = reader.skipped
        presentations = read_corpus(domain)
        key = _digest({"presentations": [[p.session, reader.key(p)] for p in presentations]})
        sessions, total = from_presentations(presentations, reader), len(presentations)
    path = folder / key[:16]
    if open_pool(path, key=key) is None:
        write_pool(
            path,
            shown(sessions, total=total, unit="session", title="cutting crops") if progress else sessions,
            key=key,
            skipped=skipped,
        )
        _note(skipped)
    return path


def _note(skipped: Sequence[Skipped], *, shown: int = 10) -> None:
    """Name what could not be read in the log, which goes to stderr."""
    if skipped:
        first = "; ".join(printable(one.reason) for one in skipped[:shown])
        logging.getLogger("ratta.data").warning(
            "%d files could not be read, their frames count as refused: %s", len(skipped), first
        )


def _changed_pool(plain: Path, change: str, folder: Path) -> Path:
    """Return the pool `plain` as another camera shows it, made now if it is not there."""
    from ratta.simulate import CHANGES

    key = _digest({"pool": pool_key(plain), "change": asdict(CHANGES[change])})
    path = folder / key[:16]
    if open_pool(path, key=key) is None:
        write_pool(path, (change_session(one, change) for one in read_pool(plain)), key=key)
    return path


def cut_sessions(
    presentations: Sequence[Presentation], contract: Contract, *, frames: int, title: str
) -> Iterator[CropSession]:
    """Cut sessions one after the other, without keeping them, and show a bar."""
    perception = _perception(contract)
    reader = _reader(perception, {}, frames, strict=False)
    cut = from_presentations(presentations, reader)
    yield from shown(cut, total=len(presentations), unit="session", title=title)
    _note(reader.skipped)


def read_corpus(domain: CorpusDomain) -> tuple[Presentation, ...]:
    """Read the split of a corpus that a domain names.

    Raises
    ------
    DataError
        If the tree does not fit, or nothing is left of the split.
    """
    found = _read(domain)
    chosen = tuple(
        one
        for one in found
        if one.split == domain.split
        and (domain.camera is None or one.camera == domain.camera)
        and (domain.subjects is None or one.subject in domain.subjects)
    )
    if chosen and domain.people != (0.0, 1.0):
        kept = set(part_of(sorted({one.subject for one in chosen}), domain.people))
        chosen = tuple(one for one in chosen if one.subject in kept)
    if not chosen:
        raise DataError(
            f"{domain.kind} {domain.root}: expected sessions of split {domain.split}"
            f"{f', camera {domain.camera}' if domain.camera else ''}, found none among {len(found)}"
        )
    return chosen


def _read(domain: CorpusDomain) -> tuple[Presentation, ...]:
    if domain.kind == "oulu-npu":
        if domain.protocol is None:
            raise DataError(f"oulu-npu {domain.root}: protocol: expected 1 to 4, got none")
        return data.read_oulu_npu(domain.root, protocol=domain.protocol, fold=domain.fold)
    found: tuple[Presentation, ...] = data.CORPORA[domain.kind](domain.root)  # type: ignore[operator]
    return found


def simulate_sessions(domain: SimulatedDomain, perception: Perception) -> Iterator[CropSession]:
    """Simulate the sessions of a domain, one after the other; cameras and illuminants are dealt in turn."""
    from ratta.simulate import SPECIES, PortraitBank, simulate_session

    everybody = PortraitBank(domain.portraits)
    people = [name for name in everybody.names if name not in everybody.further]
    bank = PortraitBank(domain.portraits, keep=part_of(people, domain.people))
    turn = 0
    for person in range(len(bank)):
        for _ in range(domain.sessions):
            for species in SPECIES:
                camera = dealt(domain.cameras, turn, kinds=len(SPECIES))
                lamp = dealt(domain.illuminants, turn, kinds=len(SPECIES)) if domain.illuminants else None
                captures = simulate_session(
                    bank[person],
                    species=species,
                    camera=camera,
                    frames=domain.frames,
                    every=domain.every,
                    seed=domain.seed * 1_000_003 + turn,
                    size=domain.frame_size,
                    illuminant=lamp,
                )
                looks = [(c.t_s, perception.look(np.asarray(c.rgb), box=Box(*c.box), color="rgb")) for c in captures]
                attack = "" if species == "live" else species
                yield _session(
                    f"{bank.names[person]}/{species}/{turn}", bank.names[person], camera, attack, looks, perception
                )
                turn += 1


def dealt(items: Sequence[str], turn: int, *, kinds: int) -> str:
    """Deal items in turn, so that none goes with one of `kinds` species alone.

    Examples
    --------
    >>> [dealt("abc", turn, kinds=3) for turn in range(6)]
    ['a', 'b', 'c', 'b', 'c', 'a']
    """
    count = len(items)
    return items[(turn + (turn // count if count % kinds == 0 else 0)) % count]


def part_of(names: Sequence[str], shares: tuple[float, float]) -> tuple[str, ...]:
    """Choose a part of the identities by the hash of their names, in the order in which `ratta.train` splits them.

    Examples
    --------
    >>> part_of(["ann", "bob", "cat", "dan"], (0.0, 0.5))
    ('dan', 'ann')
    """
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"0:{name}".encode()).digest())
    first, last = (int(share * len(ranked) + 1e-9) for share in shares)
    if first >= last:
        raise DataError(f"simulated: people: expected shares that hold somebody of {len(ranked)}, got {shares}")
    return tuple(ranked[first:last])


def _session(
    name: str,
    subject: str,
    camera: str,
    species: str,
    looks: list[tuple[float, Crop | Refusal]],
    perception: Perception,
) -> CropSession:
    size, count = perception.crops[0].size, len(perception.crops)
    black = stacked((np.zeros((size, size, 3), np.uint8),) * count)
    return CropSession(
        name=name,
        subject=subject,
        camera=camera,
        is_live=not species,
        species=species,
        pixels=np.stack([stacked(look.pixels) if isinstance(look, Crop) else black for _, look in looks]),
        refusals=np.array(["" if isinstance(look, Crop) else str(look.reason) for _, look in looks], np.str_),
        t=np.array([t for t, _ in looks]),
    )


def _perception(contract: Contract) -> Perception:
    detector = open_detector()
    return Perception(detector=detector, crops=contract.crops)


def _reader(perception: Perception, rule: dict[str, Any], frames: int | None, *, strict: bool) -> CropReader:
    def cut(frame: FrameRecord) -> Crop | Refusal:
        return perception.look(frame.pixels, box=frame.box, color="bgr")

    return CropReader(
        cut=cut, size=perception.crops[0].size, crops=len(perception.crops), contract=rule, frames=frames, strict=strict
    )


def _detector_hash() -> str:
    return hashlib.sha256(read_detector()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
