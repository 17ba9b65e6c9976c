"""The error tree: one root, builtin parents, all names public."""

import pytest

import ratta
from ratta import errors

TREE = {
    "InputError": ValueError,
    "BundleError": ValueError,
    "StateError": ValueError,
    "DataError": ValueError,
    "SourceError": OSError,
    "OutputError": OSError,
    "TrainingError": RuntimeError,
    "MissingExtraError": ImportError,
}


@pytest.mark.parametrize(("name", "builtin"), TREE.items())
def test_every_error_is_ours_and_a_builtin(name, builtin):
    """Callers may catch `RattaError`, the class itself or the fitting builtin."""
    kind = getattr(errors, name)
    assert issubclass(kind, errors.RattaError)
    assert issubclass(kind, builtin)
    assert getattr(ratta, name) is kind


def test_the_tree_is_complete():
    """No error class is missing from the table above."""
    found = {n for n, k in vars(errors).items() if isinstance(k, type) and issubclass(k, Exception)}
    assert found == {*TREE, "RattaError"}
