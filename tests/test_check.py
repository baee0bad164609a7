"""`model.check`: each rule on a network that breaks it, and on one that does not."""

import numpy as np
import pytest

import evenflow
from evenflow import Input, Model, Sequential
from evenflow.layers import (
    Activation,
    Add,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Multiply,
    Normalization,
    Rescaling,
)
from evenflow.lint import Finding


def stack(*layers, inputs=20, optimizer="sgd", loss="sparse_categorical_crossentropy", output="softmax", units=3):
    model = Sequential([Input((inputs,)), *layers, Dense(units, output, name="output")])
    model.compile(optimizer, loss)
    return model


def selu(name, **options):
    return Dense(10, "selu", name=name, **{"kernel_initializer": "lecun_normal", **options})


def he(units=10, activation="relu", **options):
    return Dense(units, activation, kernel_initializer="he_normal", **options)


def deep(count, **options):
    return [he(name=f"hidden_{i}", **options) for i in range(count)]


def skipping(activation):
    x = Input((20,))
    first = Dense(10, activation, kernel_initializer="auto", name="first")(x)
    second = Dense(10, activation, kernel_initializer="auto", name="second")(first)
    model = Model(x, Dense(3, "softmax")(Add(name="add")([first, second])))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def gated(activation):
    x = Input((20,))
    model = Model(x, Dense(3, "softmax")(Multiply()([x, Dense(20, activation)(x)])))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def adapted(layer):
    layer.adapt(np.random.default_rng(0).normal(3, 2, (100, 20)))
    return layer


