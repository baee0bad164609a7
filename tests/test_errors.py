"""Every mistake gets a message that names it, and a refused call leaves the model as it was."""

import numpy as np
import pytest

import evenflow
from evenflow import errors, losses, metrics, optimizers
from evenflow.callbacks import Callback, History
from evenflow.layers import Activation, BatchNormalization, Dense, Flatten, Input, Softmax
from evenflow.models import Sequential
from evenflow.optimizers import SGD, Adam

X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
LABELS = np.arange(40) % 3
VALUES = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def compiled(loss="sparse_categorical_crossentropy", units=3, fitted=True):
    evenflow.set_seed(1)
    model = Sequential([Input((6,)), Dense(5, "elu"), BatchNormalization(), Dense(units)], name="net")
    model.compile("adam", losses.get({"class_name": loss, "config": {"from_logits": True}}) if loss[0] == "S" else loss)
    return model


def trained():
    """A model in the middle of its life: weights, slots and a shuffling state to lose."""
    evenflow.set_seed(1)
    model = Sequential([Input((6,)), Dense(5, "elu"), BatchNormalization(), Dense(3, "softmax")], name="net")
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, LABELS, epochs=2, verbose=0)
    return model


def state(model):
    """All that a refused call must leave alone, as plain data."""
    iterations, slots = model.optimizer.state()
    slots = {key: value.tobytes() for key, value in slots.items()}
    weights = [w.tobytes() for w in model.get_weights()]
    compiled = [model.optimizer.get_config(), model.loss.get_config(), [str(m) for m in model.metrics]]
    return weights, slots, iterations, str(model.shuffle_state), compiled, model.get_config(), model.history.history


