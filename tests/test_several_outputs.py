"""Networks with several outputs: each with its own loss, metrics and weights of rows, in one step."""

from typing import Any

import numpy as np
import pytest
from networks import BINARY, SPARSE, SQUARED, activation, batch_norm, dense, network, noise, reads
from optimizer_specs import ADAM, SGD
from programs import made, state

import evenflow
from evenflow import Input, Model, _core
from evenflow.layers import Activation, Add, BatchNormalization, Concatenate, Dense, Dropout, Flatten
from evenflow.reference import Network

LOGITS = {"kind": SPARSE, "from_logits": True, "weight": 0.5}
EVERYWHERE = {
    **network(
        19,
        [
            dense(33),
            batch_norm(),
            activation("relu"),
            dense(40),  # 3: an output in the middle, through a map of its own for what reads it
            activation("elu"),
            noise("dropout", rate=0.2),
            dense(10),
            activation("softmax"),  # 7: the loss takes what is below
            reads(dense(1), 2),
            activation("sigmoid"),  # 9: read again, so it is computed before the loss
            reads(dense(5), 9),
            reads({"kind": "concatenate"}, 10, 2),  # 11: without a loss
            reads(dense(4), 4),  # 12: logits, which others read
            reads(dense(2, trainable=False), 12),  # 13
        ],
        SQUARED,
    ),
    "outputs": [
        {
            "layer": "layer_7",
            "loss": {"kind": SPARSE, "from_logits": False},
            "metrics": ["sparse_categorical_accuracy"],
        },
        {"layer": "layer_3", "loss": {"kind": SQUARED, "from_logits": False, "weight": 0.25}, "metrics": []},
        {
            "layer": "layer_9",
            "loss": {"kind": BINARY, "from_logits": False, "weight": 2.0},
            "metrics": ["binary_accuracy", {"kind": "mean_absolute_error", "weighted": True}],
        },
        {"layer": "layer_11", "loss": None, "metrics": []},
        {"layer": "layer_12", "loss": LOGITS, "metrics": [{"kind": "sparse_categorical_accuracy", "weighted": True}]},
        {"layer": "layer_13", "loss": {"kind": "huber", "from_logits": False}, "metrics": []},
    ],
}
ROWS = 37


def targets(rng: np.random.Generator, dtype: Any) -> list[Any]:
    return [
        rng.integers(0, 10, ROWS),
        rng.standard_normal((ROWS, 40)).astype(dtype),
        rng.integers(0, 2, (ROWS, 1)).astype(dtype),
        None,
        rng.integers(0, 4, ROWS),
        rng.standard_normal((ROWS, 2)).astype(dtype),
    ]


def row_weights(rng: np.random.Generator) -> list[Any]:
    return [None if i in (1, 3) else rng.uniform(0, 2, (ROWS, 1)) for i in range(6)]


def of_rows(listed: list[Any], rows: Any) -> list[Any]:
    return [None if one is None else one[rows] for one in listed]


@pytest.mark.parametrize(
    "optimizer", [{**ADAM, "epsilon": 1e-3}, {**SGD, "global_clipnorm": 0.1}], ids=["adam", "clip"]
)
@pytest.mark.parametrize(("threads", "fusion"), [(1, True), (2, True), (3, False)])
def test_training_is_the_references(threads, fusion, optimizer, isa, dtype, rng):
    bound = 100 * float(np.finfo(dtype).eps)
    spec = {**EVERYWHERE, "optimizer": optimizer}
    program = made(spec, dtype=dtype.name, batch_size=13, threads=threads, fusion=fusion)
    net = Network(spec)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    x, y, weights = rng.standard_normal((ROWS, 19)).astype(dtype), targets(rng, dtype), row_weights(rng)
    order = rng.permutation(ROWS)
    progress = program.train(x, y, learning_rate=0.01, order=order, sample_weight=weights)
    loss, metrics = 0.0, 0.0
    for at in np.split(order, [13, 26]):
        column = [None if one is None else one[:, 0] for one in of_rows(weights, at)]
        added, states = net.train_step(x[at], of_rows(y, at), 0.01, column)
        loss, metrics = loss + added, metrics + np.concatenate(states)
    assert progress.loss == pytest.approx(loss, rel=bound)
    assert np.concatenate(progress.metrics) == pytest.approx(metrics, rel=bound)
    given = [output["loss"]["weight"] if "weight" in (output["loss"] or {}) else 1.0 for output in spec["outputs"]]
    assert np.dot(given, progress.losses) == pytest.approx(progress.loss, rel=bound)
    sums = [0.0 if target is None else ROWS if w is None else w.sum() for w, target in zip(weights, y, strict=True)]
    assert progress.weights == pytest.approx(sums)
    for name, right in net.variables.items():
        assert np.abs(program.get(name) - right).max() <= bound * np.abs(right).max(), name
        right[...] = program.get(name)
    for got, right in zip(program.predict(x), net.forward(x, training=False), strict=True):
        assert np.abs(got - right).max() <= bound * max(1, np.abs(right).max())


