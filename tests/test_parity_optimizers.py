"""Optimizers beside PyTorch and Keras 3: the door's over 200 steps, and what surrounds a rule in Keras."""

import importlib
import os
from typing import Any

import numpy as np
import parity
import pytest

import evenflow

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def nadam_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's NAdam keeps the product of its momenta in the default type."""
    monkeypatch.setattr(importlib.import_module("torch.optim.nadam"), "_get_scalar_dtype", lambda: torch.float64)


DOOR: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "eps": 1e-4}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"betas": (0.8, 0.99), "weight_decay": 0.1, "amsgrad": True}),
    ("NAdam", {}),
    ("NAdam", {"betas": (0.8, 0.99), "momentum_decay": 0.1, "weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "eps": 1e-4}),
    # Far from where the variance is rounding alone, which PyTorch takes the root of as it is.
    ("RMSprop", {"momentum": 0.5, "centered": True, "eps": 1e-3}),
]


def torch_steps(optimizer: Any, tensors: list[Any], gradients: list[np.ndarray]) -> None:
    for tensor, gradient in zip(tensors, gradients, strict=True):
        tensor.grad = torch.tensor(gradient)
    optimizer.step()


def assert_equal(tensors: list[Any], expected: list[np.ndarray]) -> None:
    for tensor, value in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(tensor.detach().numpy(), value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), DOOR, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_the_door_takes_pytorchs_steps(name, settings):
    steps = parity.updates(getattr(evenflow.torch, name)(**settings).spec(), parity.RATES)
    tensors = [torch.tensor(value) for value in next(steps)]
    optimizer = getattr(torch.optim, name)(tensors, **settings)
    for rate, (gradients, expected) in zip(parity.RATES, steps, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        torch_steps(optimizer, tensors, gradients)
        assert_equal(tensors, expected)


@pytest.mark.parametrize("name", evenflow.torch.__all__)
def test_the_doors_arguments_are_pytorchs(name):
    own, theirs = getattr(evenflow.torch, name)(), getattr(torch.optim, name)([torch.zeros(1)])
    settings = theirs.param_groups[0]
    config = own.get_config()
    assert config["lr"] == settings["lr"]
    for argument in [*type(own).ARGUMENTS, "weight_decay"]:
        assert np.allclose(config[argument], settings[argument], rtol=0, atol=0), argument
    rest = {"foreach", "fused", "capturable", "differentiable", "maximize", "params", "lr", "weight_decay"}
    assert set(settings) - rest - {"decoupled_weight_decay"} <= set(type(own).ARGUMENTS)
    again = evenflow.optimizers.get({"class_name": f"torch.{name}", "config": config})
    assert again.get_config() == config


def test_groups_of_parameters_are_factors():
    settings = {"momentum": 0.9, "weight_decay": 0.1}
    own = evenflow.torch.SGD(learning_rate_factors={".*/bias": 0.1}, **settings)
    spec = own.spec() | {"learning_rate_factors": {"dense/bias": 0.1}}
    steps = parity.updates(spec, parity.RATES)
    kernel, bias = (torch.tensor(value) for value in next(steps))
    optimizer = torch.optim.SGD([{"params": [kernel]}, {"params": [bias]}], **settings)
    for rate, (gradients, expected) in zip(parity.RATES, steps, strict=True):
        for group, factor in zip(optimizer.param_groups, (1, 0.1), strict=True):
            group["lr"] = factor * rate
        torch_steps(optimizer, [kernel, bias], gradients)
        assert_equal([kernel, bias], expected)


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "Adamax", "RMSprop"])
def test_one_cycle_moves_the_momentum_as_in_pytorch(name, rng):
    # A layer without bias, whose gradient does not depend on its weights: the target is far away on one side.
    total, x = 40, rng.standard_normal((8, 5))
    schedule = evenflow.schedules.OneCycle(0.05, total)
    momentum = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    own = getattr(evenflow.torch, name)(schedule, **momentum)
    spec = {"inputs": 5, "loss": {"kind": "mean_squared_error", "from_logits": False}, "metrics": []}
    layer = {"kind": "dense", "name": "dense", "units": 3, "use_bias": False, "trainable": True}
    program = evenflow.Program(spec | {"layers": [layer], "optimizer": own.spec()}, dtype="float64", batch_size=8)
    start, y = rng.standard_normal((5, 3)), rng.standard_normal((8, 3))
    program.set("dense/kernel", start)
    tensor = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, name)([tensor], **momentum)
    rates, momenta = schedule.rates(np.arange(float(total))), schedule.momenta(np.arange(float(total)))
    for rate, moving in zip(rates, momenta, strict=True):
        program.train(x, y, learning_rate=float(rate), momentum=float(moving))
        group = optimizer.param_groups[0]
        group["lr"] = float(rate)
        if momentum:
            group["momentum"] = float(moving)
        else:
            group["betas"] = (float(moving), group["betas"][1])
        optimizer.zero_grad()
        ((torch.tensor(x) @ tensor - torch.tensor(y)) ** 2).mean().backward()
        optimizer.step()
        np.testing.assert_allclose(program.get("dense/kernel"), tensor.detach().numpy(), rtol=1e-10, atol=1e-12)


