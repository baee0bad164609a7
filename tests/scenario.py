"""A small network that trains in milliseconds, and a way to run a scenario in a process of its own."""

import os
import subprocess
import sys
import textwrap

import networks
import numpy as np
import programs
from networks import activation, batch_norm, dense
from optimizer_specs import ADAM

from evenflow import _core

LAYERS = [dense(128), batch_norm(), activation("relu"), dense(10), activation("softmax")]
SPEC = networks.with_optimizer(
    networks.network(64, LAYERS, networks.SPARSE, metrics=("sparse_categorical_accuracy",)), ADAM
)
ROWS = 1024


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return networks.data(SPEC, ROWS, np.random.default_rng(seed), np.float32)


def program(seed: int, **options) -> _core.Program:
    return programs.made(SPEC, seed, batch_size=64, **options)


def train(seed: int = 0, epochs: int = 3, **options) -> bytes:
    """The bits of a trained model: its parameters."""
    made, (x, y) = program(seed, **options), data(seed)
    for _ in range(epochs):
        made.train(x, y, learning_rate=1e-3)
    return made.parameters.tobytes()


def run(code: str, *, timeout: float = 60, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this code in a new interpreter that can import this file."""
    paths = [os.path.dirname(__file__), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done
