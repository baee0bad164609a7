"""Regularizers and constraints in Python: names, values, configs, what a model does with them, what is refused."""

import json
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import constraints, regularizers
from evenflow.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from evenflow.layers import (
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Dense,
    Input,
    LayerNormalization,
    PReLU,
)
from evenflow.models import Sequential, load_model
from evenflow.regularizers import L1, L1L2, L2, OrthogonalRegularizer, ProximalL1


def rows(count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 5)), rng.standard_normal((count, 3))


def model(*layers: Any, **options: Any) -> Sequential:
    made = Sequential([Input((5,)), *layers], dtype="float64", seed=0, **options)
    made.compile("sgd", "mse")
    return made


REGULARIZERS = [L1(0.2), L2(0.3), L1L2(0.2, 0.3), ProximalL1(0.2), OrthogonalRegularizer(0.2, "columns")]
CONSTRAINTS = [MaxNorm(1.5), NonNeg(), UnitNorm(), MinMaxNorm(0.5, 1.5, rate=0.3)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["l1", "L1", L1, regularizers.l1, regularizers.l1(), L1()], L1(0.01)),
        (["l2", "L2", L2, regularizers.l2, L2(None)], L2(0.01)),
        (["l1_l2", "l1l2", "L1L2", regularizers.l1_l2()], L1L2(0.01, 0.01)),
        ([L1L2, L1L2(), L1L2(None, None)], L1L2(0.0, 0.0)),
        (["proximal_l1", "ProximalL1"], ProximalL1(0.01)),
        (["orthogonal_regularizer", regularizers.orthogonal_regularizer()], OrthogonalRegularizer(0.01, "rows")),
    ],
)
def test_names_of_regularizers(names, expected):
    for name in names:
        found = regularizers.get(name)
        assert type(found) is type(expected)
        assert found.get_config() == expected.get_config()
    assert regularizers.get(None) is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["max_norm", "MaxNorm", MaxNorm, constraints.max_norm(2)], MaxNorm(2.0)),
        (["non_neg", "NonNeg", constraints.non_neg()], NonNeg()),
        (["unit_norm", "UnitNorm", constraints.unit_norm(axis=[0])], UnitNorm()),
        (["min_max_norm", "MinMaxNorm", constraints.min_max_norm()], MinMaxNorm(0.0, 1.0, 1.0, 0)),
    ],
)
def test_names_of_constraints(names, expected):
    for name in names:
        found = constraints.get(name)
        assert type(found) is type(expected)
        assert found.get_config() == expected.get_config()
    assert constraints.get(None) is None


def test_values_of_regularizers():
    x = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert L1(0.1)(x) == pytest.approx(0.6)
    assert L2(0.1)(x.astype(int)) == pytest.approx(1.4)
    assert L1L2(0.1, 0.1)(x.T) == pytest.approx(2.0)
    assert ProximalL1(0.1)(x) == L1(0.1)(x)
    assert L1L2()(x) == 0
    assert OrthogonalRegularizer(0.1)(x) == pytest.approx(0.1 * 2 / np.sqrt(5))
    assert OrthogonalRegularizer(0.1, "columns")(x.astype(int)) == pytest.approx(0.1 * 2 / np.sqrt(13))
    assert OrthogonalRegularizer()(x[:1]) == 0