def test_pieces_of_a_step(isa, dtype, rng):
    bound = 100 * float(np.finfo(dtype).eps)
    program, net = made(EVERYWHERE, dtype=dtype.name), Network(EVERYWHERE)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    x = rng.standard_normal((12, 19)).astype(dtype)
    right = net.forward(x)
    for got, expected in zip(program.forward(x), right, strict=True):
        assert np.abs(got - expected).max() <= bound * max(1, np.abs(expected).max())
    dy = [rng.standard_normal(one.shape).astype(dtype) for one in right]
    expected = net.backward(dy)
    assert np.abs(program.backward(dy) - expected).max() <= bound * np.abs(expected).max()
    largest = max(np.abs(gradient).max() for gradient in net.gradients.values())
    for name, gradient in net.gradients.items():
        assert np.abs(program.gradient(name) - gradient).max() <= bound * largest, name


def test_threads_change_no_bit(rng):
    x, y, weights = rng.standard_normal((ROWS, 19)).astype(np.float32), targets(rng, np.float32), row_weights(rng)
    spec = {**EVERYWHERE, "optimizer": ADAM}
    found = []
    for threads in (1, 2, 3, 5):
        program = made(spec, batch_size=13, threads=threads)
        progress = program.train(x, y, learning_rate=0.01, sample_weight=weights)
        values = {name: array.tobytes() for name, array in state(program).items()}
        found.append((progress.loss, progress.losses, [one.tolist() for one in progress.metrics], values))
    assert all(one == found[0] for one in found)


def test_the_core_refuses(rng):
    def outputs(*layers: str) -> Any:
        return {**EVERYWHERE, "outputs": [{"layer": layer, "loss": None, "metrics": []} for layer in layers]}

    with pytest.raises(ValueError, match="read by a later layer"):
        _core.Program(outputs("layer_7", "layer_11"))
    with pytest.raises(ValueError, match="different values"):
        _core.Program(outputs("layer_7", "layer_13", "layer_11", "layer_13"))
    with pytest.raises(ValueError, match="'layer_99'"):
        _core.Program(outputs("layer_99"))
    with pytest.raises(ValueError, match="at least one output"):
        _core.Program(outputs())
    program = made(EVERYWHERE, batch_size=13)
    assert program.outputs == (10, 40, 1, 16 * 2 + 6, 4, 2)
    x, y = np.zeros((ROWS, 19), np.float32), targets(rng, np.float32)
    with pytest.raises(ValueError, match="6 arrays, one for each output"):
        program.evaluate(x, y[:3])
    with pytest.raises(TypeError, match="a list of 6 arrays"):
        program.evaluate(x, y[0])
    with pytest.raises(ValueError, match="'sample_weight': expected 37 rows"):
        program.evaluate(x, y, sample_weight=[np.ones((3, 1)), *[None] * 5])
    with pytest.raises(ValueError, match="class_weight"):
        made({**EVERYWHERE, "optimizer": SGD}).train(x, y, learning_rate=0.1, class_weight=np.ones(2))
    y[4][5] = 4
    with pytest.raises(ValueError, match="labels from 0 to 3"):
        program.evaluate(x, y)


