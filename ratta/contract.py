"""What a network takes and gives: its input, its crops, its outputs. Read from a bundle, checked, never guessed.

Nothing else in the package knows a size, a width, a layout or a class order of any network.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from ratta.errors import BundleError, InputError

LAYOUTS = ("NHWC", "NCHW")
DTYPES = ("uint8", "float32")
COLORS = ("rgb", "bgr")
BORDERS = ("shift", "reflect", "edge", "black")
KINDS = ("logits", "probabilities")
CHOICES = ("both", "wide", "tight")
LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRule:
    """How pixels enter the graph.

    Attributes
    ----------
    name : str
        Of the graph's input.
    layout : str
        "NHWC" or "NCHW".
    dtype : str
        "uint8": the graph takes grey levels 0 to 255 as they are. "float32": it takes `(pixels - mean) / std`.
    color : str
        "rgb" or "bgr".
    mean, std : tuple of 3 floats
        On the 0-255 scale, in the order of `color`. A uint8 graph normalises inside; they are then for the record.

    Raises
    ------
    BundleError
        If a value is not one of these.
    """

    name: str = "pixels"
    layout: str = "NHWC"
    dtype: str = "uint8"
    color: str = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)

    def __post_init__(self) -> None:
        _one_of("input.layout", self.layout, LAYOUTS)
        _one_of("input.dtype", self.dtype, DTYPES)
        _one_of("input.color", self.color, COLORS)
        _text("input.name", self.name)
        if not _are_three(self.mean) or not _are_three(self.std) or min(self.std) <= 0:
            raise BundleError(
                f"contract.input: expected 3 numbers each in mean and std, std above 0, got {self.mean}, {self.std}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRule:
    """How a crop is cut around a face.

    Attributes
    ----------
    size : int
        Side of the crop in pixels, 32 to 512.
    scale : float
        Side of the square over the longer side of the face box, 1 to 10.
    border : str
        What happens where the square leaves the frame. "shift": it is shrunk to the frame and shifted inside, so that
        no pixel is made up. "reflect", "edge", "black": it stays, and the frame is continued by its mirror image, its
        edge or black.
    resize : str
        "area": every input pixel counts by the area it covers, so nothing aliases.

    Raises
    ------
    BundleError
        If a value is out of range.
    """

    size: int
    scale: float
    border: str = "shift"
    resize: str = "area"

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 32 <= self.size <= 512:
            raise BundleError(f"contract.crops.size: expected 32 to 512 pixels, got {self.size!r}")
        if not _is_number(self.scale) or not 1 <= self.scale <= 10:
            raise BundleError(f"contract.crops.scale: expected 1 to 10, got {self.scale!r}")
        _one_of("crops.border", self.border, BORDERS)
        _one_of("crops.resize", self.resize, ("area",))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRule:
    """What the graph gives, by name.

    Attributes
    ----------
    scores : str
        The output with one value for each class.
    kind : str
        "logits" (before a softmax, or before a sigmoid where there is one class) or "probabilities".
    classes : tuple of str
        In the order of the values; exactly one is "live", the others are attacks. A single class is that of a single
        value: "live", or "spoof" where higher means attack.
    embedding : str
        The output with one feature vector a crop, of any width; empty where the graph has none.
    split : str
        The feature map from which the tail can be trained; empty where it cannot.
    head, stem : str
        Prefixes of the weights of the head and of the first layer; empty where the tail cannot be trained.

    Raises
    ------
    BundleError
        If a value is not one of these.
    """

    scores: str = "logits"
    kind: str = "logits"
    classes: tuple[str, ...] = ("spoof", LIVE)
    embedding: str = ""
    split: str = ""
    head: str = ""
    stem: str = ""

    def __post_init__(self) -> None:
        _text("outputs.scores", self.scores)
        _one_of("outputs.kind", self.kind, KINDS)
        if not all(isinstance(one, str) for one in (self.embedding, self.split, self.head, self.stem, *self.classes)):
            raise BundleError(f"contract.outputs: expected names, got {asdict(self)}")
        known = self.classes in ((LIVE,), ("spoof",)) or (len(self.classes) > 1 and self.classes.count(LIVE) == 1)
        if not known or len(set(self.classes)) < len(self.classes):
            raise BundleError(
                "contract.outputs.classes: expected different names of which one is 'live', or a single 'live' or "
                f"'spoof', got {list(self.classes)}"
            )
        if self.split and not (self.embedding and self.head and self.stem):
            raise BundleError("contract.outputs: expected embedding, head and stem beside split, got some empty")

    @property
    def names(self) -> tuple[str, ...]:
        """The outputs that are read, scores first."""
        return tuple(name for name in (self.scores, self.embedding, self.split) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything that an engine must know of a network.

    Attributes
    ----------
    input : InputRule
    crops : tuple of CropRule
        One or several of one face, all of one size; each goes through the same weights. The log-odds are averaged, the
        embeddings stand side by side.
    outputs : OutputRule

    Raises
    ------
    BundleError
        If a part is not what it should be.

    Examples
    --------
    >>> contract = Contract.native(size=128, scales=(2.7, 1.15))
    >>> contract.size, contract.choose("tight").scales
    (128, (1.15,))
    """

    input: InputRule
    crops: tuple[CropRule, ...]
    outputs: OutputRule

    def __post_init__(self) -> None:
        if not self.crops or len({rule.size for rule in self.crops}) > 1 or len(set(self.crops)) < len(self.crops):
            raise BundleError(f"contract.crops: expected different rules of one size, got {self.crops}")

    @classmethod
    def native(cls, *, size: int, scales: tuple[float, ...] = (2.7,), std: float = 255.0) -> Contract:
        """Return the contract of the networks that `ratta export` writes with a trainable tail.

        Parameters
        ----------
        size : int
        scales : tuple of float
            One for each crop.
        std : float
            What the graph divides pixels by.
        """
        return cls(
            input=InputRule(std=(std, std, std)),
            crops=tuple(CropRule(size=size, scale=scale) for scale in scales),
            outputs=OutputRule(embedding="embedding", split="cut", head="classifier", stem="features.0"),
        )

    @property
    def size(self) -> int:
        """Side of the network's input in pixels."""
        return self.crops[0].size

    @property
    def scales(self) -> tuple[float, ...]:
        """Of the crops, in their order."""
        return tuple(rule.scale for rule in self.crops)

    def choose(self, crops: str) -> Contract:
        """Return this contract with all of its crops ("both"), or with its "wide" or "tight" one alone.

        Raises
        ------
        InputError
            If `crops` is none of these, or there is no choice.
        """
        if crops not in CHOICES:
            raise InputError(f"crops: expected one of {CHOICES}, got {crops!r}")
        if crops == "both":
            return self
        if len(self.crops) == 1:
            raise InputError(f"crops: expected a model with several crops to choose from, got one; leave out {crops!r}")
        pick = max if crops == "wide" else min
        return replace(self, crops=(pick(self.crops, key=lambda rule: rule.scale),))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a manifest."""
        return asdict(self)


def read_contract(values: dict[str, Any], *, where: str) -> Contract:
    """Make a contract of a manifest's values.

    Parameters
    ----------
    values : dict
        As `Contract.to_json` gives it, or of the older format `ratta-bundle/1`.
    where : str
        For error messages.

    Raises
    ------
    BundleError
        If a key is missing or unknown, or a value does not fit.
    """
    if "crop_scale" in values:
        return _first_edition(values, where)
    if set(values) != {"input", "crops", "outputs"} or not isinstance(values["crops"], list):
        raise BundleError(f"{where}: contract: expected input, crops (a list) and outputs, got {sorted(values)}")
    return Contract(
        input=read_record(InputRule, values["input"], where=f"{where}: contract.input"),
        crops=tuple(read_record(CropRule, rule, where=f"{where}: contract.crops") for rule in values["crops"]),
        outputs=read_record(OutputRule, values["outputs"], where=f"{where}: contract.outputs"),
    )


_Record = TypeVar("_Record")


def read_record(kind: type[_Record], values: object, *, where: str) -> _Record:
    """Make a record of a JSON object that has every one of its fields and no other.

    Raises
    ------
    BundleError
        If it has not, or a value does not fit.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise BundleError(f"{where}: expected an object, got {type(values).__name__}")
    if set(values) != known:
        unknown, missing = sorted(set(values) - known), sorted(known - set(values))
        raise BundleError(f"{where}: unknown keys {unknown}, missing keys {missing}")
    made = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return kind(**made)
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise BundleError(f"{where}: {error}") from error


