"""The examples in docstrings: each module's are run, in the installed package."""

import doctest
import importlib
import pkgutil

import pytest

import ratta
from ratta.errors import MissingExtraError

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ratta.__path__, "ratta.", onerror=lambda name: None)
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["ratta", *MODULES])
def test_examples_in_docstrings_are_true(name):
    """Each module is imported and its examples give what they say."""
    try:
        module = importlib.import_module(name)
    except (MissingExtraError, ModuleNotFoundError) as error:
        pytest.skip(str(error))
    assert doctest.testmod(module).failed == 0


def test_there_are_examples():
    """The test above finds some: at least one in three of the core's modules that anybody imports."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = ("decision", "records", "engine", "session", "perception.crop", "metrics.rates", "camera.sources")
    found = {name: finder.find(importlib.import_module(f"ratta.{name}")) for name in names}
    assert [name for name, tests in found.items() if not any(test.examples for test in tests)] == []