def test_an_output_of_rows_that_is_read_too(isa, rng):
    spec = network(3, [dense(4), activation("softmax"), dense(2)], SQUARED)
    spec["outputs"] = [
        {"layer": "layer_1", "loss": {"kind": "categorical_crossentropy", "from_logits": False}, "metrics": []},
        {"layer": "layer_2", "loss": {"kind": SQUARED, "from_logits": False}, "metrics": []},
    ]
    program, net = made(spec, dtype="float64"), Network(spec)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    x = rng.standard_normal((20, 3))
    y = [np.eye(4)[rng.integers(0, 4, 20)], rng.standard_normal((20, 2))]
    for _ in range(5):
        loss = program.train(x, y, learning_rate=0.1).loss
        assert loss == pytest.approx(net.train_step(x, y, 0.1)[0], rel=1e-12)
    for name, value in net.variables.items():
        np.testing.assert_allclose(program.get(name), value, rtol=1e-11, err_msg=name)


# Models ---------------------------------------------------------------------------------------------------------------


def wide_and_deep(form: Any = list, seed: int = 1) -> Any:
    evenflow.set_seed(seed)
    x = Input((8,), name="x")
    hidden = Dropout(0.1)(BatchNormalization()(Dense(30, "relu")(x)))
    main = Dense(1, name="main")(Concatenate()([x, Dense(20, "relu")(hidden)]))
    aux = Dense(3, "softmax", name="aux")(hidden)
    return Model(x, [main, aux] if form is list else {"value": main, "kind": aux})


def rows(count: int = 90) -> Any:
    rng = np.random.default_rng(7)
    x = rng.standard_normal((count, 8)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1])[:, None], x[:, :3].argmax(axis=1)


LOSSES = ["mse", SPARSE]


