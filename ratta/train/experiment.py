"""Labelled experiments: a file of scenarios, trained with several seeds on one division of one set of data.

A file names data domains (as those of `ratta eval`), what every training has in common, and scenarios: what each
changes, its teachers, and whether its settings come from the study. Paths are relative to the file.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ratta.contract import Contract
from ratta.errors import DataError, InputError, SourceError, TrainingError
from ratta.evaluate.domains import prepare_pool
from ratta.evaluate.experiment import Domain, Name, explain
from ratta.evaluate.sessions import CropSession, read_pool
from ratta.evaluate.sweep import Range
from ratta.train.labelled import Part, Parts, divide, gather
from ratta.train.network import NETWORKS
from ratta.train.supervised import SupervisedSettings, Teaching
from ratta.train.teachers import NetworkTeacher, OnnxTeacher, SilentFaceTeacher, Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PARTS = ("train", "validation", "test")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TeachingSettings(_Strict):
    """See :class:`ratta.train.supervised.Teaching`."""

    form: Literal["hinton", "additive", "convex"] = "hinton"
    alpha: float = Field(default=0.3, ge=0, le=1)
    beta: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=4.0, gt=0)
    layers: tuple[Literal["middle", "last", "embedding"], ...] = ()
    align: float = Field(default=0.5, ge=0)


class TrainingSettings(_Strict):
    """What decides one training; see :class:`ratta.train.supervised.SupervisedSettings`."""

    network: Literal[tuple(NETWORKS)] = "mobilenet-v3-small"  # type: ignore[valid-type]
    epochs: float = Field(default=10.0, gt=0)
    batch: int = Field(default=64, ge=2)
    rate: float = Field(default=2e-3, gt=0)
    matrix_rate: float = Field(default=4e-3, gt=0)
    decay: float = Field(default=0.05, ge=0)
    tone_share: float = Field(default=0.3, ge=0, le=1)
    looks: int = Field(default=5, ge=1)
    precision: Literal["auto", "full", "mixed"] = "auto"
    threads: int = Field(default=1, ge=1)
    teaching: TeachingSettings = TeachingSettings()

    def run(self, *, folder: Path, crops: int, seed: int, crop_scale: float) -> SupervisedSettings:
        """Settle one run on so many crops: epochs become steps, looks the steps between validations."""
        steps = max(1, round(self.epochs * crops / self.batch))
        shared = self.model_dump(exclude={"epochs", "looks", "teaching"})
        return SupervisedSettings(
            folder=str(folder),
            steps=steps,
            seed=seed,
            crop_scale=crop_scale,
            warmup_steps=max(1, steps // 20),
            ema_steps=max(10, steps // 10),
            validate_steps=max(1, steps // self.looks),
            teaching=Teaching(**self.teaching.model_dump()),
            **shared,
        )


class ScenarioTeacher(_Strict):
    """The network of an earlier scenario, trained with its first seed."""

    kind: Literal["scenario"]
    name: Name


class CheckpointTeacher(_Strict):
    """A checkpoint of a network of ours."""

    kind: Literal["checkpoint"]
    path: Path


class SilentFace(_Strict):
    """A published Silent-Face state dictionary."""

    kind: Literal["silent-face"]
    path: Path
    crop_scale: float = 2.7


class OnnxFile(_Strict):
    """An ONNX classifier with its preprocessing contract."""

    kind: Literal["onnx"]
    path: Path
    size: int = 128
    crop_scale: float = 1.5
    bgr: bool = False
    divisor: float = 255.0
    live: int = 0


TeacherSettings = Annotated[ScenarioTeacher | CheckpointTeacher | SilentFace | OnnxFile, Field(discriminator="kind")]


class Scenario(_Strict):
    """One row of the table: what it changes of the training, its teachers, and whether the study decides."""

    name: Name
    training: dict[str, Any] = {}
    teachers: tuple[TeacherSettings, ...] = ()
    tuned: bool = False
    seeds: tuple[int, ...] | None = None


class StudySettings(_Strict):
    """An Optuna study over keys of the training; it maximises the AUC on the validation part."""

    trials: int = Field(ge=1)
    seed: int = 0
    training: dict[str, Any] = {}
    space: dict[str, Range] = Field(min_length=1)


class TrainingExperiment(_Strict):
    """A whole file.

    Attributes
    ----------
    name : str
    size, crop_scale : int, float
        Of the crops.
    data : dict of domain
        Where crops may come from.
    use : list of str
        Those that are used, mixed and divided 80:10:10 by person; all by default. Or, in place of it, `parts`: which
        of them are for training, validation and test.
    training : table
        Of every scenario.
    study : table, optional
    scenarios : list
        In this order; a teacher comes before its pupils.
    seeds : list of int
    threshold : str
        A policy of `ratta.metrics.choose_threshold`, for the validation part.
    """

    name: Name
    size: int = Field(default=96, ge=32, le=512)
    crop_scale: float = Field(default=2.7, ge=1, le=4)
    data: dict[Name, Domain] = Field(min_length=1)
    use: tuple[str, ...] | None = None
    parts: dict[Literal["train", "validation", "test"], tuple[str, ...]] | None = None
    training: dict[str, Any] = {}
    study: StudySettings | None = None
    scenarios: tuple[Scenario, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    threshold: str = "eer"

    @model_validator(mode="after")
    def _scenarios_fit(self) -> Self:
        names = [one.name for one in self.scenarios]
        if len(set(names)) < len(names):
            raise ValueError("scenarios: expected different names")
        for index, one in enumerate(self.scenarios):
            late = [t.name for t in one.teachers if isinstance(t, ScenarioTeacher) and t.name not in names[:index]]
            if late:
                raise ValueError(f"scenarios: {one.name}: expected its teacher {late[0]} before it")
            if one.tuned and self.study is None:
                raise ValueError(f"scenarios: {one.name}: expected a table [study], since it is tuned")
            try:
                self.training_of(one, {})
            except ValidationError as error:
                raise ValueError(explain(error, f"training of {one.name}")) from error
        return self

    @model_validator(mode="after")
    def _data_fit(self) -> Self:
        if self.parts is not None and set(self.parts) != set(PARTS):
            raise ValueError(f"parts: expected {', '.join(PARTS)}")
        wanted = set(self.use or ()).union(*(self.parts or {}).values())
        if wanted - set(self.data):
            raise ValueError(f"data: expected names of {', '.join(self.data)}, got {sorted(wanted - set(self.data))}")
        return self

    def training_of(self, scenario: Scenario, found: Mapping[str, Any]) -> TrainingSettings:
        """Lay a scenario's own settings over those of all, and over what the study found if it is tuned."""
        return merged(self.training, found if scenario.tuned else {}, scenario.training)


