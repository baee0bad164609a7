"""What notebooks on the chapter write under its headings: transfer learning, schedules, regularization, Monte Carlo
dropout, callbacks; Keras' names after `import evenflow as keras`."""

import json
import pickle
from functools import partial

import numpy as np
import pytest
from example import bits, blobs, network, state

import evenflow as keras
from evenflow import backend as K  # noqa: N812, Keras' custom

# ---------------------------------------------------------------------------------------------------------------- data


def test_fashion_mnist_as_in_keras(monkeypatch):
    images, labels = np.arange(4 * 784, dtype=np.uint8).reshape(4, 28, 28), np.arange(4, dtype=np.uint8)
    small = keras.datasets.Dataset("small", "made up", "classification", images, labels, images[:2], labels[:2])
    monkeypatch.setattr("evenflow.datasets.fashion_mnist.load_fashion_mnist", lambda: small)
    (x_train_full, y_train_full), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    assert (x_train_full.shape, y_train_full.shape, x_test.shape, y_test.shape) == (
        (4, 28, 28),
        (4,),
        (2, 28, 28),
        (2,),
    )


def test_fashion_mnist_that_is_not_there(monkeypatch):
    monkeypatch.setattr("evenflow.datasets.idx.fashion_mnist_folder", lambda: None)
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        keras.datasets.fashion_mnist.load_data()


def test_to_categorical():
    one_hot = keras.utils.to_categorical([1, 0, 2])
    assert np.array_equal(one_hot, np.eye(3)[[1, 0, 2]])
    assert keras.utils.to_categorical(np.array([[1], [0]]), num_classes=4).shape == (2, 4)
    for x, classes in (([0, 3], 3), ([-1], None), ([0.5], None), ([], None)):
        with pytest.raises((TypeError, ValueError), match="to_categorical"):
            keras.utils.to_categorical(x, classes)


def test_set_random_seed_reaches_everything():
    seen = []
    for _ in range(2):
        keras.utils.set_random_seed(42)
        layer = keras.layers.Dense(3)
        layer.build((4,))
        seen.append((layer.kernel.numpy().tobytes(), np.random.rand()))  # noqa: NPY002
    assert seen[0] == seen[1]
    with pytest.raises(ValueError, match="set_random_seed: seed"):
        keras.utils.set_random_seed(1 << 32)


# --------------------------------------------------------------------------------------------------- transfer learning


def model_a():
    x, y = blobs()
    model = network()
    model.fit(x, y, epochs=2, verbose=0)
    return model


def test_training_b_on_the_layers_of_a_changes_a():
    a = model_a()
    before = bits(a)
    b = keras.models.Sequential(a.layers[:-1])
    b.add(keras.layers.Dense(1, activation="sigmoid"))
    b.compile(loss="binary_crossentropy", optimizer="sgd", metrics=["accuracy"])
    x, y = blobs(seed=4)
    b.fit(x, y > 0, verbose=0)
    assert bits(a) != before
    assert bits(a)[:6] == bits(b)[:6]


def test_training_b_on_a_clone_leaves_a_alone():
    a = model_a()
    before = state(a)
    clone = keras.models.clone_model(a)
    clone.set_weights(a.get_weights())
    assert np.array_equal(clone.predict(blobs()[0]), a.predict(blobs()[0]))
    b = keras.models.Sequential(clone.layers[:-1])
    b.add(keras.layers.Dense(1, activation="sigmoid"))
    for layer in b.layers[:-1]:
        layer.trainable = False
    b.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(learning_rate=0.1), metrics=["accuracy"])
    x, y = blobs(seed=4)
    b.fit(x, y > 0, epochs=2, verbose=0)
    assert bits(b)[:6] == before_bits(a)
    for layer in b.layers[:-1]:
        layer.trainable = True
    b.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(learning_rate=0.01), metrics=["accuracy"])
    b.fit(x, y > 0, epochs=2, verbose=0)
    assert bits(b)[:6] != before_bits(a)
    assert state(a) == before


def before_bits(model):
    """The bits of the variables that lie below the top layer."""
    return bits(model)[:6]


