"""`fit(cache_frozen=True)`: the same bits as without it, refused where they could not be, and what it tells."""

import numpy as np
import pytest
from example import CLASSES, blobs, state

import evenflow
from evenflow.callbacks import Callback, EarlyStopping
from evenflow.layers import (
    Activation,
    ActivityRegularization,
    Add,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    Input,
    LayerNormalization,
    Rescaling,
)
from evenflow.optimizers import SGD, Adam, AdamW
from evenflow.training import frozen, memory

X, Y = blobs(150)
OTHER_X, OTHER_Y = blobs(60, seed=2)


def lower():
    """Frozen layers of several kinds, with statistics that are not those of an untrained layer."""
    layers = [
        Dense(20, "elu", name="low_1"),
        BatchNormalization(name="norm_1"),
        Dense(18, "prelu", name="low_2"),
        LayerNormalization(name="norm_2"),
        Activation("sigmoid", name="squash"),
    ]
    for layer in layers:
        layer.trainable = False
    return layers


def upper():
    return [Dropout(0.3, seed=3), Dense(9, "relu", name="high"), BatchNormalization(name="norm_3")]


def model(layers=None, optimizer=None, loss="sparse_categorical_crossentropy", metrics=("accuracy",), **options):
    evenflow.set_seed(4)
    if layers is None:
        layers = [Input((6,)), *lower(), *upper(), Dense(CLASSES, "softmax", name="top")]
    made = evenflow.Sequential(layers, **options)
    if made.built:
        for layer in made.layers:
            if isinstance(layer, BatchNormalization):
                layer.moving_mean.assign(np.linspace(-0.2, 0.3, layer.moving_mean.size))
                layer.moving_variance.assign(np.linspace(0.5, 2, layer.moving_variance.size))
    made.compile(optimizer or Adam(0.01), loss, metrics=list(metrics))
    return made


def values(y, prediction):
    """Squared errors, as a loss in Python."""
    return ((prediction - y) ** 2).sum(axis=1), 2 * (prediction - y)


def images(dtype="uint8"):
    rng = np.random.default_rng(3)
    return rng.integers(0, 255, (90, 4, 5)).astype(dtype), rng.integers(0, CLASSES, 90)


def of_images():
    evenflow.set_seed(4)
    low = [Rescaling(1 / 255), Flatten(), Dense(12, "relu", trainable=False, name="low")]
    return model([Input((4, 5)), *low, Dense(CLASSES, "softmax", name="top")])


def chain():
    evenflow.set_seed(4)
    x = Input((6,))
    value = x
    for layer in [*lower(), *upper(), Dense(CLASSES, "softmax", name="top")]:
        value = layer(value)
    made = evenflow.Model(x, value)
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


TARGETS = np.eye(CLASSES, dtype=np.float32)[Y]
CASES = {
    "plain": (model, {}),
    "validation": (model, {"validation_data": (OTHER_X, OTHER_Y)}),
    "split": (model, {"validation_split": 0.3, "validation_freq": 2, "validation_batch_size": 7}),
    "float64": (lambda: model(dtype="float64"), {}),
    "values of the functional kind": (chain, {"validation_data": (OTHER_X, OTHER_Y)}),
    "images": (of_images, {"x": images()[0], "y": images()[1]}),
    "weights": (model, {"sample_weight": np.linspace(0, 2, len(X))}),
    "classes": (model, {"class_weight": "balanced"}),
    "steps": (model, {"steps_per_epoch": 5}),
    "whole batches": (model, {"batch_size": 500}),
    "in order, on one thread": (model, {"shuffle": False, "threads": 1}),
    "norm": (lambda: model(optimizer=SGD(0.1, momentum=0.9, global_clipnorm=0.05)), {}),
    "averages": (lambda: model(optimizer=AdamW(0.01, weight_decay=0.1, use_ema=True)), {}),
    "accumulation": (lambda: model(optimizer=Adam(0.01, gradient_accumulation_steps=2)), {}),
    "factors": (lambda: model(optimizer=SGD(0.1, learning_rate_factors={"low_1": 0.1, "high": 0.3})), {}),
    "a loss in Python": (lambda: model(loss=values, metrics=["mae"]), {"y": TARGETS}),
    "a metric in Python": (lambda: model(metrics=[lambda y, p: np.abs(p).mean(axis=1)]), {}),
    "step by step": (model, {"callbacks": lambda: [EveryBatch()]}),
    "the best weights": (
        lambda: model(optimizer=SGD(3.0)),
        {
            "validation_split": 0.4,
            "callbacks": lambda: [EarlyStopping(patience=1, restore_best_weights=True, start_from_epoch=0)],
        },
    ),
}


