"""Which libgomp a wheel for other machines runs on: any that is there, else its own copy."""

import ctypes

import pytest

from evenflow.common import openmp


@pytest.fixture
def asked(monkeypatch):
    """The libraries that were asked for; those in `absent` cannot be found."""
    names, absent = [], set()

    def load(name):
        names.append(name)
        if name in absent:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    return names, absent


def test_a_build_from_source_loads_nothing(asked, tmp_path):
    names, _ = asked
    openmp.load(str(tmp_path / openmp.LIBRARY))
    assert names == []


def test_a_library_that_is_there_goes_first(asked, tmp_path):
    names, _ = asked
    own = tmp_path / openmp.LIBRARY
    own.touch()
    openmp.load(str(own))
    assert names == ["libgomp.so.1"]


def test_without_one_the_copy_is_loaded(asked, tmp_path):
    names, absent = asked
    own = tmp_path / openmp.LIBRARY
    own.touch()
    absent.add(openmp.LIBRARY)
    openmp.load(str(own))
    assert names == ["libgomp.so.1", str(own)]


def test_a_copy_that_does_not_load_says_so(asked, tmp_path):
    _, absent = asked
    own = tmp_path / openmp.LIBRARY
    own.touch()
    absent.update([openmp.LIBRARY, str(own)])
    with pytest.raises(OSError, match=r"/libgomp\.so\.1: cannot open"):
        openmp.load(str(own))