def test_history_has_kerass_names():
    model, (x, value, kind) = wide_and_deep(), rows()
    metrics = [["mae"], ["accuracy"]]
    model.compile("adam", LOSSES, [0.9, 0.1], metrics, weighted_metrics=[["mse"], ["accuracy"]])
    history = model.fit(x, [value, kind], epochs=25, verbose=0, validation_split=0.2).history
    names = ["loss", "main_loss", "aux_loss", "main_mae", "main_mse", "aux_accuracy", "aux_weighted_accuracy"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for prefix in ("", "val_"):
        total = 0.9 * np.array(history[f"{prefix}main_loss"]) + 0.1 * np.array(history[f"{prefix}aux_loss"])
        np.testing.assert_allclose(history[f"{prefix}loss"], total, rtol=1e-6)
    scores = model.evaluate(x, [value, kind], verbose=0)
    assert scores == list(model.evaluate(x, {"main": value, "aux": kind}, verbose=0, return_dict=True).values())
    main, aux = model.predict(x)
    assert scores[1] == pytest.approx(((main - value) ** 2).mean(), rel=1e-5)
    assert scores[2] == pytest.approx(-np.log(aux[np.arange(90), kind]).mean(), rel=1e-5)
    assert scores[3] == pytest.approx(np.abs(main - value).mean(), rel=1e-5)
    assert scores[5] == pytest.approx((aux.argmax(axis=1) == kind).mean())


def test_lists_and_dicts_mean_the_same():
    found = []
    x, value, kind = rows()
    weights = np.linspace(0, 1, 90)
    for form in (list, dict):
        names = ["main", "aux"] if form is list else ["value", "kind"]
        for given in (list, dict):

            def each(*of_outputs: Any, names: Any = names, given: Any = given) -> Any:
                return list(of_outputs) if given is list else dict(zip(names, of_outputs, strict=True))

            model = wide_and_deep(form)
            assert model.output_names == names
            model.compile("adam", each(*LOSSES), each(0.9, 0.1), each("mae", ["accuracy"]))
            model.fit(x, each(value, kind), epochs=2, verbose=0, sample_weight=each(weights, None))
            scores = model.evaluate(x, each(value, kind), verbose=0)
            step = model.train_on_batch(x, each(value, kind), sample_weight=each(None, weights))
            predicted = model.predict(x)
            assert isinstance(predicted, form)
            predicted = predicted if form is list else list(predicted.values())
            found.append([scores, step, *(one.tolist() for one in predicted)])
    assert all(one == found[0] for one in found)


def test_one_loss_for_all_and_an_output_without_one():
    x, value, kind = rows()
    model = wide_and_deep()
    model.compile("sgd", "mse")
    history = model.fit(x, [value, np.eye(3)[kind]], verbose=0).history
    assert list(history) == ["loss", "main_loss", "aux_loss"]
    for loss in (["mse", None], {"main": "mse"}):
        model.compile("sgd", loss)
        kept = model.get_layer("aux").get_weights()
        history = model.fit(x, [value], verbose=0).history
        assert list(history) == ["loss"]
        assert list(model.fit(x, {"main": value}, verbose=0).history) == ["loss"]
        for before, after in zip(kept, model.get_layer("aux").get_weights(), strict=True):
            assert np.array_equal(before, after)
    model.compile("sgd", LOSSES, loss_weights={"aux": 0.0})
    model.fit(x, [value, kind], verbose=0, sample_weight=np.ones(90))
    for before, after in zip(kept, model.get_layer("aux").get_weights(), strict=True):
        assert np.array_equal(before, after)


def test_saved_and_cloned(tmp_path):
    x, value, kind = rows()
    for form in (list, dict):
        model = wide_and_deep(form)
        names = model.output_names
        model.compile("adam", LOSSES, [0.9, 0.1], {names[1]: "accuracy"}, weighted_metrics=[["mae"], None])
        model.fit(x, [value, kind], epochs=1, verbose=0)
        model.save(tmp_path / "model.safetensors")
        loaded = evenflow.models.load_model(tmp_path / "model.safetensors")
        assert loaded.get_config() == model.get_config()
        clone = evenflow.models.clone_model(model)
        assert clone.layer_spec()[0] == model.layer_spec()[0]
        clone.set_weights(model.get_weights())
        scores = model.evaluate(x, [value, kind], verbose=0, return_dict=True)
        for other in (loaded, clone):
            assert other.evaluate(x, [value, kind], verbose=0, return_dict=True) == scores
        histories = [one.fit(x, [value, kind], epochs=2, verbose=0).history for one in (model, loaded)]
        assert histories[0] == histories[1]
        made_again = Model.from_config(model.get_config())
        assert made_again.output_names == names
        assert made_again.layer_spec() == model.layer_spec()


def test_functions_as_metrics_and_callbacks():
    model, (x, value, kind) = wide_and_deep(), rows()

    def off(y: Any, prediction: Any) -> Any:
        return np.abs(y - prediction)[:, 0]

    def right(y: Any, prediction: Any) -> Any:
        return prediction.argmax(axis=1) == y

    model.compile("adam", LOSSES, metrics=[["mae", off], [right, "accuracy"]], weighted_metrics=[[], [right]])
    stop = evenflow.callbacks.EarlyStopping("val_aux_loss", patience=2)
    done = model.fit(x, [value, kind], epochs=2, verbose=0, callbacks=[stop], validation_split=0.3, batch_size=7)
    for prefix in ("", "val_"):
        assert done.history[f"{prefix}main_off"] == pytest.approx(done.history[f"{prefix}main_mae"], rel=1e-5)
        assert done.history[f"{prefix}aux_right"] == pytest.approx(done.history[f"{prefix}aux_accuracy"])
        assert done.history[f"{prefix}aux_weighted_right"] == done.history[f"{prefix}aux_right"]


def test_streams_and_draws():
    model, (x, value, kind) = wide_and_deep(), rows()
    model.compile("adam", LOSSES)
    model.fit(((x[i : i + 9], [value[i : i + 9], kind[i : i + 9]]) for i in range(0, 90, 9)), verbose=0)
    whole = model.predict(x)
    for one, other in zip(model.predict(x[i : i + 9] for i in range(0, 90, 9)), whole, strict=True):
        assert np.array_equal(one, other)
    means, deviations = model.predict_mc(x, 5, seed=3)
    assert [one.shape for one in means] == [one.shape for one in deviations] == [(90, 1), (90, 3)]
    assert all(one.max() > 0 for one in deviations)
    assert [one.shape for one in model(x, training=True)] == [(90, 1), (90, 3)]
    inner = wide_and_deep()
    z = Input((8,))
    outer = Model(z, inner(Dense(8)(z)))
    assert outer.output_names == ["main", "aux"]
    assert [one.shape for one in outer.predict(x)] == [(90, 1), (90, 3)]
    assert Model(z, Add()([Dense(3)(one) for one in inner(z)])).predict(x).shape == (90, 3)


def test_a_value_that_is_read_and_an_output():
    # Deep supervision: every hidden layer has a loss of its own.
    z = Input((2, 4))
    first = Dense(6, "sigmoid", name="first")(Flatten()(z))
    second = Activation("tanh", name="second")(first)
    model = Model(z, [second, first, Dense(1, name="third")(second)], dtype="float64")
    data = np.random.default_rng(0).standard_normal((20, 2, 4))
    model.compile("sgd", ["mse", "binary_crossentropy", "mse"])
    w, b, v, c = model.get_weights()
    hidden = 1 / (1 + np.exp(-(data.reshape(20, 8) @ w + b)))
    right = [np.tanh(hidden), hidden, np.tanh(hidden) @ v + c]
    for one, expected in zip(model.predict(data), right, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-12)
    y = [np.zeros((20, 6)), np.full((20, 6), 0.5), np.zeros((20, 1))]
    model.train_on_batch(data, y)
    assert np.abs(model.get_weights()[0] - w).max() > 0


def refusals() -> Any:
    x, value, kind = rows()

    def compiled(**arguments: Any) -> Any:
        return lambda m: m.compile("sgd", **{"loss": LOSSES, **arguments})

    def fitted(y: Any, **arguments: Any) -> Any:
        def run(model: Any) -> None:
            model.compile("sgd", LOSSES)
            model.fit(x, y, verbose=0, **arguments)

        return run

    yield compiled(loss=["mse"]), ValueError, r"loss: expected a list of 2, or a dict .*'main', 'aux'"
    yield compiled(loss={"mian": "mse"}), ValueError, "'mian'.*'main'"
    yield compiled(loss_weights=0.5), ValueError, "loss_weights: expected a list of 2"
    yield compiled(loss_weights=[0.5, -1]), ValueError, "loss_weights"
    yield compiled(metrics=["mae"]), ValueError, "metrics: expected a list of 2"
    yield compiled(metrics="mae"), ValueError, "metrics: expected a list of 2"
    yield compiled(metrics={"other": "mae"}), ValueError, "'other'"
    yield compiled(loss=["mse", None], metrics=[None, "mae"]), ValueError, "'aux' has no loss"
    yield compiled(loss=[lambda y, p: (0.0, p), "mse"]), ValueError, "one output only"
    yield compiled(loss=["mse", "binary_crossentropy"], metrics=[[], ["categorical_accuracy", 3]]), TypeError, "metrics"
    yield compiled(loss=["sparse_categorical_crossentropy"] * 2), ValueError, "at least 2 outputs"
    yield fitted(value), TypeError, "y: expected a list of 2 arrays"
    yield fitted([value]), ValueError, "y: expected a list of 2"
    yield fitted({"main": value, "kind": kind}), ValueError, "'kind'"
    yield fitted({"main": value}), TypeError, r"y\[aux\]"
    yield fitted([value, kind[:5]]), ValueError, r"y\[1\] must have the same|y\[1\] has shape"
    yield fitted([value, kind + 7]), ValueError, "aux"
    yield fitted([value, kind], sample_weight=[np.ones(90)]), ValueError, "sample_weight: expected a list of 2"
    yield fitted([value, kind], sample_weight={"aux": -np.ones(90)}), ValueError, r"sample_weight\[aux\]"
    yield fitted([value, kind], class_weight={0: 2.0}), ValueError, "several outputs"


@pytest.mark.parametrize("case", range(20))
def test_refused(case):
    run, kind, message = list(refusals())[case]
    model = wide_and_deep()
    before = [weight.tobytes() for weight in model.get_weights()]
    with pytest.raises(kind, match=message):
        run(model)
    assert [weight.tobytes() for weight in model.get_weights()] == before
