"""Activations with arguments or parameters, and outputs of rows, against Keras 3 and PyTorch in float64."""

import itertools
import os
from typing import Any

import numpy as np
import pytest
from networks import activation, dense, learned, network, with_optimizer
from optimizer_specs import ADAM, SGD
from programs import made

import evenflow
from evenflow import _core

os.environ["KERAS_BACKEND"] = "torch"
torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


def of_keras(function: Any, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and gradient."""
    tensor = torch.tensor(x, requires_grad=True)
    y = function(tensor)
    (y * torch.tensor(dy)).sum().backward()
    return y.detach().numpy(), tensor.grad.numpy()


@pytest.mark.parametrize(
    ("max_value", "negative_slope", "threshold"), list(itertools.product((None, 6, 0.75, 0), (0, 0.3), (0, 0.5, 2)))
)
def test_relu_with_arguments(max_value, negative_slope, threshold, isa, rng):
    x, dy = 3 * rng.standard_normal((20, 33)), rng.standard_normal((20, 33))
    arguments = {"max_value": max_value, "negative_slope": negative_slope, "threshold": threshold}
    y, dx = of_keras(lambda t: keras.activations.relu(t, **arguments), x, dy)
    np.testing.assert_allclose(evenflow.activations.relu(x, **arguments), y, rtol=1e-14)
    model = evenflow.Sequential([evenflow.Input((33,)), evenflow.layers.ReLU(**arguments)], dtype="float64")
    program = _core.Program({**model.spec(), "loss": None}, dtype="float64", batch_size=20)
    np.testing.assert_allclose(program.forward(x), y, rtol=1e-14)
    np.testing.assert_allclose(program.backward(dy), dx, rtol=1e-14)
    defaults = keras.layers.ReLU().get_config(), evenflow.layers.ReLU().get_config()
    assert [[c[name] for name in arguments] for c in defaults] == [[None, 0.0, 0.0]] * 2


def sparsemax(x: Any) -> Any:
    """By its definition; Keras 3.15's takes sums of sums, and its rows do not add up to 1."""
    falling = x.sort(dim=1, descending=True).values
    limits = (falling.cumsum(1) - 1) / torch.arange(1, x.shape[1] + 1)
    return torch.relu(x - limits.gather(1, (falling > limits).sum(1, keepdim=True) - 1))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sparsemax"])
@pytest.mark.parametrize("shape", [(1, 2), (12, 7), (33, 65)], ids=str)
def test_outputs_of_rows(name, shape, isa, rng):
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    y, dx = of_keras(sparsemax if name == "sparsemax" else getattr(keras.activations, name), x, dy)
    program = _core.Program(
        {"inputs": shape[1], "layers": [{**activation(name), "name": "last"}]}, dtype="float64", batch_size=shape[0]
    )
    np.testing.assert_allclose(program.forward(x), y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(program.backward(dy), dx, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(getattr(evenflow.activations, name)(x), y, rtol=1e-12, atol=1e-14)


class TorchNetwork:
    """The networks below in PyTorch's operations, with the variables of a program."""

    def __init__(self, program: Any) -> None:
        self.spec = program.spec
        self.variables = {
            name: torch.tensor(program.get(name), requires_grad=True) for name, _, _ in program.variables()
        }

    def forward(self, x: Any) -> Any:
        for layer in self.spec["layers"]:
            own = {k.split("/")[1]: v for k, v in self.variables.items() if k.startswith(layer["name"] + "/")}
            if layer["kind"] == "dense":
                x = x @ own["kernel"] + own["bias"]
            elif layer["activation"] == "prelu":
                x = torch.nn.functional.prelu(x, own["alpha"])
            elif layer["activation"] == "learned_swish":
                x = x * torch.sigmoid(own["beta"] * x)
            else:
                x = torch.log_softmax(x, dim=1)
        return x


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("shared", [False, True], ids=["unit", "layer"])
@pytest.mark.parametrize("name", ["prelu", "learned_swish"])
def test_training_with_learned_activations(name, shared, optimizer, isa, rng):
    layers = [dense(33), learned(name, shared=shared), dense(17), learned(name, shared=shared), dense(5)]
    spec = network(9, [*layers, activation("log_softmax")], "sparse_categorical_crossentropy", from_logits=True)
    program = made(with_optimizer(spec, optimizer), dtype="float64", batch_size=16)
    peer = TorchNetwork(program)
    rate = 0.01
    rules = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    update = rules[optimizer["kind"]](peer.variables.values(), lr=rate)
    for step in range(1, 11):
        x, y = rng.standard_normal((16, 9)), rng.integers(0, 5, 16)
        if optimizer is ADAM:  # Keras' epsilon in PyTorch's place
            update.param_groups[0]["eps"] = ADAM["epsilon"] / (1 - ADAM["beta_2"] ** step) ** 0.5
        update.zero_grad()
        loss = torch.nn.functional.nll_loss(peer.forward(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        update.step()
        own = program.train(x, y, learning_rate=rate).loss / 16
        assert own == pytest.approx(loss.item(), rel=1e-10)
    for path, value in peer.variables.items():
        np.testing.assert_allclose(program.get(path), value.detach().numpy(), rtol=1e-8, atol=1e-10, err_msg=path)


@pytest.mark.parametrize("shared_axes", [None, [1]], ids=["unit", "shared"])
def test_prelu_of_keras(shared_axes, rng):
    x, y = rng.standard_normal((40, 9)), rng.standard_normal((40, 2))
    models = []
    for library in (keras, evenflow):
        layers = library.layers
        model = library.Sequential(
            [
                layers.Input((9,)),
                layers.Dense(17, dtype="float64") if library is keras else layers.Dense(17),
                layers.PReLU("ones", shared_axes=shared_axes, **({"dtype": "float64"} if library is keras else {})),
                layers.Dense(2, dtype="float64") if library is keras else layers.Dense(2),
            ],
            **({} if library is keras else {"dtype": "float64"}),
        )
        model.compile(library.optimizers.SGD(0.1), "mse")
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    for model in models:
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for own, theirs in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-6, atol=1e-7)  # Keras takes its means in float32
