"""The reference itself: derivatives against central differences, and everything against PyTorch's float64."""

import math
from typing import Any

import numpy as np
import pytest
from cases import ACTIVATION_CASES
from networks import NETWORKS, data, network, with_optimizer
from optimizer_specs import ADAM, MOMENTUM, NESTEROV, NO_CLIPPING, SGD
from peer_activations import counterparts
from programs import initialize

from evenflow import reference
from evenflow.reference import Network

by_name = pytest.mark.parametrize(
    "case", ACTIVATION_CASES, ids=lambda c: "-".join([c.name, *map(str, c.parameters.values())])
)


def made(spec: Any, rng: np.random.Generator) -> Network:
    found = Network(spec)
    for name, value in initialize({n: v.shape for n, v in found.variables.items()}, rng).items():
        found.variables[name][...] = value
    return found


# Against definitions --------------------------------------------------------------------------------------------------


def test_normal_distribution_is_that_of_erfc():
    x = np.concatenate([np.linspace(-37, 9, 4001), np.geomspace(1e-12, 1, 200)])
    right = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    # sqrt(2) and the quotient are rounded by up to eps / 2 each, which the tail amplifies by x^2.
    bound = np.finfo(float).eps * (6 + x**2)
    assert np.all(np.abs(reference.normal_distribution(x) / right - 1) <= bound)


def test_normal_distribution_adds_up_to_one():
    x = np.linspace(0, 9, 1001)
    total = reference.normal_distribution(x) + reference.normal_distribution(-x)
    np.testing.assert_allclose(total, 1, rtol=1e-15)


@by_name
def test_slope_is_the_derivative_of_the_value(case):
    x = np.linspace(-9, 9, 1800)  # not the kink
    h = 1e-5
    above, below = (reference.activation_forward(case.name, x + d, **case.parameters) for d in (h, -h))
    slope = reference.activation_backward(case.name, np.ones_like(x), x, x, **case.parameters)
    np.testing.assert_allclose(slope, (above - below) / (2 * h), rtol=1e-9, atol=1e-9)


def test_values_that_papers_state():
    grid = np.linspace(-3, 0, 300_001)
    for name, lowest, where in (("gelu", -0.16997, -0.7518), ("silu", -0.27846, -1.2785), ("mish", -0.30884, -1.1924)):
        y = reference.activation_forward(name, grid)
        assert y.min() == pytest.approx(lowest, abs=1e-5)
        assert grid[y.argmin()] == pytest.approx(where, abs=1e-4)
    # SELU's constants keep a standard normal input's mean 0 and variance 1.
    x = np.linspace(-12, 12, 2_000_001)
    weight = reference.normal_density(x) * (x[1] - x[0])
    y = reference.selu(x)
    assert (weight * y).sum() == pytest.approx(0, abs=1e-9)
    assert (weight * y * y).sum() == pytest.approx(1, abs=1e-9)


def test_wider_types_stay_and_narrower_are_promoted():
    for dtype in (np.float32, np.float64, np.longdouble):
        x = np.ones((2, 3), dtype)
        wide = np.result_type(dtype, np.float64)
        assert reference.gelu(x).dtype == reference.softmax(x).dtype == wide
        assert reference.dense_forward(x, x.T).dtype == wide


def test_clipping_examples():
    g = np.array([0.9, 100.0])
    reference.clip_by_value(g, 1.0)
    np.testing.assert_array_equal(g, [0.9, 1.0])
    g = np.array([0.9, 100.0])
    assert reference.clip_by_norm(g, 1.0) == pytest.approx(100.00405)
    np.testing.assert_allclose(g, [0.00899964, 0.9999595], rtol=1e-6)
    kept = g.copy()
    reference.clip_by_norm(g, 1.5)
    np.testing.assert_array_equal(g, kept)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"activation_forward: name: expected one of linear.*received 'rleu'"):
        reference.activation_forward("rleu", [0.0])


def test_fused_losses_are_those_of_the_probabilities(rng):
    z, t = 3 * rng.standard_normal((7, 5)), reference.softmax(rng.standard_normal((7, 5)))
    for name, f in (("categorical_crossentropy", reference.softmax), ("binary_crossentropy", reference.sigmoid)):
        rows, gradient = reference.loss_forward_backward(name, z, t, from_logits=True)
        p = f(z)
        same, dp = reference.loss_forward_backward(name, p, t)
        dz = p * (dp - (dp * p).sum(axis=1, keepdims=True)) if f is reference.softmax else dp * p * (1 - p)
        np.testing.assert_allclose(rows, same, rtol=1e-13)
        np.testing.assert_allclose(gradient, dz, rtol=1e-12, atol=1e-15)


# Against central differences ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_gradients_of_networks(spec, rng):
    net = made(spec, rng)
    x, y = data(spec, 6, rng)

    def loss() -> float:
        net.forward(x)
        return float(net.loss(y)[0].mean())

    loss()
    _, dy, top = net.loss(y)
    dx = net._backward([(top, dy)])
    gradients = {"input": dx, **net.gradients}
    for name, gradient in gradients.items():
        values = x if name == "input" else net.variables[name]
        for at in zip(*(rng.integers(0, n, 5) for n in values.shape), strict=True):
            kept, h = values[at], 1e-5
            values[at] = kept + h
            above = loss()
            values[at] = kept - h
            below = loss()
            values[at] = kept
            assert gradient[at] == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-9), (name, at)


