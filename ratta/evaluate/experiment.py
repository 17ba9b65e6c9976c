"""Experiment files: TOML or JSON, validated by pydantic; an error names the key and what was expected."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from ratta.errors import DataError, InputError, MissingExtraError

try:
    from pydantic import (
        AfterValidator,
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        ValidationError,
        field_validator,
        model_validator,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError("ratta.evaluate needs pydantic: pip install 'ratta[tools]'") from error

from ratta.data import CORPORA
from ratta.evaluate.methods import METHODS
from ratta.evaluate.streams import KINDS
from ratta.files import read_text
from ratta.metrics import ScoreSet, choose_threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

Split = Literal["train", "dev", "test"]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+=-]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_change(name: str) -> str:
    from ratta.simulate import CHANGES
    from ratta.simulate.profiles import named

    try:
        return named(CHANGES, name, where="change").name
    except InputError as error:
        raise ValueError(str(error)) from error


Change = Annotated[str, AfterValidator(_known_change)]


class _Domain(_Strict):
    """What all domains have: `change` shows every crop by another camera, a name of `ratta.simulate.CHANGES`."""

    change: Change | None = None


class PoolDomain(_Domain):
    """Sessions in a pool folder that is already there."""

    kind: Literal["pool"]
    path: Path


class CorpusDomain(_Domain):
    """One split of a corpus; `frames` at most are taken from a presentation, evenly spread.

    `people` is a part of the split's subjects, as in `SimulatedDomain`. A file that cannot be read is a refused frame,
    named and counted; `strict` ends there instead.
    """

    kind: Literal[tuple(CORPORA)]  # type: ignore[valid-type]
    root: Path
    split: Split = "test"
    frames: int | None = Field(default=None, ge=1)
    protocol: int | None = Field(default=None, ge=1, le=4)
    fold: int | None = Field(default=None, ge=1, le=6)
    camera: str | None = None
    subjects: tuple[str, ...] | None = None
    people: tuple[Share, Share] = (0.0, 1.0)
    strict: bool = False


class SimulatedDomain(_Domain):
    """Simulated sessions: every person live, printed and replayed, before each camera in turn.

    `portraits` is a folder prepared by `ratta.simulate.prepare_portraits`. `people` is a part of its identities, as
    shares in the order of the hash of their names: training keeps 0 to 0.1 for validation, and never sees 0.1 to 0.2.
    `frame_size` is the height and width of the frames. Of the fifteen frames that a camera gives in a second each
    `every`-th is taken: a device learns from frames that are at least 200 ms apart.
    """

    kind: Literal["simulated"]
    portraits: Path
    people: tuple[Share, Share] = (0.1, 0.2)
    cameras: tuple[str, ...] = Field(min_length=1)
    illuminants: tuple[str, ...] = ()
    sessions: int = Field(default=1, ge=1)
    frames: int = Field(default=8, ge=1)
    every: int = Field(default=1, ge=1)
    frame_size: tuple[int, int] = (480, 640)
    seed: int = 0


Domain = Annotated[PoolDomain | CorpusDomain | SimulatedDomain, Field(discriminator="kind")]


class StreamSettings(_Strict):
    """One kind of stream; `frames` cuts or repeats it, `confirm` is the share of live sessions that are confirmed.

    `methods` are the labels of those that run on it, where not all do: most know nothing of confirmations.
    """

    kind: Literal[tuple(KINDS)]  # type: ignore[valid-type]
    frames: int | None = Field(default=None, ge=1)
    confirm: Share = 0.0
    methods: tuple[str, ...] = ()


class MethodSettings(_Strict):
    """One method, with what differs from its published constants; `label` names it in tables.

    A method of your own is named `module:Class`, as Python would import it.
    """

    name: str
    label: Name
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        name = value.get("name")
        return {"label": name.rpartition(":")[2] if isinstance(name, str) else name, **value}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in METHODS and not re.fullmatch(r"[\w.]+:\w+", name):
            raise ValueError(f"input should be {', '.join(map(repr, METHODS))} or module:Class")
        return name


def _named(key: str) -> BeforeValidator:
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class ExperimentSettings(_Strict):
    """Everything that decides the figures of an evaluation.

    Attributes
    ----------
    name : str
        Of the experiment.
    model : path
        A bundle.
    development : domain
        The source's development set, where the threshold is chosen.
    home : domain, optional
        The source camera's test sessions, for streams that begin there.
    targets : dict of domain
        Cameras to stream.
    changes : list of str
        Names of `ratta.simulate.CHANGES`: each target is also streamed under each, as `<target>+<change>`.
    streams, methods : list
        Names, or tables with options.
    seeds : list of int
    threshold : str
        A policy of `ratta.metrics.choose_threshold`.
    window : int
        Of the running error.
    threads : int
        Of torch, in each process.
    """

    name: Name
    model: Path
    development: Domain
    home: Domain | None = None
    targets: dict[Name, Domain] = Field(min_length=1)
    changes: tuple[Change, ...] = ()
    streams: tuple[Annotated[StreamSettings, _named("kind")], ...] = Field(min_length=1)
    methods: tuple[Annotated[MethodSettings, _named("name")], ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    threshold: str = "eer"
    window: int = Field(default=100, ge=2)
    threads: int = Field(default=1, ge=1)

    @field_validator("threshold")
    @classmethod
    def _known_policy(cls, policy: str) -> str:
        try:
            choose_threshold(ScoreSet(live_scores=[], is_live=[]), policy=policy, origin="")
        except InputError as error:
            raise ValueError(str(error)) from error
        return policy

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labels = [method.label for method in self.methods]
        if len(set(labels)) < len(labels):
            raise ValueError("methods: expected different labels; give methods that come twice a label each")
        unknown = [label for stream in self.streams for label in stream.methods if label not in labels]
        if unknown:
            raise ValueError(f"streams: methods: expected some of {labels}, got {unknown[0]!r}")
        kinds = [(stream.kind, stream.confirm) for stream in self.streams]
        if len(set(kinds)) < len(kinds) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("streams and seeds: expected each once")
        changed = [name for name, domain in self.targets.items() if domain.change]
        if changed and self.changes:
            raise ValueError(f"changes: expected targets without a change of their own, got {changed[0]}")
        homeless = [stream.kind for stream in self.streams if KINDS[stream.kind][1]]
        if homeless and self.home is None:
            raise ValueError(f"home: expected a domain for the stream {homeless[0]}, got none")
        return self


def all_targets(settings: ExperimentSettings) -> dict[str, Domain]:
    """Return the targets, each followed by itself under every change of the experiment."""
    found: dict[str, Domain] = {}
    for name, domain in settings.targets.items():
        found[name] = domain
        found |= {f"{name}+{one}": domain.model_copy(update={"change": one}) for one in settings.changes}
    return found


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a TOML or JSON file; paths in it that are relative are taken from the file's own folder.

    Raises
    ------
    DataError
        If it is absent or cannot be parsed.
    """
    path = Path(path)
    try:
        text = read_text(path, holds="an experiment in TOML or JSON")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected an experiment in TOML or JSON, got: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: expected a table, got a {type(values).__name__}")
    return {key: _anchored(value, key, path.parent) for key, value in values.items()}