# --------------------------------------------------------------------------------------------------------------- Keras

RULES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "clipvalue": 0.02}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "global_clipnorm": 0.1}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "clipnorm": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1, "beta_1": 0.8, "epsilon": 1e-3, "amsgrad": True}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.95, "beta_2": 0.99, "weight_decay": 0.1, "clipvalue": 0.02}),
    ("Adamax", {}),
    ("Adamax", {"beta_2": 0.9, "weight_decay": 0.1, "global_clipnorm": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3, "weight_decay": 0.1, "clipnorm": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.9, "epsilon": 1e-4, "weight_decay": 0.1, "clipvalue": 0.02}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1, "clipvalue": 0.02}),
    ("RMSprop", {"centered": True, "epsilon": 1e-3, "clipnorm": 0.1}),
    ("RMSprop", {"rho": 0.8, "momentum": 0.5, "centered": True, "epsilon": 1e-3, "global_clipnorm": 0.1}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.8, "weight_decay": 0.1, "global_clipnorm": 0.1}),
]
SURROUNDED: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"use_ema": True}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 7, "weight_decay": 0.1}),
    ("SGD", {"gradient_accumulation_steps": 3, "momentum": 0.9, "clipnorm": 0.1}),
    ("Adam", {"gradient_accumulation_steps": 2, "amsgrad": True, "global_clipnorm": 0.1, "weight_decay": 0.1}),
    ("Nadam", {"gradient_accumulation_steps": 4}),
    ("RMSprop", {"gradient_accumulation_steps": 3, "use_ema": True, "ema_momentum": 0.9, "centered": True}),
    ("Lion", {"gradient_accumulation_steps": 3, "use_ema": True, "ema_overwrite_frequency": 2}),
]


@pytest.mark.parametrize(
    ("name", "settings"), [*RULES, *SURROUNDED], ids=lambda v: v if isinstance(v, str) else "-".join(v)
)
def test_updates_are_those_of_keras(name, settings):
    own, theirs = (getattr(library.optimizers, name)(**settings) for library in (evenflow, keras))
    steps = parity.updates(own.spec(), parity.RATES)
    variables = [keras.Variable(value) for value in next(steps)]
    for rate, (gradients, expected) in zip(parity.RATES, steps, strict=True):
        theirs.learning_rate = rate
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        for variable, value in zip(variables, expected, strict=True):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_ema": True, "ema_momentum": 0.8},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2, "gradient_accumulation_steps": 3},
    ],
    ids="-".join,
)
def test_fit_is_keras(settings, rng):
    x, y = rng.standard_normal((50, 5)), rng.standard_normal((50, 1))
    weights = [rng.standard_normal(shape) / 2 for shape in ((5, 9), (9,), (9, 1), (1,))]
    found, losses, iterations = [], [], []
    for library, options in ((evenflow, {"dtype": "float64"}), (keras, {})):
        layers = [library.layers.Input((5,)), library.layers.Dense(9, "tanh"), library.layers.Dense(1)]
        model = library.Sequential(layers, **options)
        model.set_weights(weights)
        # A schedule counts batches, whatever accumulates.
        schedule = library.optimizers.schedules.InverseTimeDecay(0.1, decay_steps=3, decay_rate=0.5)
        model.compile(library.optimizers.SGD(schedule, momentum=0.9, **settings), "mse")
        history = model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0, validation_data=(x, y))
        losses.append(history.history)
        found.append(model.get_weights())
        iterations.append(int(model.optimizer.iterations))
    assert iterations[0] == iterations[1]
    for name, values in losses[1].items():
        np.testing.assert_allclose(losses[0][name], values, rtol=1e-10, err_msg=name)
    for own, expected in zip(*found, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-10, atol=1e-12)