def merged(*layers: Mapping[str, Any]) -> TrainingSettings:
    """Lay tables of training settings over one another, the nested table `teaching` key by key.

    Examples
    --------
    >>> merged({"batch": 8, "teaching": {"alpha": 0.5}}, {"teaching.beta": 2.0}).teaching.beta
    2.0
    """
    values: dict[str, Any] = {"teaching": {}}
    for layer in layers:
        for key, value in layer.items():
            if key == "teaching":
                values["teaching"] |= value
            elif key.startswith("teaching."):
                values["teaching"][key.removeprefix("teaching.")] = value
            else:
                values[key] = value
    return TrainingSettings.model_validate(values)


def parse_training(values: Mapping[str, Any], *, where: str) -> TrainingExperiment:
    """Validate an experiment file, as `ratta.evaluate.read_settings` reads it.

    Raises
    ------
    DataError
        Naming each key that does not fit, what was expected and what came.
    """
    try:
        return TrainingExperiment.model_validate(values)
    except ValidationError as error:
        raise DataError(explain(error, where)) from error


def contract_of(settings: TrainingExperiment) -> Contract:
    """How crops are made for this experiment's networks."""
    return Contract.native(size=settings.size, scales=(settings.crop_scale,))


def read_parts(
    settings: TrainingExperiment, pools: Path, *, progress: bool = False, report: Callable[[str], None] = lambda _: None
) -> Parts:
    """Cut the crops, or take them from the pools they were cut into before, and divide them by person.

    Raises
    ------
    DataError
        If a corpus does not fit, somebody would be in two parts, or a class is empty.
    SourceError
        If a picture cannot be decoded.
    TrainingError
        If the crops cannot be written.
    """
    contract = contract_of(settings)

    def sessions(names: tuple[str, ...]) -> list[CropSession]:
        found: list[CropSession] = []
        for name in names:
            found += read_pool(cut(settings.data[name]))
        report_refused(found, report)
        return found

    def cut(domain: Any) -> Path:
        try:
            return prepare_pool(domain, contract, pools, progress=progress)
        except SourceError:
            raise
        except OSError as error:
            raise TrainingError(f"{pools}: expected room to write crops, got {error}; free space") from error

    if settings.parts is None:
        return divide(sessions(settings.use or tuple(settings.data)))
    made: dict[str, Part] = {name: gather(sessions(settings.parts[name]), name=name) for name in PARTS}  # type: ignore[index]
    return Parts(**made)


def report_refused(sessions: Sequence[CropSession], report: Callable[[str], None]) -> None:
    """Say how many crops are left out, and why: an experiment on the few that are left is another experiment."""
    reasons = Counter(str(reason) for one in sessions for reason in one.refusals)
    usable = reasons.pop("", 0)
    if reasons:
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        report(f"{usable} crops; {sum(reasons.values())} more were refused: {why}")


def open_teacher(settings: TeacherSettings, *, runs: Path, first_seed: Mapping[str, int]) -> Teacher:
    """Load a teacher; that of a scenario from its run's folder."""
    if isinstance(settings, ScenarioTeacher):
        return NetworkTeacher(run_folder(runs, settings.name, first_seed[settings.name]) / "best.pt")
    if isinstance(settings, CheckpointTeacher):
        return NetworkTeacher(settings.path)
    if isinstance(settings, SilentFace):
        return SilentFaceTeacher(settings.path, crop_scale=settings.crop_scale)
    if isinstance(settings, OnnxFile):
        return OnnxTeacher(**settings.model_dump(exclude={"kind"}))
    raise InputError(f"teacher: expected a known kind, got {settings}")


def run_folder(runs: Path, scenario: str, seed: int) -> Path:
    """Where a scenario's run with a seed lies."""
    return runs / f"{scenario}-{seed}"
