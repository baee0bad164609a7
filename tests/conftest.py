"""Every kernel test runs on each instruction set of this machine and in both types, from a seed that its name gives."""

import importlib
import os
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from evenflow import _core

ISAS = [os.environ["EVENFLOW_ISA"]] if "EVENFLOW_ISA" in os.environ else _core.isas()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that go through the instruction sets by themselves can be left out where one is forced."""
    for item in items:
        if "isa" in getattr(item, "fixturenames", ()):
            item.add_marker("every_isa")


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """The instruction set in use during the test."""
    before = _core.isa()
    _core.use_isa(request.param)
    assert _core.isa() == request.param
    yield request.param
    _core.use_isa(before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return np.dtype(request.param)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Seeded by the test's name without its parameters: each instruction set and type sees the same data."""
    return np.random.default_rng(zlib.crc32(request.node.originalname.encode()))


@pytest.fixture
def keras_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64 throughout. Left alone, it takes means and the like in float32 unless on TensorFlow."""
    keras = importlib.import_module("keras")
    dtypes = importlib.import_module("keras.src.backend.common.dtypes")
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])
