"""Schedules and callbacks beside those of Keras and PyTorch."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras_words
import numpy as np
import pytest

import evenflow
from evenflow.schedules import OneCycle

pytestmark = pytest.mark.peers

KERAS = """
import json
import keras, keras_words
keras.config.set_floatx("float64")  # of the optimizer's rate; schedules stay in float32
print(json.dumps(keras_words.found(keras, ".keras")))
"""


@pytest.fixture(scope="module")
def theirs():
    if importlib.util.find_spec("keras") is None:  # importing it here would choose a backend for the whole process
        pytest.skip("keras is not installed")
    env = {**os.environ, "KERAS_BACKEND": "numpy", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-W", "ignore", "-c", KERAS]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def ours():
    return json.loads(json.dumps(keras_words.found(evenflow, ".safetensors")))


def test_values_of_schedules(ours, theirs):
    compared = 0
    for name, (values, config) in theirs["schedules"].items():
        # Keras computes them in float32, in four or five operations on numbers as large as the largest rate.
        bound = 4 * np.finfo(np.float32).eps * max(values)
        np.testing.assert_allclose(ours["schedules"][name][0], values, rtol=0, atol=bound, err_msg=name)
        assert ours["schedules"][name][1] == config, name
        compared += len(values)
    assert compared > 900


def test_arguments_and_defaults(ours, theirs):
    def value(text):
        return text if text is None else eval(text, {})  # literals of Keras' own signatures

    for name, arguments in theirs["defaults"].items():
        mine = [(key, value(default)) for key, default in ours["defaults"][name]]
        assert mine == [(key, value(default)) for key, default in arguments], name
    assert len(theirs["defaults"]) == 13


@pytest.mark.parametrize("what", ["early stopping", "plateaus", "scheduled", "checkpoints"])
def test_callbacks_count_as_keras(what, ours, theirs):
    assert ours[what].keys() == theirs[what].keys()
    for name, right in theirs[what].items():
        assert plain(ours[what][name]) == plain(right), name


def plain(value):
    """Comparable: two values that are no numbers are the same."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def test_csv_files(ours, theirs):
    assert ours["csv"] == theirs["csv"]


@pytest.mark.parametrize("three_phase", [True, False])
@pytest.mark.parametrize("anneal_strategy", ["linear", "cos"])
@pytest.mark.parametrize(("total_steps", "pct_start"), [(100, 0.45), (37, 0.3), (10, 0.25), (2, 0.45), (1, 0.4)])
def test_one_cycle_is_that_of_torch(three_phase, anneal_strategy, total_steps, pct_start):
    torch = pytest.importorskip("torch")
    settings = {"pct_start": pct_start, "anneal_strategy": anneal_strategy, "three_phase": three_phase}
    settings |= {"div_factor": 10.0, "final_div_factor": 1000.0}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps, **settings)
    mine = OneCycle(0.5, total_steps, **settings)
    steps = np.arange(total_steps, dtype=np.float64)
    rates, momenta = mine.rates(steps), mine.momenta(steps)
    for step in range(total_steps):
        group = optimizer.param_groups[0]
        assert rates[step] == pytest.approx(group["lr"], rel=1e-12, abs=1e-15)
        assert momenta[step] == pytest.approx(group["momentum"], rel=1e-12)
        if step + 1 < total_steps:
            optimizer.step()
            theirs.step()
