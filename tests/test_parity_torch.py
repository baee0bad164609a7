"""evenflow against PyTorch: training runs in float64 and float32, activations, losses, optimizers."""

import functools
import importlib
from typing import Any

import numpy as np
import parity
import pytest
from evenflow.bench import workloads
from evenflow.bench.problem import Problem
from evenflow.bench.workloads import layer_name
from optimizer_specs import ADAM, MOMENTUM, NESTEROV, SGD
from parity import Run
from peer_activations import counterparts

import evenflow
from evenflow import _core

torch = pytest.importorskip("torch")
functional = torch.nn.functional
pytestmark = pytest.mark.peers


class KerasAdam:
    """Adam with epsilon where Keras and evenflow have it, in PyTorch's tensor operations."""

    def __init__(self, parameters: list[Any]) -> None:
        self.parameters = parameters
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        beta_1, beta_2 = workloads.BETA_1, workloads.BETA_2
        rate = workloads.LEARNING_RATE * (1 - beta_2**self.steps) ** 0.5 / (1 - beta_1**self.steps)
        with torch.no_grad():
            for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
                m += (1 - beta_1) * (p.grad - m)
                v += (1 - beta_2) * (p.grad * p.grad - v)
                p -= rate * m / (v.sqrt() + workloads.EPSILON)


def torch_run(given: Problem, dtype: Any, steps: int, optimizer: Any = KerasAdam) -> Run:
    """The workload in PyTorch's operations; `optimizer` makes one from the trainable tensors."""
    workload, depth = given.workload, len(given.workload.hidden)
    keep, activation = workloads.BN_MOMENTUM, getattr(functional, given.workload.activation)
    tensors = {name: torch.tensor(value, dtype=dtype) for name, value in given.variables.items()}
    trainable = [tensor.requires_grad_() for name, tensor in tensors.items() if "/moving_" not in name]
    update = optimizer(trainable)
    losses = []
    for step in range(steps):
        x, y = (torch.from_numpy(array) for array in parity.batch(given, step, np.float32))
        h = x.to(dtype)
        for index in range(depth):
            norm = layer_name("batch_normalization", index)
            h = functional.batch_norm(
                h @ tensors[layer_name("dense", index) + "/kernel"],
                tensors[f"{norm}/moving_mean"],
                tensors[f"{norm}/moving_variance"],
                tensors[f"{norm}/gamma"],
                tensors[f"{norm}/beta"],
                training=True,
                momentum=1 - keep,
                eps=workloads.BN_EPSILON,
            )
            h = activation(h)
        last = layer_name("dense", depth)
        loss = functional.cross_entropy(h @ tensors[f"{last}/kernel"] + tensors[f"{last}/bias"], y)
        for tensor in trainable:
            tensor.grad = None
        loss.backward()
        update.step()
        losses.append(loss.item())
    variables = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in tensors.items()}
    for name in variables:
        # PyTorch averages the unbiased variance, evenflow and Keras the biased one.
        if name.endswith("/moving_variance"):
            rest = keep**steps  # of the initial 1
            variables[name] = rest + (variables[name] - rest) * (workload.batch - 1) / workload.batch
    return Run(np.array(losses), variables)


@functools.cache
def exact(name: str, seed: int = 0) -> Run:
    return torch_run(parity.problem(name, seed), torch.float64, parity.STEPS)


@pytest.mark.parametrize("name", parity.NETWORKS)
def test_float64_run(name):
    run = parity.evenflow_run(parity.problem(name), np.float64, parity.STEPS)
    assert parity.largest_difference(run, exact(name)) <= 1e-9


@pytest.mark.parametrize("name", parity.NETWORKS)
def test_float32_run_is_as_close_to_float64_as_torch_is(name):
    # How far roundings drift is luck, by a factor of two in `deep`, and so is a peer's: root mean squares over runs.
    own, peer = [], []
    for seed in range(6):
        given = parity.problem(name, seed)
        own.append(parity.distances(parity.evenflow_run(given, np.float32, parity.STEPS), exact(name, seed)))
        peer.append(parity.distances(torch_run(given, torch.float32, parity.STEPS), exact(name, seed)))
    for kind in ("losses", "weights"):
        distance, limit = (np.sqrt(np.mean([run[kind] ** 2 for run in runs])) for runs in (own, peer))
        assert distance <= 2 * limit, kind


# ---------------------------------------------------------------------------------------------------------- optimizers


class TorchAdam:
    """PyTorch's own Adam, with epsilon set at each step to what Keras' form means there."""

    def __init__(self, parameters: list[Any]) -> None:
        self.adam = torch.optim.Adam(parameters, lr=0.01, betas=(ADAM["beta_1"], ADAM["beta_2"]))
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        self.adam.param_groups[0]["eps"] = ADAM["epsilon"] / (1 - ADAM["beta_2"] ** self.steps) ** 0.5
        self.adam.step()