def changed(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


def nested(array, value):
    return [[value, *row[1:]] if i == 0 else row for i, row in enumerate(array.tolist())]


NAN = changed(X, (7, 3), np.nan)
STRIDED_NAN = np.asfortranarray(changed(X.astype(float), (11, 0), -np.inf))

# What is wrong, and the words the message must hold. `fit`, `evaluate` and `train_on_batch` read x and y alike.
WRONG_DATA = {
    "x is missing": (None, LABELS, ["x", "None"]),
    "y is missing": (X, None, ["y", "None"]),
    "lengths": (X, LABELS[:-1], ["x has shape (40, 6)", "y has shape (39,)", "number of rows"]),
    "features": (X[:, :5], LABELS, ["x has shape (40, 5)", "(rows, 6)"]),
    "more axes": (X.reshape(40, 2, 3), LABELS, ["x has shape (40, 2, 3)", "(rows, 6)", "x.reshape(-1, 6)"]),
    "one row": (X[0], LABELS[:6], ["x has shape (6,)", "(rows, 6)", "x[None]"]),
    "scalar": (3.0, 1, ["x has shape ()", "y has shape ()"]),
    "no rows": (X[:0], LABELS[:0], ["(0, 6)", "nothing in it"]),
    "no features": (X[:, :0], LABELS, ["(40, 0)", "nothing in it"]),
    "NaN": (NAN, LABELS, ["x has nan in row 7, column 3", "allow_nonfinite=True"]),
    "infinity": (STRIDED_NAN, LABELS, ["x has -inf in row 11, column 0"]),
    "complex": (X.astype(complex), LABELS, ["x", "dtype complex128"]),
    "objects": (X.astype(object), LABELS, ["x", "dtype object"]),
    "strings": (X.astype(str), LABELS, ["x", "dtype <U"]),
    "dates": (np.zeros((40, 6), "M8[s]"), LABELS, ["x", "dtype datetime64[s]"]),
    "ragged": ([[1, 2], [3]], [0, 1], ["x", "a list, which says"]),
    "missing values": (nested(X, None), LABELS, ["x", "dtype object"]),
    "text": ("data.csv", LABELS, ["x", "'data.csv'"]),
    "dict": ({"a": X}, LABELS, ["x", "dict"]),
    "generator": ((row for row in X), LABELS, ["x"]),
    "masked": (np.ma.masked_less(X, 0), LABELS, ["x", "filled", "masked array"]),
    "label too large": (X, changed(LABELS, 5, 3), ["y has label 3 in row 5", "0 to 2", "3 outputs"]),
    "negative label": (X, changed(LABELS, 9, -1), ["y has label -1 in row 9"]),
    "large unsigned label": (X, changed(LABELS.astype(np.uint64), 2, 2**63), ["label 9223372036854775808 in row 2"]),
    "half a label": (X, changed(LABELS.astype(float), 4, 0.5), ["y has 0.5 in row 4", "whole"]),
    "NaN label": (X, changed(LABELS.astype(float), 4, np.nan), ["y has nan in row 4"]),
    "one-hot labels": (X, ONE_HOT, ["y has shape (40, 3)", "(40,)", "categorical_crossentropy"]),
    "label matrix": (X, np.zeros((40, 2), int), ["y has shape (40, 2)", "(40,)"]),
    "text labels": (X, LABELS.astype(str), ["y", "dtype <U"]),
    "complex labels": (X, LABELS.astype(complex), ["y", "dtype complex128"]),
}


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("mistake", WRONG_DATA)
def test_wrong_data(method, mistake):
    x, y, words = WRONG_DATA[mistake]
    model = trained()
    before = state(model)
    with pytest.raises((TypeError, ValueError)) as caught:
        getattr(model, method)(x, y)
    name = "evaluate" if method == "test_on_batch" and mistake != "generator" else method
    missing = [word for word in [f"{name}: ", *words] if word not in str(caught.value)]
    assert not missing, str(caught.value)
    assert state(model) == before


@pytest.mark.parametrize(
    "mistake", [name for name, (_, y, _) in WRONG_DATA.items() if y is LABELS and name != "lengths"]
)
def test_wrong_data_for_predict(mistake):
    x, _, words = WRONG_DATA[mistake]
    model = trained()
    before = state(model)
    with pytest.raises((TypeError, ValueError)) as caught:
        model.predict((row for row in X) if mistake == "generator" else x)
    assert all(word in str(caught.value) for word in ["predict: ", *words]), str(caught.value)
    assert state(model) == before


WRONG_TARGETS = {
    "labels for categorical": ("categorical_crossentropy", 3, LABELS, ["(40,)", "(40, 3)", "sparse_categorical"]),
    "classes": ("categorical_crossentropy", 3, ONE_HOT[:, :2], ["(40, 2)", "(40, 3)"]),
    "a probability of 2": ("categorical_crossentropy", 3, changed(ONE_HOT, (3, 1), 2), ["2.0 in row 3, column 1"]),
    "labels -1 and 1": ("binary_crossentropy", 1, LABELS % 2 * 2 - 1, ["y has -1.0 in row 0, column 0", "0 to 1"]),
    "binary of two columns": ("binary_crossentropy", 1, ONE_HOT[:, :2], ["(40, 2)", "(40, 1)"]),
    "one column for three": ("mse", 3, VALUES[:, 0], ["(40,)", "(40, 3)"]),
    "NaN target": ("mse", 3, changed(VALUES, (8, 2), np.nan), ["y has nan in row 8, column 2"]),
    "three axes": ("mse", 3, VALUES[:, :, None], ["(40, 3, 1)", "(40, 3)"]),
}


@pytest.mark.parametrize("mistake", WRONG_TARGETS)
def test_wrong_targets(mistake):
    loss, units, y, words = WRONG_TARGETS[mistake]
    model = Sequential([Input((6,)), Dense(units)])
    model.compile("sgd", loss)
    before = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(ValueError, match=r"^fit: y ") as caught:
        model.fit(X, y)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert [w.tobytes() for w in model.get_weights()] == before


@pytest.mark.parametrize(
    ("loss", "units", "y"),
    [
        ("mse", 1, VALUES[:, 0]),
        ("mse", 1, VALUES[:, :1].astype(np.int16)),
        ("mse", 3, np.asfortranarray(VALUES)),
        ("binary_crossentropy", 1, LABELS > 1),
        ("binary_crossentropy", 3, ONE_HOT.astype(np.uint8)),
        ("categorical_crossentropy", 3, ONE_HOT * 0.5 + 0.1),
        ("sparse_categorical_crossentropy", 3, LABELS[:, None].astype(np.float16)),
        ("sparse_categorical_crossentropy", 2, LABELS > 1),
    ],
)
def test_right_targets(loss, units, y):
    activation = {"mse": None, "binary_crossentropy": "sigmoid"}.get(loss, "softmax")
    model = Sequential([Input((6,)), Dense(units, activation)])
    model.compile("sgd", loss)
    kept = y.copy()
    model.fit(X, y, verbose=0)
    assert np.isfinite(model.evaluate(X, y, verbose=0))
    assert np.array_equal(kept, y)


WRONG_ARGUMENTS = [
    (lambda m: m.fit(X, LABELS, batch_size=0), ["fit", "batch_size", "at least 1", "0"]),
    (lambda m: m.fit(X, LABELS, batch_size=-32), ["batch_size", "-32"]),
    (lambda m: m.fit(X, LABELS, batch_size=32.0), ["batch_size", "integer", "32.0"]),
    (lambda m: m.fit(X, LABELS, batch_size=True), ["batch_size", "True"]),
    (lambda m: m.fit(X, LABELS, epochs=-1), ["epochs", "-1"]),
    (lambda m: m.fit(X, LABELS, epochs="10"), ["epochs", "'10'"]),
    (lambda m: m.fit(X, LABELS, initial_epoch=-1), ["initial_epoch", "-1"]),
    (lambda m: m.fit(X, LABELS, shuffle="batch"), ["shuffle", "'batch'"]),
    (lambda m: m.fit(X, LABELS, verbose=3), ["verbose", "3"]),
    (lambda m: m.fit(X, LABELS, verbose="yes"), ["verbose", "'yes'"]),
    (lambda m: m.fit(X, LABELS, validation_split=1.0), ["validation_split", "below 1.0"]),
    (lambda m: m.fit(X, LABELS, validation_split=-0.1), ["validation_split", "-0.1"]),
    (lambda m: m.fit(X[:1], LABELS[:1], validation_split=0.5), ["validation_split=0.5", "1 rows"]),
    (lambda m: m.fit(X, LABELS, validation_data=X), ["validation_data", "pair"]),
    (lambda m: m.fit(X, LABELS, validation_data=(X, LABELS, LABELS, X)), ["validation_data", "pair", "4 values"]),
    (lambda m: m.fit(X, LABELS, validation_data=(X[:, 1:], LABELS)), ["validation_data[0]", "(40, 5)", "(rows, 6)"]),
    (lambda m: m.fit(X, LABELS, validation_data=(X, LABELS + 1)), ["validation_data[1] has label 3 in row 2"]),
    (lambda m: m.fit(X, LABELS, validation_data=(NAN, LABELS)), ["validation_data[0] has nan in row 7, column 3"]),
    (lambda m: m.fit(X, LABELS, validation_batch_size=0), ["validation_batch_size", "0"]),
    (lambda m: m.fit(X, LABELS, callbacks=[History]), ["callbacks", "with parentheses"]),
    (lambda m: m.fit(X, LABELS, callbacks=["history"]), ["callbacks", "'history'"]),
    (lambda m: m.fit(X, LABELS, callbacks=5), ["callbacks", "5"]),
    (lambda m: m.fit(X, LABELS, threads=0), ["threads", "at least 1", "0"]),
    (lambda m: m.fit(X, LABELS, allow_nonfinite=1), ["allow_nonfinite", "True or False"]),
    (lambda m: m.fit(X, LABELS, sample_weight=X), ["sample_weight"]),
    (lambda m: m.evaluate(X, LABELS, batch_size=0), ["evaluate", "batch_size", "0"]),
    (lambda m: m.evaluate(X, LABELS, threads=-1), ["evaluate", "threads", "-1"]),
    (lambda m: m.predict(X.astype(float), batch_size=0), ["predict", "batch_size", "0"]),
    (lambda m: m.predict(X, threads=0), ["predict", "threads", "0"]),
    (lambda m: m.predict(X.astype(float), verbose="loud"), ["predict", "verbose", "'loud'"]),
    (lambda m: m(X, training="yes"), ["net", "training", "'yes'"]),
    (lambda m: m(X[:, 1:], training=True), ["net", "(40, 5)", "(rows, 6)"]),
    (lambda m: m.compile("adm", "mse"), ["compile", "optimizer='adm'", "'adam'"]),
    (lambda m: m.compile("adam", "categorical_crossentrop"), ["loss", "'categorical_crossentropy'"]),
    (lambda m: m.compile("adam", "mse", metrics=["acuracy"]), ["metrics", "'acuracy'", "'accuracy'"]),
    (lambda m: m.compile("adam", "mse", metrics=["mae", "mae"]), ["metrics", "different names"]),
    (lambda m: m.compile("adam", "mse", metrics=[losses.Huber()]), ["metrics", "MeanAbsoluteError()"]),
    (lambda m: m.compile("adam", "mse", weighted_metrics=["mea"]), ["weighted_metrics", "'mea'"]),
    (lambda m: m.compile("adam", "mse", metrics=[len]), ["metrics", "MeanAbsoluteError()"]),
    (lambda m: m.compile("adam", "mse", metrics=["sparse_categorical_accuracy"]), ["sparse_categorical", "(rows, 3)"]),
    (lambda m: m.compile(Adam, "mse"), ["optimizer", "Adam(learning_rate=0.001)"]),
    (lambda m: m.compile("adam", np.square), ["loss", "MeanSquaredError()"]),
    (lambda m: m.compile("adam", losses.SparseCategoricalCrossentropy(True)), ["from_logits=True", "softmax"]),
    (lambda m: m.set_weights(m.get_weights()[:-1]), ["set_weights", "expected 8 arrays", "received 7"]),
    (lambda m: m.set_weights([*m.get_weights()[:-1], np.zeros(4)]), ["bias", "(4,)", "(3,)"]),
    (lambda m: m.set_weights([np.array("x")] * 8), ["kernel", "real numbers"]),
    (lambda m: m.build((None, 7)), ["build", "(rows, 7)", "(rows, 6)"]),
    (lambda m: m.build(6), ["build", "(None, 784)", "6"]),
    (lambda m: m.add(Dense), ["add", "with parentheses"]),
    (lambda m: m.add("dense"), ["add", "'dense'"]),
    (lambda m: m.add(m.layers[0]), ["add", "no other layer"]),
    (lambda m: m.add(Input((3,))), ["add", "first"]),
    (lambda m: m.get_layer("dens"), ["get_layer", "'dens'"]),
    (lambda m: m.get_layer(index=3), ["get_layer", "index", "3"]),
    (lambda m: m.get_layer(), ["get_layer", "name or index"]),
]


@pytest.mark.parametrize("case", range(len(WRONG_ARGUMENTS)))
def test_wrong_arguments(case):
    call, words = WRONG_ARGUMENTS[case]
    model = trained()
    before = state(model)
    with pytest.raises((TypeError, ValueError)) as caught:
        call(model)
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, str(caught.value)
    assert state(model) == before


def test_a_refused_call_does_not_build_a_model():
    def unbuilt():
        model = Sequential([Flatten(), Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    images = X.reshape(40, 2, 3)
    for call in (
        lambda m: m.fit(images, LABELS + 1),
        lambda m: m.fit(images, LABELS, validation_data=(images[:, :1], LABELS)),
        lambda m: m.fit(images, LABELS, epochs=0.5),
        lambda m: m.evaluate(images, LABELS[1:]),
        lambda m: m.predict(np.full_like(images, np.nan)),
        lambda m: m.build((None, 0)),
    ):
        model = unbuilt()
        with pytest.raises((TypeError, ValueError)):
            call(model)
        assert not model.built
        model.fit(images, LABELS, verbose=0)


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        (lambda: [Input((28, 28)), Dense(3)], ["Dense", "(rows, 28, 28)", "(rows, features)", "Flatten()"]),
        (lambda: [Dense(3), Input((3,))], ["Input", "first"]),
        (lambda: [Input((3,)), Input((3,))], ["Input", "first"]),
        (lambda: [Dense(2, name="a"), Dense(2, name="a")], ["'a'", "no other layer"]),
        (lambda: [Input((2, 3)), Softmax()], ["Softmax", "(rows, 2, 3)", "(rows, features)", "Flatten()"]),
        (lambda: [Input((2, 3)), Activation("sparsemax")], ["Activation", "(rows, 2, 3)", "Flatten()"]),
        (lambda: [Input((4,)), Dense(3), Dense(3, input_shape=(4,))], ["Dense", "(rows, 3)", "(rows, 4)"]),
        (lambda: Dense(3), ["layers", "a list of layers"]),
        (lambda: 5, ["layers", "a list of layers", "5"]),
    ],
)
def test_wrong_stacks(stack, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        Sequential(stack())
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Sequential([Input((3,)), Flatten()]).predict(X[:, :3]), ["no layer computes anything"]),
        (lambda: Sequential().predict(X), ["no layers"]),
        (lambda: Sequential(Dense(3), Dense(2)), ["Sequential", "layers", "a list of layers", "Dense"]),
        (lambda: Sequential([Input((2, 3)), Activation("elu")]).predict(X.reshape(-1, 2, 3)), ["output", "Flatten()"]),
        (lambda: Sequential([Dense(1)]).spec(), ["spec()", "Input(shape=...)"]),
        (lambda: Sequential([Dense(1)]).summary_of, ["summary_of"]),
        (lambda: Sequential([Dense(1)]).input_shape, ["input_shape is known once"]),
        (lambda: Sequential([], dtype="float16"), ["dtype='float16'", "float32"]),
        (lambda: Sequential([], seed=-1), ["seed", "-1"]),
        (lambda: Sequential([], name=5), ["name", "5"]),
        (lambda: Sequential().pop(), ["pop", "no layers"]),
    ],
)
def test_models_that_cannot_work(call, words):
    with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_model_that_is_not_compiled():
    model = Sequential([Input((6,)), Dense(3)])
    for method in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(RuntimeError, match=f"{method.__name__}: compile the model"):
            method(X, LABELS)
    model.compile("sgd")
    with pytest.raises(RuntimeError, match="loss"):
        model.fit(X, LABELS)
    assert model.predict(X).shape == (40, 3)


