"""The seeded network of `tests/inference`, and the same weights in torch."""

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("seeded_network", Path(__file__).parents[1] / "inference" / "conftest.py")


@pytest.fixture(scope="session")
def make_network():
    module = importlib.util.module_from_spec(SPEC)
    sys.modules[SPEC.name] = module  # dataclasses look their module up
    SPEC.loader.exec_module(module)
    return module.network


@pytest.fixture(scope="session")
def net(make_network):
    return make_network(64)