class EveryBatch(Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.evaluate(OTHER_X, OTHER_Y, verbose=0)


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits(name):
    make, options = CASES[name]
    found = []
    for cached in (False, True):
        made = make()
        arguments = {"x": X, "y": Y, "epochs": 4, "batch_size": 16, "verbose": 0} | options
        if "callbacks" in options:
            arguments["callbacks"] = options["callbacks"]()
        history = made.fit(**arguments, cache_frozen=cached)
        assert (history.cached is not None) == cached
        before, rows = state(made), arguments["x"]
        again = made.fit(**arguments).history  # goes on from the same state
        found.append((history.history, before, made.predict(rows).tobytes(), again, state(made)))
    assert found[0] == found[1]


def test_the_frozen_layers_compute_each_row_once(monkeypatch):
    computed = []
    compute = frozen.FrozenCache._compute
    monkeypatch.setattr(
        frozen.FrozenCache, "_compute", lambda self, spec, pair: computed.append(len(pair)) or compute(self, spec, pair)
    )
    made = model()
    history = made.fit(X, Y, epochs=5, validation_data=(OTHER_X, OTHER_Y), verbose=0, cache_frozen=True)
    assert computed == [150, 60]
    assert history.cached["layers"] == ["low_1", "norm_1", "low_2", "low_2/activation", "norm_2"]
    assert history.cached["bytes"] == 210 * 18 * 4
    assert history.cached["seconds"] > 0
    assert history.cached["seconds_saved"] == pytest.approx(4 * history.cached["seconds"])
    assert made.frozen_cache is None
    assert made.optimizer.lives_in(None), "all is back on the host"


def test_what_was_saved_is_shown(capsys):
    model().fit(X, Y, epochs=2, verbose=2, cache_frozen=True)
    *epochs, last = capsys.readouterr().out.splitlines()
    assert len(epochs) == 2
    assert last.startswith("cache_frozen: low_1, norm_1, low_2, low_2/activation, norm_2 computed once, in ")
    assert "10.8 KB kept" in last
    assert last.endswith(" s saved")


# ---------------------------------------------------------------------------------------------------- the backward pass


def goes_back(made):
    """Of each stage of the training program, whether the way back goes through it."""
    made.fit(X[:1], Y[:1], shuffle=False, verbose=0)
    stages = {row["stage"]: row["backward"] for row in made._executor.program.plan()}
    text = next(line for line in made.plan().splitlines() if line.startswith("way back:"))
    assert text.split()[2:] == [str(stage) for stage in reversed(stages) if stages[stage]]
    return list(stages.values())


@pytest.mark.filterwarnings("ignore:.*single row")
def test_a_frozen_prefix_has_no_backward_pass():
    made = model([Input((6,)), *(Dense(8, "relu", name=f"hidden_{n}") for n in range(4)), Dense(3, "softmax")])
    assert goes_back(made) == [False, True, True, True, True, True], "the first stage gathers the input"
    for layer in made.layers[:3]:
        layer.trainable = False
    assert goes_back(made) == [False, False, False, False, True, True]
    made.layers[1].trainable = True
    assert goes_back(made) == [False, False, True, True, True, True], "a frozen layer above one that learns passes on"
    made.trainable = False
    assert not any(stage["backward"] for stage in made._executor_for().program.plan())
    assert "way back: no stage" in made.plan()


# ----------------------------------------------------------------------------------------------------------- callbacks


class At(Callback):
    """Does something to the model before an epoch."""

    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action(self.model)


def thaw(name):
    return lambda made: setattr(made.get_layer(name), "trainable", True)


def thaw_all(made):
    made.trainable = True


def other_weights(made):
    made.get_layer("low_1").set_weights([w + 0.1 for w in made.get_layer("low_1").get_weights()])


def one_batch(made):
    made.train_on_batch(OTHER_X, OTHER_Y)


@pytest.mark.parametrize(
    "action", [thaw("low_2"), thaw("low_1"), thaw_all, other_weights, one_batch], ids=lambda action: action.__name__
)
def test_callbacks_that_change_the_model(action):
    found = []
    for cached in (False, True):
        made = model()
        history = made.fit(X, Y, epochs=4, verbose=0, callbacks=[At(2, action)], cache_frozen=cached)
        found.append((history.history, state(made)))
    assert found[0] == found[1]


def test_what_trains_on_features_forgets_those_before(monkeypatch):
    # A device knows data by where they lie, and new features may lie where the old ones did.
    events, trained = [], []
    made = model()

    def note(owner, name, event):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda self, *args: events.append(event(self)) or function(self, *args))

    note(frozen.FrozenCache, "_compute", lambda cache: "computed")
    note(frozen.Executor, "forget_data", lambda executor: ("forgotten", executor))
    at_end = At(3, lambda made: trained.append(made.frozen_cache.executor))
    made.fit(X, Y, epochs=4, verbose=0, callbacks=[At(2, other_weights), at_end], cache_frozen=True)
    assert events == ["computed", ("forgotten", *trained), "computed"]


