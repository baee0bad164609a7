"""Regularizers and constraints against Keras 3, and l2 against PyTorch's coupled weight decay, in float64."""

from typing import Any

import numpy as np
import parity
import pytest
from evenflow.bench.problem import Problem
from optimizer_specs import ADAM, MOMENTUM, SGD

import evenflow
from evenflow import _core

parity_keras = pytest.importorskip("test_parity_keras")  # which needs Keras, and chooses its backend
parity_torch = pytest.importorskip("test_parity_torch")
keras, torch = parity_keras.keras, parity_torch.torch
pytestmark = parity_keras.pytestmark

BATCH, EPOCHS = 12, 17  # of 72 rows for training: 6 steps, the last one of 8 rows, so 102 in all


def kept(constraint: Any, lowest: float, highest: float) -> Any:
    """Keras' constraint where norms are outside the limits; it changes the bits of the others as well."""

    class Kept(type(constraint)):  # type: ignore[misc]
        def __call__(self, w: Any) -> Any:
            norms = keras.ops.sqrt(keras.ops.sum(keras.ops.square(w), axis=self.axis, keepdims=True))
            return keras.ops.where((norms >= lowest) & (norms <= highest), w, super().__call__(w))

    return Kept(**constraint.get_config())


# Arguments of Dense, as functions of the library.
CASES: dict[str, dict[str, Any]] = {
    "l1": {"kernel_regularizer": lambda k: k.regularizers.L1(0.002), "bias_regularizer": lambda k: "l1"},
    "l2": {"kernel_regularizer": lambda k: k.regularizers.L2(0.02), "bias_regularizer": lambda k: "l2"},
    "l1_l2": {
        "kernel_regularizer": lambda k: k.regularizers.L1L2(0.002, 0.01),
        "bias_regularizer": lambda k: k.regularizers.l1_l2(0.003, 0.004),
    },
    "orthogonal rows": {"kernel_regularizer": lambda k: k.regularizers.OrthogonalRegularizer(0.3)},
    "orthogonal columns": {"kernel_regularizer": lambda k: k.regularizers.OrthogonalRegularizer(0.3, "columns")},
    "activity l1": {"activity_regularizer": lambda k: k.regularizers.L1(0.01)},
    "activity l2": {"activity_regularizer": lambda k: "l2"},
    "activity l1_l2": {"activity_regularizer": lambda k: k.regularizers.L1L2(0.02, 0.01)},
    "unit_norm": {"kernel_constraint": lambda k: "unit_norm"},
    "unit_norm of a bias": {
        "bias_constraint": lambda k: k.constraints.UnitNorm(),
        "bias_initializer": lambda k: "ones",
    },
    "non_neg": {"kernel_constraint": lambda k: "non_neg", "bias_constraint": lambda k: k.constraints.NonNeg()},
    "max_norm": {
        "kernel_constraint": lambda k: (
            k.constraints.MaxNorm(0.9) if k is evenflow else kept(keras.constraints.MaxNorm(0.9), 0, 0.9)
        ),
    },
    "unit_norm of inputs": {"kernel_constraint": lambda k: k.constraints.UnitNorm(axis=1)},
    "unit_norm of all": {"kernel_constraint": lambda k: k.constraints.UnitNorm(axis=[0, 1])},
    "max_norm of inputs": {
        "kernel_constraint": lambda k: (
            k.constraints.MaxNorm(0.9, axis=-1)
            if k is evenflow
            else kept(keras.constraints.MaxNorm(0.9, axis=-1), 0, 0.9)
        ),
    },
    "min_max_norm": {
        "kernel_constraint": lambda k: (
            k.constraints.MinMaxNorm(0.8, 1.0, rate=0.3)
            if k is evenflow
            else kept(keras.constraints.MinMaxNorm(0.8, 1.0, rate=0.3), 0.8, 1.0)
        ),
    },
}


def trained(library: Any, case: dict[str, Any], optimizer: Any, weights: Any = None, **options: Any) -> Any:
    """A model after `EPOCHS`, its history, and its scores; the weights it started from."""
    layers, settings = library.layers, {name: of(library) for name, of in case.items()}
    model = library.Sequential(
        [
            layers.Input((9,)),
            layers.Dense(33, "elu", **settings),
            layers.BatchNormalization(gamma_regularizer="l2", beta_regularizer=library.regularizers.L1(0.01)),
            layers.ActivityRegularization(0.001, 0.002),
            layers.Dense(17, **settings),
            layers.LayerNormalization(
                beta_regularizer="l1", gamma_regularizer=library.regularizers.L2(0.02), beta_constraint="non_neg"
            ),
            layers.PReLU("ones", library.regularizers.L1L2(0.01, 0.02), "non_neg"),
            layers.Activation("tanh", activity_regularizer=library.regularizers.L2(0.01)),
            layers.Dense(5),
        ],
        **options,
    )
    start = model.get_weights()
    if weights is not None:
        model.set_weights(weights)
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(getattr(library.optimizers, optimizer)(0.01), loss)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((85, 9)), rng.integers(0, 5, 85)
    history = model.fit(x, y, BATCH, EPOCHS, verbose=0, validation_split=0.2, shuffle=False).history
    return start, model.get_weights(), history, model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps_are_those_of_keras(name, optimizer):
    start, *expected = trained(keras, CASES[name], optimizer)
    _, weights, history, score = trained(evenflow, CASES[name], optimizer, start, dtype="float64")
    for own, theirs in zip(weights, expected[0], strict=True):
        np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-8)
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(history[key], expected[1][key], rtol=1e-8)
    assert score == pytest.approx(expected[2], rel=1e-8)


def test_max_norm_of_keras_as_it_is():
    # It also multiplies the columns inside by norm / (norm + 1e-7): after a hundred steps 1e-5 of their size.
    case = {"kernel_constraint": lambda k: k.constraints.MaxNorm(0.9)}
    start, expected, *_ = trained(keras, case, "SGD")
    _, weights, *_ = trained(evenflow, case, "SGD", start, dtype="float64")
    for own, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        (SGD, lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1)),
        (MOMENTUM, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1)),
        (ADAM | {"epsilon": 1e-30}, lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-30, weight_decay=0.1)),
    ],
    ids=["sgd", "momentum", "adam"],
)
def test_l2_is_half_the_coupled_weight_decay_of_torch(settings, optimizer):
    given = Problem.of(parity.SMALL)
    spec = parity.spec(given, settings)
    for layer in spec["layers"]:
        names = {
            "dense": ["kernel", "bias"][: 1 + layer.get("use_bias", True)],
            "batch_normalization": ["gamma", "beta"],
        }
        if layer["kind"] in names:
            layer["regularizers"] = {name: {"l1": 0.0, "l2": 0.05} for name in names[layer["kind"]]}
    program = _core.Program(spec, dtype="float64", batch_size=given.workload.batch)
    for name, value in given.variables.items():
        program.set(name, value.astype(np.float64))
    for step in range(100):
        program.train(*parity.batch(given, step, np.float64), learning_rate=0.01)
    expected = parity_torch.torch_run(given, torch.float64, 100, optimizer)
    for name, value in expected.variables.items():
        np.testing.assert_allclose(program.get(name), value, rtol=0, atol=1e-9, err_msg=name)