def test_clone_model():
    keras.set_seed(3)
    a = model_a()
    a.layers[0].trainable = False
    clone = keras.models.clone_model(a)
    assert [layer.name for layer in clone.layers] == [layer.name for layer in a.layers]
    assert not {id(layer) for layer in clone.layers} & {id(layer) for layer in a.layers}
    assert not clone.layers[0].trainable
    assert [w.shape for w in clone.get_weights()] == [w.shape for w in a.get_weights()]
    other = keras.models.clone_model(a)
    assert not np.array_equal(clone.get_weights()[0], other.get_weights()[0]), "unless somebody chose a seed"
    assert other.seed != clone.seed
    assert clone.optimizer is not a.optimizer
    assert (clone.optimizer.get_config(), clone.optimizer.iterations) == (a.optimizer.get_config(), 0)
    assert clone.spec() == a.spec()
    x, y = blobs()
    clone.fit(x, y, verbose=0)
    a.fit(x, y, verbose=0)


def test_chosen_seeds_survive_cloning():
    initializer = keras.initializers.HeNormal(seed=5)
    layers = [keras.Input((6,)), keras.layers.Dense(3, "relu", kernel_initializer=initializer)]
    model = keras.Sequential([*layers, keras.layers.Dropout(0.1, seed=8), keras.layers.Dense(2)], seed=9)
    first, second = keras.models.clone_model(model), keras.models.clone_model(model)
    for clone in (first, second):
        assert clone.seed == 9
        assert bits(clone)[:2] == bits(model)[:2]
        assert clone.layers[1].get_config()["seed"] == 8
    assert bits(first)[2] != bits(second)[2] != bits(model)[2]


def test_clone_model_with_a_function_and_without_a_shape():
    model = keras.Sequential([keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)])

    def smaller(layer):
        return keras.layers.Dense(layer.units - 1)

    clone = keras.models.clone_model(model, clone_function=smaller)
    assert not clone.built
    assert [layer.units for layer in clone.layers] == [2, 1]
    for call, message in (
        (lambda: keras.models.clone_model(model.layers), "model"),
        (lambda: keras.models.clone_model(model, clone_function=3), "clone_function"),
        (lambda: keras.models.clone_model(model, clone_function=lambda layer: None), "returns a layer"),
        (lambda: keras.models.clone_model(model, input_tensors=[1]), "input_tensors"),
    ):
        with pytest.raises(TypeError, match=f"clone_model: .*{message}"):
            call()


def test_a_frozen_prefix_costs_no_backward_pass():
    layers = [keras.layers.Dense(8, "relu", name=f"hidden_{n}") for n in range(3)]
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(3, "softmax", name="top")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    for layer in layers[:2]:
        layer.trainable = False
    x, y = blobs()
    norms = keras.callbacks.GradientNorms()
    history = model.fit(x, y, verbose=0, callbacks=[norms]).history
    seen = [name.split("/")[1] for name in history if name.count("/") == 2]
    assert seen == ["hidden_2", "hidden_2", "top", "top"], "nothing is computed for what is frozen"


# ------------------------------------------------------------------------------------------- optimizers and schedules


def test_the_backend_sets_the_learning_rate():
    model = network(keras.optimizers.SGD(learning_rate=1e-3))

    class ExponentialLearningRate(keras.callbacks.Callback):
        def __init__(self, factor):
            self.factor = factor
            self.rates = []

        def on_epoch_end(self, epoch, logs=None):
            self.rates.append(K.get_value(self.model.optimizer.learning_rate))
            K.set_value(self.model.optimizer.learning_rate, self.model.optimizer.learning_rate * self.factor)

    watcher = ExponentialLearningRate(factor=1.5)
    model.fit(*blobs(), epochs=3, callbacks=[watcher], verbose=0)
    np.testing.assert_allclose(watcher.rates, [1e-3, 1.5e-3, 2.25e-3], rtol=1e-12)
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(1e-3 * 1.5**3)
    model.optimizer.learning_rate.assign(0.5)
    assert model.optimizer.learning_rate == 0.5
    layer = model.layers[0]
    K.set_value(layer.bias, np.ones(16))
    assert K.get_value(layer.bias).sum() == 16
    assert K.get_value(3) == 3
    with pytest.raises(TypeError, match="set_value: x: expected a variable"):
        K.set_value(0.1, 0.2)


def test_a_learning_rate_is_a_number():
    optimizer = keras.optimizers.Adam(0.25)
    rate = optimizer.learning_rate
    assert isinstance(rate, float)
    assert json.dumps(rate) == repr(rate) == "0.25"
    assert type(pickle.loads(pickle.dumps(rate))) is float
    del optimizer
    rate.assign(1.0)  # of an optimizer that is gone
    assert rate == 0.25


