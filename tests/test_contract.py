"""The contract of a network: what it may say, and what a choice of its crops leaves."""

import pytest

from ratta.contract import Contract, CropRule, InputRule, OutputRule, read_contract
from ratta.errors import BundleError, InputError

FOREIGN = Contract(
    input=InputRule(name="x", layout="NCHW", dtype="float32", color="bgr", mean=(0.0,) * 3, std=(1.0,) * 3),
    crops=(CropRule(size=80, scale=4.0, border="reflect"), CropRule(size=80, scale=2.7)),
    outputs=OutputRule(scores="y", kind="probabilities", classes=("print", "live", "replay"), embedding="f"),
)


@pytest.mark.parametrize("contract", [FOREIGN, Contract.native(size=128), Contract.native(size=96, scales=(2.7, 1.15))])
def test_what_is_written_is_read(contract):
    """Plain JSON values there and back, lists for tuples."""
    import json

    assert contract == read_contract(json.loads(json.dumps(contract.to_json())), where="here")


def test_a_choice_leaves_one_crop():
    """The widest or the tightest, wherever it stands."""
    assert FOREIGN is FOREIGN.choose("both")
    assert ((4.0,), (2.7,)) == (FOREIGN.choose("wide").scales, FOREIGN.choose("tight").scales)
    with pytest.raises(InputError, match=r"expected one of .*, got 'widest'"):
        FOREIGN.choose("widest")
    with pytest.raises(InputError, match="expected a model with several crops"):
        Contract.native(size=64).choose("wide")


@pytest.mark.parametrize("classes", [(), ("spoof", "print"), ("live", "live"), ("attack",), ("live", "a", "a")])
def test_one_class_is_live(classes):
    """Without it no score has a direction."""
    with pytest.raises(BundleError, match="classes"):
        OutputRule(classes=classes)


def test_the_outputs_that_are_read_are_named():
    """Scores first, and nothing that is not there."""
    assert ("logits", "embedding", "cut") == Contract.native(size=64).outputs.names
    assert ("y", "f") == FOREIGN.outputs.names


def test_crops_are_different_and_of_one_size():
    """One graph has one input."""
    for rules in ((), (CropRule(size=64, scale=2.0),) * 2, (CropRule(size=64, scale=2), CropRule(size=80, scale=3))):
        with pytest.raises(BundleError, match="different rules of one size"):
            Contract(input=InputRule(), crops=rules, outputs=OutputRule())