def test_values_of_constraints():
    w = np.array([[3.0, 0.3, 0.0], [-4.0, -0.4, 0.0]])
    kept = w.copy()
    np.testing.assert_allclose(MaxNorm(2.5)(w), [[1.5, 0.3, 0], [-2.0, -0.4, 0]], rtol=1e-7)
    np.testing.assert_allclose(UnitNorm()(w), [[0.6, 0.6, 0], [-0.8, -0.8, 0]], rtol=1e-6)
    np.testing.assert_array_equal(NonNeg()(w), [[3, 0.3, 0], [0, 0, 0]])
    # norms 5 and 0.5: half of the way to 3 and to 1
    half = MinMaxNorm(1.0, 3.0, rate=0.5)(w)
    np.testing.assert_allclose(np.linalg.norm(half, axis=0), [4, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(MaxNorm(2.5)([3, -4]), [1.5, -2], rtol=1e-7)
    np.testing.assert_allclose(UnitNorm(axis=1)(w), w / np.linalg.norm(w, axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(UnitNorm(axis=(0, -1))(w), w / np.linalg.norm(w), rtol=1e-6)
    assert (MaxNorm(axis=[1]).axis, MaxNorm(axis=(0, 1)).axis, MaxNorm(axis=-1).axis) == (1, [0, 1], -1)
    assert MaxNorm()(w.astype(np.float32)).dtype == np.float32
    np.testing.assert_array_equal(w, kept)


@pytest.mark.parametrize("thing", [*REGULARIZERS, *CONSTRAINTS], ids=repr)
def test_config_makes_the_same_again(thing):
    module = regularizers if isinstance(thing, regularizers.Regularizer) else constraints
    data = json.loads(json.dumps({"class_name": type(thing).__name__, "config": thing.get_config()}))
    again = module.get(data)
    assert type(again) is type(thing)
    assert (again.get_config(), again.spec()) == (thing.get_config(), thing.spec())


def stack() -> list[Any]:
    return [
        Dense(
            4,
            "tanh",
            kernel_regularizer="l2",
            bias_regularizer=L1(0.1),
            activity_regularizer=L1L2(0.1, 0.2),
            kernel_constraint=MaxNorm(1),
            bias_constraint="non_neg",
        ),
        ActivityRegularization(0.1, l2=0.3),
        BatchNormalization(
            beta_regularizer="l1", gamma_regularizer="l2", beta_constraint="unit_norm", gamma_constraint=NonNeg()
        ),
        Activation("elu", activity_regularizer="l1"),
        LayerNormalization(beta_regularizer="l1", gamma_regularizer=ProximalL1(0.1), gamma_constraint=MaxNorm(1)),
        PReLU("ones", alpha_regularizer=L2(0.1), alpha_constraint="non_neg"),
        Dense(4, PReLU(alpha_regularizer="l1", shared_axes=[1])),
        Dense(3, kernel_regularizer=ProximalL1(0.2), use_bias=False, bias_regularizer="l2", bias_constraint="max_norm"),
    ]


def test_a_model_comes_back_from_a_file(tmp_path):
    first = model(*stack())
    x, y = rows()
    first.fit(x, y, verbose=0)
    first.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.spec() == first.spec()
    assert again.get_config() == first.get_config()
    for one in (first, again):
        one.fit(x, y, verbose=0)
    assert [w.tobytes() for w in again.get_weights()] == [w.tobytes() for w in first.get_weights()]
    assert again.evaluate(x, y, verbose=0) == first.evaluate(x, y, verbose=0)


def test_what_the_core_is_told():
    dense, activity, *_ = model(Dense(3, kernel_regularizer="l2", activity_regularizer="l1", name="d")).layer_spec()
    assert dense["regularizers"] == {"kernel": {"l1": 0.0, "l2": 0.01}}
    assert activity == {"kind": "activity_regularization", "name": "d/activity", "l1": 0.01, "l2": 0.0}
    _, alpha = model(Dense(3, PReLU(alpha_constraint="non_neg"), name="e")).layer_spec()
    assert (alpha["name"], alpha["constraints"]) == ("e/activation", {"alpha": {"kind": "non_negative"}})
    (plain,) = model(Dense(3, use_bias=False, bias_regularizer="l2", bias_constraint="max_norm")).layer_spec()
    assert {"regularizers", "constraints"}.isdisjoint(plain)


def test_the_loss_has_the_penalties_of_what_is_trained():
    x, y = rows()
    plain, penalized = model(Dense(3)), model(Dense(3, kernel_regularizer=L2(0.5), activity_regularizer=L1(0.3)))
    penalized.set_weights(plain.get_weights())
    kernel, activity = plain.get_weights()[0], L1(0.3)(plain.predict(x)) / len(x)
    loss = plain.evaluate(x, y, verbose=0)
    assert penalized.evaluate(x, y, verbose=0) == pytest.approx(loss + L2(0.5)(kernel) + activity)
    assert penalized.test_on_batch(x, y) == penalized.evaluate(x, y, batch_size=len(x), verbose=0)
    history = penalized.fit(x, y, epochs=1, verbose=0, batch_size=len(x), validation_data=(x, y)).history
    assert history["loss"][0] == pytest.approx(loss + L2(0.5)(kernel) + activity)
    assert history["val_loss"][0] == penalized.evaluate(x, y, batch_size=len(x), verbose=0)
    penalized.set_weights(plain.get_weights())
    penalized.layers[0].trainable = False
    assert penalized.evaluate(x, y, verbose=0) == pytest.approx(loss + activity)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_constraints_hold_after_each_fit(constraint):
    x, y = rows()
    made = model(Dense(3, kernel_constraint=constraint, bias_constraint=constraint))
    before = made.get_weights()
    made.evaluate(x, y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    made.fit(x, y, epochs=5, verbose=0)
    for w in made.get_weights():
        if isinstance(constraint, NonNeg):
            assert np.all(w >= 0)
        elif not isinstance(constraint, MinMaxNorm):  # which moves a part of the way
            lowest, highest = (1, 1) if isinstance(constraint, UnitNorm) else (0, 1.5)
            norms = np.linalg.norm(w, axis=0)
            assert np.all((lowest - 1e-5 <= norms) & (norms <= highest + 1e-12))


def test_l2_is_not_weight_decay_but_for_plain_sgd():
    x, y = rows()
    found = {}
    for name, settings in (("SGD", {"learning_rate": 0.1}), ("Adam", {"learning_rate": 0.01})):
        coupled = model(Dense(3, use_bias=False, kernel_regularizer=L2(0.05), kernel_initializer="ones"))
        decoupled = model(Dense(3, use_bias=False, kernel_initializer="ones"))
        optimizer = getattr(evenflow.optimizers, name)
        coupled.compile(optimizer(**settings), "mse")
        decoupled.compile(optimizer(**settings, weight_decay=0.1), "mse")
        for one in (coupled, decoupled):
            one.fit(x, y, epochs=20, shuffle=False, verbose=0)
        found[name] = np.abs(coupled.get_weights()[0] - decoupled.get_weights()[0]).max()
    assert found["SGD"] <= 1e-12
    assert found["Adam"] > 1e-3


class Custom(L2):
    """Not one that the core knows."""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: L1(-0.1), ["L1", "l1", "at least 0.0", "-0.1"]),
        (lambda: ProximalL1(-0.1), ["ProximalL1", "l1", "-0.1"]),
        (lambda: L2("much"), ["L2", "l2", "'much'"]),
        (lambda: L1L2(l1=0.1, l2=float("nan")), ["L1L2", "l2", "nan"]),
        (lambda: L2(True), ["L2", "True"]),
        (lambda: Dense(3, kernel_regularizer="l3"), ["Dense", "kernel_regularizer", "'l3'", "l2"]),
        (lambda: Dense(3, kernel_regularizer=0.01), ["Dense", "kernel_regularizer", "L2(0.01)", "0.01"]),
        (lambda: Dense(3, bias_regularizer=lambda w: 0.0), ["bias_regularizer", "L2(0.01)"]),
        (
            lambda: Dense(3, kernel_regularizer=Custom()),
            ["kernel_regularizer", "L1L2, L1, L2, ProximalL1, OrthogonalRegularizer"],
        ),
        (lambda: Dense(3, activity_regularizer=ProximalL1()), ["Dense", "activity_regularizer", "ProximalL1"]),
        (lambda: Activation("elu", activity_regularizer="l22"), ["Activation", "activity_regularizer", "'l22'"]),
        (lambda: Dense(3, kernel_regulariser="l2"), ["kernel_regulariser", "'kernel_regularizer'"]),
        (lambda: BatchNormalization(gamma_regularizer="l"), ["BatchNormalization", "gamma_regularizer"]),
        (lambda: BatchNormalization(kernel_regularizer="l2"), ["BatchNormalization", "kernel_regularizer"]),
        (lambda: Input((3,), activity_regularizer="l2"), ["InputLayer", "activity_regularizer"]),
        (lambda: ActivityRegularization(l1=-1), ["ActivityRegularization", "l1", "-1"]),
        (lambda: ActivityRegularization(activity_regularizer="l1"), ["ActivityRegularization", "activity_regularizer"]),
        (lambda: Dense(3, kernel_constraint="maxnorm"), ["Dense", "kernel_constraint", "'max_norm'"]),
        (lambda: Dense(3, bias_constraint=2.0), ["bias_constraint", "MaxNorm(2.0)"]),
        (lambda: OrthogonalRegularizer(-1), ["OrthogonalRegularizer", "factor", "-1"]),
        (lambda: OrthogonalRegularizer(mode="row"), ["OrthogonalRegularizer", "mode", "'row'", "'rows'"]),
        (lambda: OrthogonalRegularizer()([1.0]), ["OrthogonalRegularizer", "(1,)", "(inputs, units)"]),
        (lambda: Dense(3, activity_regularizer="orthogonal_regularizer"), ["activity_regularizer", "L1(0.01)"]),
        (lambda: Dense(3, bias_regularizer=OrthogonalRegularizer()), ["bias_regularizer", "L2(0.01)", "Orthogonal"]),
        (lambda: MaxNorm(-1), ["MaxNorm", "max_value", "-1"]),
        (lambda: MaxNorm(axis=2), ["MaxNorm", "axis", "0, 1, -1 or [0, 1]", "2"]),
        (lambda: MaxNorm(axis=[]), ["MaxNorm", "axis", "0, 1, -1 or [0, 1]", "[]"]),
        (lambda: UnitNorm(axis=[1, -1]), ["UnitNorm", "axis", "[1, -1]"]),
        (lambda: UnitNorm(axis="0"), ["UnitNorm", "axis", "'0'"]),
        (lambda: MinMaxNorm(axis=True), ["MinMaxNorm", "axis", "True"]),
        (lambda: Dense(3, bias_constraint=MaxNorm(axis=1)), ["bias_constraint", "axis=0", "axis=1"]),
        (lambda: PReLU(alpha_constraint=UnitNorm([0, 1])), ["alpha_constraint", "axis=0", "axis=[0, 1]"]),
        (lambda: MinMaxNorm(2, 1), ["MinMaxNorm", "max_value", "at least 2.0", "1"]),
        (lambda: MinMaxNorm(rate=2), ["MinMaxNorm", "rate", "2"]),
        (lambda: regularizers.get({"class_name": "L3", "config": {}}), ["'L3'"]),
        (lambda: model(Dense(3, "softmax", activity_regularizer="l2")), ["softmax", "ActivityRegularization before"]),
        (lambda: evenflow.regularisers, ["evenflow", "'regularizers'"]),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        call()
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, str(caught.value)