def test_one_output_for_classes():
    model = Sequential([Input((6,)), Dense(1)])
    with pytest.raises(ValueError, match=r"at least 2 outputs.*binary_crossentropy"):
        model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.loss is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SGD(learning_rate=-0.1), ["SGD", "learning_rate", "at least 0.0", "-0.1"]),
        (lambda: Adam("fast"), ["Adam", "learning_rate", "'fast'"]),
        (lambda: Adam(float("nan")), ["learning_rate", "nan"]),
        (lambda: SGD(momentum=1.5), ["momentum", "at most 1.0", "1.5"]),
        (lambda: SGD(momentum=-0.9), ["momentum", "at least 0.0", "-0.9"]),
        (lambda: SGD(nesterov=1), ["nesterov", "1"]),
        (lambda: Adam(beta_1=1.0), ["beta_1", "below 1.0", "1.0"]),
        (lambda: Adam(beta_2=-0.1), ["beta_2", "-0.1"]),
        (lambda: Adam(epsilon=-1e-8), ["epsilon", "-1e-08"]),
        (lambda: Adam(clipnorm=0), ["clipnorm", "above 0.0", "0"]),
        (lambda: SGD(clipvalue=-1.0), ["clipvalue", "-1.0"]),
        (lambda: SGD(clipvalue=1.0, clipnorm=1.0), ["at most one", "clipvalue and clipnorm"]),
        (lambda: Adam(clipnorm=1.0, global_clipnorm=1.0), ["at most one", "clipnorm and global_clipnorm"]),
        (lambda: SGD(weight_decay=-0.1), ["SGD", "weight_decay", "at least 0.0", "-0.1"]),
        (lambda: optimizers.AdamW(weight_decay="a lot"), ["AdamW", "weight_decay", "'a lot'"]),
        (lambda: optimizers.RMSprop(rho=1.0), ["RMSprop", "rho", "below 1.0", "1.0"]),
        (lambda: optimizers.RMSprop(momentum=-1), ["RMSprop", "momentum", "at least 0.0 and at most 1.0", "-1"]),
        (lambda: optimizers.RMSprop(epsilon=0.0), ["epsilon", "at least 1e-30", "0.0"]),
        (lambda: optimizers.RMSprop(centered=1), ["centered", "1"]),
        (lambda: optimizers.Adam(amsgrad="yes"), ["Adam", "amsgrad", "'yes'"]),
        (lambda: optimizers.Nadam(momentum_decay=-1), ["Nadam", "momentum_decay", "-1"]),
        (lambda: optimizers.Adamax(beta_2=1.0), ["Adamax", "beta_2", "below 1.0"]),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-0.1), ["initial_accumulator_value", "-0.1"]),
        (lambda: optimizers.Adadelta(rho=-0.1), ["Adadelta", "rho", "-0.1"]),
        (lambda: optimizers.Lion(beta_1=1.0), ["Lion", "beta_1", "below 1.0"]),
        (lambda: optimizers.Lion(decay=1e-4), ["Lion", "schedules.InverseTimeDecay"]),
        (lambda: optimizers.Nadam(clipvalue=1.0, clipnorm=1.0), ["Nadam", "at most one", "clipvalue and clipnorm"]),
        (lambda: SGD().exclude_from_weight_decay(var_names="bias"), ["var_names", "a list of strings", "'bias'"]),
        (lambda: SGD().exclude_from_weight_decay(var_names=["("]), ["var_names", "regular expressions", "'('"]),
        (lambda: SGD().exclude_from_weight_decay(["dense/bias"]), ["var_list", "variables of a model"]),
        (lambda: optimizers.get("rmsprob"), ["'rmsprob'", "'rmsprop'"]),
        (lambda: SGD(decay=1e-4), ["decay", "schedules.InverseTimeDecay"]),
        (lambda: SGD(lr=0.1), ["'lr'", "Did you mean 'learning_rate'"]),
        (lambda: Adam(beta1=0.9), ["'beta1'", "'beta_1'"]),
        (lambda: optimizers.get("sdg"), ["'sdg'", "'sgd'"]),
        (lambda: setattr(SGD(), "learning_rate", -1), ["learning_rate", "-1"]),
        (lambda: losses.BinaryCrossentropy(from_logit=True), ["'from_logit'", "'from_logits'"]),
        (lambda: losses.BinaryCrossentropy(from_logits="yes"), ["from_logits", "'yes'"]),
        (lambda: losses.get("msee"), ["'msee'", "'mse'"]),
        (lambda: metrics.get("sparse_accuracy"), ["'sparse_accuracy'"]),
        (
            lambda: losses.mean_squared_error([[1.0]], [[1.0, 2.0]]),
            ["mean_squared_error", "y_true", "(1, 1)", "(1, 2)"],
        ),
        (lambda: losses.mean_squared_error([1.0], [1.0]), ["y_pred", "(1,)", "(rows, units)"]),
        (lambda: losses.sparse_categorical_crossentropy([2], [[0.5, 0.5]]), ["label 2 in row 0"]),
    ],
)
def test_wrong_hyperparameters(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_nonfinite_data_passes_on_request():
    model = trained()
    assert np.isnan(model.predict(NAN, allow_nonfinite=True)[7]).all()
    assert np.isfinite(np.delete(model.predict(NAN, allow_nonfinite=True), 7, 0)).all()
    assert np.isnan(model.evaluate(NAN, LABELS, verbose=0, allow_nonfinite=True)[0])
    model.fit(NAN, LABELS, verbose=0, allow_nonfinite=True)
    assert np.isnan(model.get_weights()[0]).any()


def test_an_error_of_a_callback_comes_through():
    class Broken(Callback):
        closed = 0

        def on_epoch_end(self, epoch, logs=None):
            raise OSError("disk full")

        def close(self):
            self.closed += 1

    model, broken = trained(), Broken()
    with pytest.raises(OSError, match="disk full"):
        model.fit(X, LABELS, callbacks=[broken], verbose=0)
    assert broken.closed == 1
    model.fit(X, LABELS, verbose=0)


def test_the_callers_arrays_are_never_changed():
    x, y = X.copy(), LABELS.copy()
    x.flags.writeable = y.flags.writeable = False
    model = trained()
    model.fit(x, y, validation_data=(x, y), verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    assert x.tobytes() == X.tobytes()
    assert y.tobytes() == LABELS.tobytes()


def test_nearest_names():
    known = ["relu", "leaky_relu", "he_normal", "learning_rate"]
    meant = {"RELU": "relu", "leakyrelu": "leaky_relu", "lr": "learning_rate", "he": "he_normal", "xyz": None}
    assert {name: errors.nearest(name, known) for name in meant} == meant
    assert "Did you mean" not in str(errors.unknown_name("f", "a", "xyz", known))
    assert errors.shape_text(()) == "()"
    assert errors.shape_text((3,)) == "(3,)"
    assert errors.shape_text((None, 3)) == "(None, 3)"


def test_long_values_are_not_printed():
    with pytest.raises(TypeError) as caught:
        Dense(list(range(1000)))
    assert len(str(caught.value)) < 200


def test_nonfinite_values_are_found_in_any_block(monkeypatch):
    monkeypatch.setattr("evenflow.data.arrays.CHECK_BYTES", 3 * 6 * 4)
    for row in (0, 2, 3, 38, 39):
        with pytest.raises(ValueError, match=rf"x has nan in row {row}, column 5"):
            trained().predict(changed(X, (row, 5), np.nan))


def test_values_beyond_the_models_dtype_are_refused():
    huge = changed(X.astype(np.float64), (3, 1), 1e300)
    for call in (trained().predict, lambda x: trained().fit(x, LABELS, verbose=0)):
        with pytest.raises(
            ValueError, match=r"x has 1e\+300 in row 3, column 1, expected numbers that fit into float32"
        ):
            call(huge)
    with np.errstate(over="ignore"):
        assert trained().predict(huge, allow_nonfinite=True).shape == (len(X), 3)
    wide = Sequential([Dense(2)], dtype="float64")
    assert np.isfinite(wide.predict(huge)).all()