def test_a_schedule_of_ones_own():
    class PowerScheduling(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, initial, steps):
            self.initial, self.steps = initial, steps

        def __call__(self, step):
            return self.initial / (1 + step / self.steps)

    own = network(keras.optimizers.SGD(PowerScheduling(0.01, 20)))
    built_in = network(keras.optimizers.SGD(keras.optimizers.schedules.InverseTimeDecay(0.01, 20, 1.0)))
    for model in (own, built_in):
        model.fit(*blobs(), epochs=2, verbose=0)
    assert bits(own) == bits(built_in)


def test_schedules_by_epoch():
    def exponential_decay(lr0, s):
        def exponential_decay_fn(epoch):
            return lr0 * 0.1 ** (epoch / s)

        return exponential_decay_fn

    lr_scheduler = keras.callbacks.LearningRateScheduler(exponential_decay(lr0=0.01, s=20))
    history = network("sgd").fit(*blobs(), epochs=3, callbacks=[lr_scheduler], verbose=0).history
    np.testing.assert_allclose(history["learning_rate"], [0.01 * 0.1 ** (epoch / 20) for epoch in range(3)], rtol=1e-7)
    scaled = keras.optimizers.schedules.ExponentialDecay(initial_learning_rate=0.01, decay_steps=100, decay_rate=0.1)
    network(keras.optimizers.SGD(learning_rate=scaled)).fit(*blobs(), verbose=0)


def test_arguments_of_a_backend_change_nothing():
    plain, model = network(), network()
    options = {"run_eagerly": True, "steps_per_execution": 4, "jit_compile": "auto", "auto_scale_loss": False}
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    for each in (plain, model):
        each.fit(*blobs(), verbose=0)
    assert state(model) == state(plain)
    for mistake, message in (
        ({"jit_compile": "always"}, "jit_compile"),
        ({"run_eagerly": 1}, "run_eagerly"),
        ({"steps_per_execution": 0}, "steps_per_execution"),
        ({"metric": ["accuracy"]}, "Did you mean 'metrics'"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"compile: .*{message}"):
            model.compile("sgd", "mse", **mistake)
    assert model.loss.kind == "sparse_categorical_crossentropy"


# ------------------------------------------------------------------------------------------------------ regularization


def test_regularized_dense():
    RegularizedDense = partial(  # noqa: N806
        keras.layers.Dense,
        activation="elu",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.l2(0.01),
        kernel_constraint=keras.constraints.max_norm(1.0),
    )
    flatten = keras.layers.Flatten(input_shape=[2, 3])
    model = keras.models.Sequential(
        [
            flatten,
            RegularizedDense(30),
            keras.layers.Dropout(rate=0.2),
            RegularizedDense(10),
            RegularizedDense(3, activation="softmax", kernel_initializer="glorot_uniform"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="nadam", metrics=["accuracy"])
    x, y = blobs()
    model.fit(x.reshape(-1, 2, 3), y, epochs=2, validation_split=0.2, verbose=0)
    assert np.linalg.norm(model.layers[1].kernel, axis=0).max() < 1 + 1e-5


def test_monte_carlo_dropout():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dropout(0.3), keras.layers.Dense(3, "softmax")])
    x, _ = blobs()
    y_probas = np.stack([model(x, training=True) for _ in range(50)])
    y_proba, y_std = y_probas.mean(axis=0), y_probas.std(axis=0)
    assert y_probas.shape == (50, 200, 3)
    np.testing.assert_allclose(y_probas.sum(axis=2), 1, atol=1e-5)
    mean, deviation = model.predict_mc(x, 50)
    assert abs(mean - y_proba).max() < 4 * np.hypot(deviation, y_std).max() / np.sqrt(50) + 1e-3
    assert np.array_equal(model.predict(x), model(x))


def test_a_layer_with_a_call_of_its_own_is_refused():
    class MCDropout(keras.layers.Dropout):
        def call(self, inputs, training=False):
            return super().call(inputs, training=True)

    with pytest.raises(TypeError, match=r"MCDropout: layers run natively.*predict_mc"):
        MCDropout(0.2)


def test_layers_with_defaults_of_ones_own():
    class HeDense(keras.layers.Dense):
        def __init__(self, units, **options):
            super().__init__(units, activation="elu", kernel_initializer="he_normal", **options)

    model = keras.Sequential([keras.Input((6,)), HeDense(16), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    losses = model.fit(*blobs(), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert [v.name for v in model.layers[0].trainable_variables] == ["kernel", "bias"]
    assert model.layers[0].non_trainable_variables == []