class ClippedSgd:
    """PyTorch's SGD after its clipping by value."""

    def __init__(self, parameters: list[Any]) -> None:
        self.parameters = parameters
        self.sgd = torch.optim.SGD(parameters, lr=0.01)

    def step(self) -> None:
        torch.nn.utils.clip_grad_value_(self.parameters, 0.02)
        self.sgd.step()


@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        (SGD, lambda p: torch.optim.SGD(p, lr=0.01)),
        (MOMENTUM, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
        (NESTEROV, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True)),
        (ADAM, TorchAdam),
        (SGD | {"clipvalue": 0.02}, ClippedSgd),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "clipvalue"],
)
def test_optimizer(settings, optimizer):
    given = Problem.of(parity.SMALL)
    run = parity.evenflow_run(given, np.float64, 30, settings, learning_rate=0.01)
    assert parity.largest_difference(run, torch_run(given, torch.float64, 30, optimizer)) <= 1e-10


TINY = 1e-30  # an epsilon too small to matter, wherever it stands
COUNTERPARTS = {
    "AdamW": ({"weight_decay": 0.1, "epsilon": TINY}, {"weight_decay": 0.1, "eps": TINY}),
    "Nadam": ({"epsilon": 1e-3, "momentum_decay": 4e-3}, {"eps": 1e-3}),
    "Adamax": ({"epsilon": TINY}, {"eps": TINY}),
    "Adagrad": ({"epsilon": TINY}, {"eps": TINY, "initial_accumulator_value": 0.1}),
    "Adadelta": ({"rho": 0.9, "epsilon": 1e-6}, {"eps": 1e-6}),
    "RMSprop": ({"rho": 0.99, "epsilon": TINY}, {"eps": TINY}),
}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_counterpart_with_changing_rates(name, monkeypatch):
    # NAdam keeps the product of its momenta in the default type.
    monkeypatch.setattr(importlib.import_module("torch.optim.nadam"), "_get_scalar_dtype", lambda: torch.float64)
    settings, theirs = COUNTERPARTS[name]
    steps = parity.updates(getattr(evenflow.optimizers, name)(**settings).spec(), parity.RATES)
    tensors = [torch.tensor(value) for value in next(steps)]
    optimizer = getattr(torch.optim, {"Nadam": "NAdam"}.get(name, name))(tensors, **theirs)
    for rate, (gradients, expected) in zip(parity.RATES, steps, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        optimizer.step()
        for tensor, value in zip(tensors, expected, strict=True):
            np.testing.assert_allclose(tensor.numpy(), value, rtol=1e-10, atol=1e-12)


# ----------------------------------------------------------------------------------------------- activations and losses

ACTIVATIONS = counterparts(torch)


def test_every_activation_has_a_counterpart():
    assert set(ACTIVATIONS) == set(_core.activations())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, isa):
    x = torch.linspace(-40, 40, 16_001, dtype=torch.float64).requires_grad_()  # 0 is one of them
    y = ACTIVATIONS[name](x)
    y.sum().backward()
    own = x.detach().numpy().reshape(1, -1).copy()
    value = _core.activation_forward(name, own)
    slope = _core.activation_backward(name, np.ones_like(own), own, value)
    np.testing.assert_allclose(value[0], y.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope[0], x.grad.numpy(), rtol=1e-12, atol=1e-12)


def log_of_normalized(p: Any) -> Any:
    return (p / p.sum(1, keepdim=True)).log()


def one_hot_cross_entropy(p: Any, t: Any) -> Any:
    return -(t * log_of_normalized(p)).sum(1).mean()


@pytest.mark.parametrize(
    ("name", "from_logits", "peer"),
    [
        ("sparse_categorical_crossentropy", True, functional.cross_entropy),
        ("sparse_categorical_crossentropy", False, lambda p, t: functional.nll_loss(log_of_normalized(p), t)),
        ("categorical_crossentropy", True, functional.cross_entropy),
        ("categorical_crossentropy", False, one_hot_cross_entropy),
        ("binary_crossentropy", True, functional.binary_cross_entropy_with_logits),
        ("binary_crossentropy", False, functional.binary_cross_entropy),
        ("mean_squared_error", False, functional.mse_loss),
    ],
)
def test_loss(name, from_logits, peer, isa, rng):
    prediction = 3 * rng.standard_normal((13, 7))
    target = rng.uniform(0, 1, prediction.shape)
    if "categorical" in name:
        target = rng.integers(0, 7, 13) if name.startswith("sparse") else target / target.sum(1, keepdims=True)
    if not from_logits:
        exponentials = np.exp(prediction)
        prediction = exponentials / exponentials.sum(1, keepdims=True) * rng.uniform(0.3, 1, (13, 1))
    p = torch.tensor(prediction, requires_grad=True)
    loss = peer(p, torch.tensor(target))
    loss.backward()
    rows, gradient = _core.loss_forward_backward(name, prediction, target, from_logits=from_logits)
    np.testing.assert_allclose(rows.mean(), loss.item(), rtol=1e-12)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-12, atol=1e-14)