def test_an_error_leaves_the_weights_of_the_last_step():
    def stop(made):
        raise RuntimeError("enough")

    found = []
    for cached in (False, True):
        made = model()
        with pytest.raises(RuntimeError, match="enough"):
            made.fit(X, Y, epochs=4, verbose=0, callbacks=[At(2, stop)], cache_frozen=cached)
        found.append(state(made))
        assert made.frozen_cache is None
        made.fit(X, Y, verbose=0)
    assert found[0] == found[1]


def test_a_run_that_crashed_goes_on(tmp_path):
    def crash(made):
        raise RuntimeError("crash")

    backup = evenflow.callbacks.BackupAndRestore
    expected = model()
    expected.fit(X, Y, epochs=4, verbose=0)
    crashed, going_on = model(), model()
    arguments = {"epochs": 4, "verbose": 0, "cache_frozen": True}
    with pytest.raises(RuntimeError, match="crash"):
        crashed.fit(X, Y, callbacks=[backup(tmp_path / "backup"), At(2, crash)], **arguments)
    going_on.fit(X, Y, callbacks=[backup(tmp_path / "backup")], **arguments)
    assert state(going_on) == state(expected)


# ------------------------------------------------------------------------------------------------------------- refused


def stack(*layers):
    return lambda: model([Input((6,)), *layers, Dense(CLASSES, "softmax", name="top")])


def frozen_dense(name, activation="relu", **options):
    return Dense(8, activation, trainable=False, name=name, **options)


def residual():
    x = Input((6,))
    hidden = Dense(6, trainable=False)(x)
    made = evenflow.Model(x, Dense(CLASSES, "softmax")(Add()([x, hidden])))
    made.compile("sgd", "sparse_categorical_crossentropy")
    return made


def all_frozen():
    made = model()
    made.trainable = False
    return made