def strictly(values: Any) -> Any:
    """Ask every corpus of an experiment to end at a file that cannot be read.

    Examples
    --------
    >>> strictly({"targets": {"here": {"kind": "folder", "root": "faces"}}})
    {'targets': {'here': {'kind': 'folder', 'root': 'faces', 'strict': True}}}
    """
    if isinstance(values, list):
        return [strictly(one) for one in values]
    if not isinstance(values, dict):
        return values
    given = {key: strictly(one) for key, one in values.items()}
    return {**given, "strict": True} if {"kind", "root"} <= given.keys() else given


def parse_experiment(values: Mapping[str, Any], *, where: str) -> ExperimentSettings:
    """Validate an experiment.

    Raises
    ------
    DataError
        Naming each key that does not fit, what was expected and what came.
    """
    try:
        return ExperimentSettings.model_validate(values)
    except ValidationError as error:
        raise DataError(explain(error, where)) from error


def explain(error: ValidationError, where: str) -> str:
    """Express a validation error as key, expectation and what came."""
    found = []
    for one in error.errors():
        key = ".".join(str(part) for part in one["loc"] if part not in ("pool", "corpus", "simulated"))
        came = repr(one["input"])
        shown = came if len(came) <= 60 else came[:57] + "..."
        message = one["msg"].removeprefix("Value error, ")
        found.append(f"{where}: {key + ': ' if key else ''}{message[0].lower()}{message[1:]}, got {shown}")
    return "; ".join(found)


def _anchored(value: Any, key: str, folder: Path) -> Any:
    if isinstance(value, dict):
        return {k: _anchored(v, k, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_anchored(one, "", folder) for one in value]
    if key in ("model", "root", "path", "portraits") and isinstance(value, str):
        candidate = folder / value
        # A model may also be the name of a shipped one.
        return str(candidate) if key != "model" or candidate.exists() else value
    return value
