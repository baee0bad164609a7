"""evenflow's forward and backward pass against `jax.grad`, in float64."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import parity
import pytest
from evenflow.bench import workloads
from evenflow.bench.problem import Problem
from evenflow.bench.workloads import layer_name

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def logits(given: Problem, variables: Any, x: Any) -> Any:
    depth = len(given.workload.hidden)
    activation = getattr(jax.nn, given.workload.activation)
    for index in range(depth):
        norm = layer_name("batch_normalization", index)
        z = x @ variables[layer_name("dense", index) + "/kernel"]
        normal = (z - z.mean(axis=0)) / jnp.sqrt(z.var(axis=0) + workloads.BN_EPSILON)
        x = activation(normal * variables[f"{norm}/gamma"] + variables[f"{norm}/beta"])
    last = layer_name("dense", depth)
    return x @ variables[f"{last}/kernel"] + variables[f"{last}/bias"]


def assert_close(name: str, own: np.ndarray, expected: Any) -> None:
    expected = np.asarray(expected)
    assert expected.dtype == np.float64
    np.testing.assert_allclose(own, expected, rtol=0, atol=1e-10 * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("name", parity.NETWORKS)
def test_gradients(name, isa):
    given = parity.problem(name)
    x, y = parity.batch(given, 0, np.float64)
    variables = {name: value.astype(np.float64) for name, value in given.variables.items() if "/moving_" not in name}

    def cross_entropy(z: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()

    def loss(variables: Any, x: Any) -> Any:
        return cross_entropy(logits(given, variables, x))

    expected, expected_dx = jax.grad(loss, argnums=(0, 1))(variables, x)
    program = parity.program(given, np.float64)
    z = program.forward(x, training=True)
    assert_close("logits", z, logits(given, variables, x))
    assert_close("dx", program.backward(np.array(jax.grad(cross_entropy)(z))), expected_dx)
    for path, gradient in expected.items():
        assert_close(path, program.gradient(path), gradient)