_FIXED = {
    "color": "rgb",
    "layout": "NHWC",
    "dtype": "uint8",
    "border": "shift",
    "resize": "area",
    "class_order": ["spoof", "live"],
}


def _first_edition(values: dict[str, Any], where: str) -> Contract:
    """Read the contract of `ratta-bundle/1`, which knew one family of networks."""
    known = {"size", "crop_scale", "mean", "std", *_FIXED}
    if set(values) != known:
        unknown, missing = sorted(set(values) - known), sorted(known - set(values))
        raise BundleError(f"{where}: contract: unknown keys {unknown}, missing keys {missing}")
    for name, expected in _FIXED.items():
        if values[name] != expected:
            raise BundleError(f"{where}: contract.{name}: expected {expected!r}, got {values[name]!r}")
    if not isinstance(values["mean"], list) or not isinstance(values["std"], list):
        raise BundleError(f"{where}: contract.mean and .std: expected lists, got {values['mean']}, {values['std']}")
    contract = Contract.native(size=values["size"], scales=(values["crop_scale"],))
    rule = replace(contract.input, mean=tuple(values["mean"]), std=tuple(values["std"]))
    return replace(contract, input=rule)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise BundleError(f"contract.{name}: expected one of {list(known)}, got {value!r}")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise BundleError(f"contract.{name}: expected a name, got {value!r}")


def _are_three(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(_is_number(one) for one in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