REFUSED = {
    "dropout": (
        stack(frozen_dense("one"), Dropout(0.1, name="drop"), frozen_dense("two")),
        r"'drop' lies below the frozen 'two' and is random in training",
    ),
    "noise of an activation": (
        stack(frozen_dense("one", "rrelu"), frozen_dense("two")),
        r"'one/activation' lies below the frozen 'two' and is random",
    ),
    "batch normalization": (
        stack(frozen_dense("one"), BatchNormalization(name="norm"), frozen_dense("two")),
        r"'norm' lies below the frozen 'two' and takes the statistics of every batch \(freeze it too",
    ),
    "without parameters": (
        stack(frozen_dense("one"), BatchNormalization(center=False, scale=False, name="norm"), frozen_dense("two")),
        r"'norm' lies below the frozen 'two' and takes the statistics",
    ),
    "penalty": (
        stack(frozen_dense("one"), ActivityRegularization(0.1, name="sparse"), frozen_dense("two")),
        r"'sparse/activity' lies below the frozen 'two' and adds a penalty",
    ),
    "nothing frozen": (stack(Dense(8, name="one")), r"expected frozen layers .* received 'one', which is trained"),
    "only above": (stack(Dense(8, name="one"), frozen_dense("two")), r"received 'one', which is trained"),
    "all frozen": (all_frozen, "every layer is frozen: there is nothing to train"),
    "branches": (residual, "a chain, received one with branches"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_with_its_reason(name):
    make, message = REFUSED[name]
    made = make()
    before = state(made)
    with pytest.raises(ValueError, match=f"^fit: cache_frozen: .*{message}"):
        made.fit(X, Y, verbose=0, cache_frozen=True)
    assert state(made) == before
    assert made.frozen_cache is None
    made.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    "layers",
    [
        [frozen_dense("one"), BatchNormalization(name="norm")],
        [frozen_dense("one", activity_regularizer="l2")],
        [frozen_dense("one"), Dense(8, name="two"), frozen_dense("three")],
    ],
    ids=["batch statistics", "a penalty", "frozen layers above"],
)
def test_what_changes_may_lie_above(layers):
    kept = evenflow.Sequential([Input((6,)), *layers]).get_weights()
    found = []
    for cached in (False, True):
        made = stack(*layers)()
        made.set_weights([*kept, np.eye(8, CLASSES), np.zeros(CLASSES)])
        history = made.fit(X, Y, epochs=3, verbose=0, cache_frozen=cached)
        found.append((history.history, state(made)))
    assert found[0] == found[1]


def test_rows_that_do_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 15_000)
    made = model()
    made.fit(X, Y, verbose=0, cache_frozen=True)
    before = state(made)
    message = (
        r"^fit: cache_frozen: what the layers up to 'norm_2' make of 150 \+ 60 rows, 18 numbers of float32 each, takes "
        r"15.1 KB, and 15 KB are available"
    )
    with pytest.raises(MemoryError, match=message):
        made.fit(X, Y, validation_data=(OTHER_X, OTHER_Y), verbose=0, cache_frozen=True)
    assert state(made) == before
    monkeypatch.setattr(memory, "available", lambda: None)
    made.fit(X, Y, validation_data=(OTHER_X, OTHER_Y), verbose=0, cache_frozen=True)


def test_batches_and_wrong_types_are_refused():
    made = model()
    with pytest.raises(ValueError, match=r"fit: cache_frozen: .* where x gives batches"):
        made.fit(iter([(X, Y)]), verbose=0, cache_frozen=True)
    with pytest.raises(TypeError, match="fit: cache_frozen: expected True or False"):
        made.fit(X, Y, verbose=0, cache_frozen=1)


def test_validation_in_batches_goes_through_the_whole_model():
    batches = [(OTHER_X[:30], OTHER_Y[:30]), (OTHER_X[30:], OTHER_Y[30:])]

    class Batches(evenflow.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return batches[index]

    found = []
    for cached in (False, True):
        made = model()
        history = made.fit(X, Y, epochs=3, validation_data=Batches(), verbose=0, cache_frozen=cached)
        found.append((history.history, state(made)))
    assert found[0] == found[1]


# -------------------------------------------------------------------------------------------------------------- memory


def test_available_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    of_system = memory.available()
    assert of_system > 1 << 20
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 100\n")
    assert memory.available() > 1 << 20
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.available() == 400
    (tmp_path / "memory.max").unlink()
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("500\n")
    (folder / "memory.usage_in_bytes").write_text("900\n")
    (folder / "memory.stat").write_text("total_inactive_file 100\n")
    assert memory.available() == 0


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 bytes"), (15120, "15.1 KB"), (2.5e6, "2.5 MB"), (2e12, "2,000.0 GB")]
)
def test_bytes_for_people(count, text):
    assert memory.text(count) == text
