"""A name, a function, a layer, an object in `activation=`: the same bits, in training too, for every activation."""

import numpy as np
import pytest

import evenflow
from evenflow import activations, layers

LAYERS = {
    "relu": layers.ReLU(),
    "relu6": layers.ReLU(6),
    "leaky_relu": layers.LeakyReLU(0.2),
    "elu": layers.ELU(),
    "silu": layers.Swish(),
    "softmax": layers.Softmax(),
    "prelu": layers.PReLU(),
    "learned_swish": layers.Swish(trainable_beta="unit"),
}
# RReLU draws numbers, from a seed that each layer has of its own: tests/test_noise_layers.py compares its forms.
NAMES = [*sorted(set(activations.FUNCTIONS) - {"rrelu"}), "hard_swish"]


def of(name):
    """A layer of its own that computes it."""
    made = LAYERS.get(name, layers.Activation(name))
    return made.from_config({key: value for key, value in made.get_config().items() if key != "name"})


FORMS = {
    "name": lambda name: [layers.Dense(5, name)],
    "function": lambda name: [layers.Dense(5, getattr(activations, name))],
    "layer": lambda name: [layers.Dense(5), of(name)],
    "Activation": lambda name: [layers.Dense(5), layers.Activation(name)],
    "object": lambda name: [layers.Dense(5, of(name))],
    "Activation in activation=": lambda name: [layers.Dense(5, layers.Activation(name))],
}


def trained(name, form, dtype):
    """Weights and outputs after three steps: of a hidden layer, or of the output where it can be nothing else."""
    rest = [] if name in activations.OUTPUTS else [layers.BatchNormalization(), layers.Dense(5)]
    model = evenflow.Sequential([layers.Input((7,)), *FORMS[form](name), *rest], dtype=dtype)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.4, w.shape) for w in model.get_weights()])
    model.compile("adam", "mse")
    x, y = rng.normal(size=(48, 7)).astype(dtype), rng.uniform(size=(48, 5)).astype(dtype)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    return [*model.get_weights(), model.predict(x, verbose=0)]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits(name, isa, dtype):
    first, *others = (trained(name, form, dtype.name) for form in FORMS)
    assert all(np.all(np.isfinite(value)) for value in first)
    for other in others:
        assert [value.tobytes() for value in other] == [value.tobytes() for value in first]