# rule, layer, words, a network that breaks it, the same without the fault
CASES = {
    "selu_initializer": (
        "a",
        "'lecun_normal'",
        lambda: stack(selu("a", kernel_initializer="he_normal"), selu("b")),
        lambda: stack(selu("a"), selu("b", kernel_initializer="auto")),
    ),
    "selu_dropout": (
        "drop",
        "use AlphaDropout",
        lambda: stack(selu("a"), Dropout(0.1, name="drop")),
        lambda: stack(selu("a"), AlphaDropout(0.1, name="drop")),
    ),
    "selu_batch_norm": (
        "norm",
        "leave it out",
        lambda: stack(selu("a"), BatchNormalization(name="norm")),
        lambda: stack(BatchNormalization(name="norm"), selu("a")),
    ),
    "selu_skip": ("add", "plain stack", lambda: skipping("selu"), lambda: skipping("elu")),
    "selu_regularizer": (
        "a",
        "L2 on the kernel",
        lambda: stack(selu("a", kernel_regularizer="l2")),
        lambda: stack(he(name="a", activation="elu", kernel_regularizer="l2")),
    ),
    "selu_mixed": (
        "b",
        "relu beside layers of SELU",
        lambda: stack(selu("a"), he(name="b")),
        lambda: stack(selu("a"), selu("b")),
    ),
    "initializer": (
        "a",
        "elu with kernel_initializer='GlorotUniform': use 'he_normal'",
        lambda: stack(Dense(10, "elu", name="a")),
        lambda: stack(he(activation="elu")),
    ),
    "constant_initializer": (
        "a",
        "all units begin alike",
        lambda: stack(Dense(10, "relu", kernel_initializer="zeros", name="a")),
        lambda: stack(Dense(10, "relu", kernel_initializer="orthogonal", name="a")),
    ),
    "no_activation": (
        "a",
        "no activation before output",
        lambda: stack(Dense(10, name="a"), Dropout(0.2)),
        lambda: stack(Dense(10, name="a", kernel_initializer="he_normal"), Dropout(0.2), LeakyReLU()),
    ),
    "hidden_softmax": (
        "old",
        "softmax below output: if it was the output of another model, leave it out (model.pop())",
        lambda: stack(he(), Dense(10, "softmax", name="old")),
        lambda: gated("softmax"),
    ),
    "saturating_stack": (
        "a",
        "3 hidden layers of tanh",
        lambda: stack(Dense(10, "tanh", name="a"), Dense(10, "tanh"), Dense(10, "tanh")),
        lambda: stack(Dense(10, "tanh"), BatchNormalization(), Dense(10, "tanh"), Dense(10, "tanh")),
    ),
    "clipping": (
        "hidden_0",
        "global_clipnorm=1.0",
        lambda: stack(*deep(10)),
        lambda: stack(*deep(10), optimizer=evenflow.optimizers.SGD(clipnorm=1.0)),
    ),
    "bias_before_batch_norm": (
        "a",
        "use_bias=False",
        lambda: stack(Dense(10, name="a"), BatchNormalization(), Activation("elu")),
        lambda: stack(Dense(10, use_bias=False), BatchNormalization(), Activation("elu")),
    ),
    "lost_bias": (
        "a",
        "use_bias=False, and no batch normalization between it and relu",
        lambda: stack(he(use_bias=False, activation=None, name="a"), Activation("relu"), BatchNormalization()),
        lambda: stack(he(use_bias=False, activation=None), BatchNormalization(), Activation("relu")),
    ),
    "batch_norm_sandwich": (
        "norm",
        "drop the first",
        lambda: stack(
            BatchNormalization(name="norm"), Dense(10, use_bias=False), BatchNormalization(), Activation("relu")
        ),
        lambda: stack(BatchNormalization(name="norm"), he(), BatchNormalization()),
    ),
    "logits_activation": (
        "output",
        "leave the activation out",
        lambda: stack(output="tanh", loss=evenflow.losses.CategoricalCrossentropy(from_logits=True)),
        lambda: stack(output=None, loss=evenflow.losses.CategoricalCrossentropy(from_logits=True)),
    ),
    "missing_softmax": ("output", "takes probabilities", lambda: stack(output=None), lambda: stack()),
    "softmax_of_one": (
        "output",
        "use 'sigmoid'",
        lambda: stack(units=1, loss="categorical_crossentropy"),
        lambda: stack(units=1, output="sigmoid", loss="binary_crossentropy"),
    ),
    "not_adapted": (
        "scale",
        "call its adapt",
        lambda: stack(Normalization(name="scale"), he()),
        lambda: stack(adapted(Normalization(name="scale")), he()),
    ),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_finds_its_fault_and_nothing_else(rule):
    layer, words, broken, _ = CASES[rule]
    (finding,) = broken().check()
    assert (finding.rule, finding.layer) == (rule, layer)
    assert words in str(finding)
    assert finding.reason
    assert str(finding).startswith(f"layer {layer}: ")


@pytest.mark.parametrize("rule", CASES)
def test_a_network_without_the_fault_is_fine(rule):
    assert CASES[rule][3]().check() == []


def rules(findings):
    return [finding.rule for finding in findings]


def inputs(seed=0, scale=1.0, shift=0.0, columns=20):
    return (np.random.default_rng(seed).standard_normal((500, columns)) * scale + shift).astype(np.float32)


def test_scale_of_inputs():
    model = stack(he(name="first"))
    (finding,) = model.check(inputs(scale=100))
    assert (finding.rule, finding.layer) == ("unscaled_inputs", "first")
    assert "standardize them" in finding.message
    uneven = inputs()
    uneven[:, 3] *= 1e-4
    assert rules(model.check(uneven)) == ["unscaled_inputs"]
    assert model.check(inputs()) == []
    assert model.check(inputs(scale=0.3, shift=0.2)) == []
    constant = inputs()
    constant[:, 5] = 0
    assert model.check(constant) == []


@pytest.mark.parametrize("first", ["batch_norm", "normalization", "rescaling"])
def test_inputs_that_the_network_scales_itself(first):
    x = inputs(scale=40, shift=100).clip(0, 255)
    layer = {
        "batch_norm": BatchNormalization,
        "normalization": lambda: adapted(Normalization()),
        "rescaling": lambda: Rescaling(1 / 255),
    }[first]()
    assert stack(layer, he()).check(x) == []


def test_inputs_of_selu():
    model = stack(selu("a"), selu("b"))
    assert model.check(inputs()) == []
    (finding,) = model.check(inputs(scale=0.3, shift=0.5))
    assert (finding.rule, finding.layer) == ("selu_inputs", "a")
    assert "mean 0.5" in finding.message
    assert stack(he()).check(inputs(scale=0.3, shift=0.5)) == []


def test_inputs_that_are_not_finite():
    x = inputs()
    x[17, 4] = np.nan
    (finding,) = stack(he()).check(x)
    assert finding.rule == "not_finite"
    assert "nan in feature 4" in finding.message


def test_images_and_several_inputs():
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 6), dtype=np.uint8)
    model = Sequential([Flatten(input_shape=(6, 6)), he(), Dense(3, "softmax")])
    assert rules(model.check(images)) == ["unscaled_inputs"]
    a, b = Input((4,)), Input((3,))
    wide = evenflow.layers.Concatenate()([a, he()(b)])
    model = Model([a, b], Dense(1)(wide))
    assert model.check([inputs(columns=4), inputs(columns=3)]) == []
    assert rules(model.check([inputs(columns=4), inputs(columns=3, scale=1e3)])) == ["unscaled_inputs"]


def test_it_changes_nothing_and_refuses_what_fit_would():
    model = Sequential([he(), Dense(2)])
    assert model.check() == []
    assert not model.built
    model.check(inputs())
    assert not model.built
    with pytest.raises(ValueError, match=r"check: x has shape \(500, 20\), expected \(rows, 7\)"):
        stack(he(), inputs=7).check(inputs())


def test_a_finding_is_plain_data():
    finding = Finding("rule", "dense", "what", "Why")
    assert str(finding) == "layer dense: what. Why."
    assert finding == Finding("rule", "dense", "what", "Why")