def test_backward_in_inference_mode(rng):
    spec = network(5, [{**layer} for layer in NETWORKS["frozen"]["layers"][3:5]], "mean_squared_error")
    spec["layers"][1]["trainable"] = True
    net = made(spec, rng)
    x, dy = rng.standard_normal((4, 5)), rng.standard_normal((4, 16))
    net.forward(x, training=False)
    net.backward(dy)
    gradient = net.gradients["layer_1/gamma"][2]
    gamma, h = net.variables["layer_1/gamma"], 1e-6
    gamma[2] += h
    above = (dy * net.forward(x, training=False)).sum()
    gamma[2] -= 2 * h
    below = (dy * net.forward(x, training=False)).sum()
    assert gradient == pytest.approx((above - below) / (2 * h), rel=1e-8)


# Against PyTorch ------------------------------------------------------------------------------------------------------


@pytest.mark.peers
@by_name
def test_activations_are_torchs(case):
    torch = pytest.importorskip("torch")
    f = counterparts(torch)[case.name]
    x = torch.linspace(-15, 15, 2000, dtype=torch.float64, requires_grad=True)
    y = f(x, **case.parameters)
    y.sum().backward()
    ours = x.detach().numpy()
    np.testing.assert_allclose(
        reference.activation_forward(case.name, ours, **case.parameters), y.detach().numpy(), rtol=1e-13, atol=1e-15
    )
    slope = reference.activation_backward(case.name, np.ones_like(ours), ours, ours, **case.parameters)
    np.testing.assert_allclose(slope, x.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.peers
@pytest.mark.parametrize(
    "optimizer",
    [SGD, MOMENTUM, NESTEROV, ADAM, {**MOMENTUM, "global_clipnorm": 0.1}, {**ADAM, "clipvalue": 0.01}],
    ids=["sgd", "momentum", "nesterov", "adam", "global_clipnorm", "clipvalue"],
)
@pytest.mark.parametrize("name", ["batch norm first and after", "two batch norms in a chain", "binary logits"])
def test_training_is_torchs(name, optimizer, rng):
    torch = pytest.importorskip("torch")
    spec = with_optimizer(NETWORKS[name], optimizer)
    net = made(spec, rng)
    theirs = TorchNetwork(torch, net)
    clips = {key: spec["optimizer"][key] for key in NO_CLIPPING}
    for _ in range(5):
        x, y = data(spec, 12, rng)
        total, _ = net.train_step(x, y, 0.01)
        assert total / 12 == pytest.approx(theirs.train_step(x, y, clips), rel=1e-11)
    for variable, value in net.variables.items():
        # The bias before a batch normalization has gradient 0 but for rounding, which Adam divides by its size.
        np.testing.assert_allclose(value, theirs.value(variable), rtol=1e-9, atol=1e-9, err_msg=variable)


class TorchNetwork:
    """The same network made of PyTorch's functions, from the same values."""

    def __init__(self, torch: Any, net: Network, learning_rate: float = 0.01) -> None:
        self.torch, self.spec, rule = torch, net.spec, net.spec["optimizer"]
        self.variables = {n: torch.tensor(v, requires_grad=n in net.trainable) for n, v in net.variables.items()}
        self.steps = 0
        self.rule = rule
        trained = [self.variables[n] for n in net.trainable]
        if rule["kind"] == "sgd":
            self.optimizer = torch.optim.SGD(trained, learning_rate, rule["momentum"], nesterov=rule["nesterov"])
        else:
            self.optimizer = torch.optim.Adam(trained, learning_rate, (rule["beta_1"], rule["beta_2"]))

    def value(self, name: str) -> np.ndarray:
        return self.variables[name].detach().numpy()

    def forward(self, x: Any) -> Any:
        torch, f = self.torch, self.torch.nn.functional
        for layer in self.spec["layers"]:
            own = {k.split("/")[1]: v for k, v in self.variables.items() if k.startswith(layer["name"] + "/")}
            if layer["kind"] == "dense":
                x = f.linear(x, own["kernel"].T, own.get("bias"))
            elif layer["kind"] == "batch_normalization":
                with torch.no_grad():  # torch averages the unbiased variance
                    for old, new in (("moving_mean", x.mean(0)), ("moving_variance", x.var(0, unbiased=False))):
                        own[old].mul_(layer["momentum"]).add_(new, alpha=1 - layer["momentum"])
                x = f.batch_norm(x, None, None, own.get("gamma"), own.get("beta"), True, 0.0, layer["epsilon"])
            elif layer["activation"] == "tanh":
                x = torch.tanh(x)
            elif layer["activation"] not in ("softmax", "linear"):
                x = getattr(f, layer["activation"])(x, **layer["parameters"])
        return x

    def train_step(self, x: np.ndarray, y: np.ndarray, clips: dict[str, Any]) -> float:
        torch, f = self.torch, self.torch.nn.functional
        output, target = self.forward(torch.tensor(x)), torch.tensor(y)
        kind = self.spec["loss"]["kind"]
        loss = {
            "sparse_categorical_crossentropy": f.cross_entropy,
            "binary_crossentropy": f.binary_cross_entropy_with_logits,
            "mean_squared_error": f.mse_loss,
        }[kind](output, target)
        self.optimizer.zero_grad()
        loss.backward()
        trained = [v for v in self.variables.values() if v.requires_grad]
        if clips["clipvalue"] is not None:
            torch.nn.utils.clip_grad_value_(trained, clips["clipvalue"])
        if clips["global_clipnorm"] is not None:  # by hand: torch adds 1e-6 to the norm
            norm = torch.sqrt(sum((v.grad**2).sum() for v in trained))
            for v in trained:
                v.grad *= min(1.0, clips["global_clipnorm"] / norm)
        self.steps += 1
        if self.rule["kind"] == "adam":  # Keras' epsilon in torch's place
            (group,) = self.optimizer.param_groups
            group["eps"] = self.rule["epsilon"] / math.sqrt(1 - self.rule["beta_2"] ** self.steps)
        self.optimizer.step()
        return float(loss.detach())
