"""What surrounds every update rule: norms of gradients, moving averages, accumulation, factors of the rate."""

from typing import Any

import numpy as np
import pytest
from networks import DEEP, NETWORKS, SQUARED, data, dense, network, with_optimizer
from optimizer_specs import ADAM, MOMENTUM, OPTIMIZERS
from programs import made, same, state

import evenflow
from evenflow import _core
from evenflow.callbacks import Callback, GradientNorms, SwapEMAWeights
from evenflow.reference import Network

EMA = {"use_ema": True, "ema_momentum": 0.9}
FACTORS = {"layer_1/kernel": 0.1, "layer_5/gamma": 3.0, "layer_7/kernel": 0.0, "layer_7/bias": 0.0}
TORCH: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd", "momentum": 0.9, "dampening": 0.3, "torch": True, "weight_decay": 0.1, "coupled": True},
    "nesterov": {"kind": "sgd", "momentum": 0.9, "nesterov": True, "torch": True},
    "adam": {"kind": "adam", "epsilon": 1e-3, "torch": True, "weight_decay": 0.1, "coupled": True},
    "amsgrad": {"kind": "adam", "epsilon": 1e-3, "torch": True, "amsgrad": True, "clipvalue": 0.01},
    "adamax": {"kind": "adamax", "epsilon": 1e-3, "torch": True},
    "adagrad": {"kind": "adagrad", "epsilon": 1e-3, "torch": True, "lr_decay": 0.1},
    "rmsprop": {"kind": "rmsprop", "epsilon": 1e-3, "torch": True, "weight_decay": 0.1, "coupled": True},
    "rmsprop momentum": {"kind": "rmsprop", "epsilon": 1e-2, "torch": True, "momentum": 0.9, "centered": True},
}
SURROUNDED = {
    "average": {**ADAM, "epsilon": 1e-3, **EMA},
    "average that overwrites": {**MOMENTUM, **EMA, "ema_overwrite_frequency": 3, "clipnorm": 0.1},
    "accumulation": {**MOMENTUM, "gradient_accumulation_steps": 3, "weight_decay": 0.1},
    "accumulation, clipped": {**MOMENTUM, "gradient_accumulation_steps": 2, "global_clipnorm": 0.1},
    "accumulation and average": {
        **OPTIMIZERS["nadam"],
        **EMA,
        "gradient_accumulation_steps": 2,
        "ema_overwrite_frequency": 2,
    },
    "factors": {**MOMENTUM, "learning_rate_factors": FACTORS, "weight_decay": 0.1, **EMA},
    **{f"torch {name}": settings for name, settings in TORCH.items()},
}
STEPS, BATCH = 7, 13


def trained(optimizer: Any, x: Any, y: Any, spec: Any = DEEP, **options: Any) -> Any:
    program = made(with_optimizer(spec, optimizer), batch_size=BATCH, **options)
    norms = np.full((-(-len(x) // BATCH), sum(trainable for *_, trainable in program.variables())), -1.0)
    program.train(x, y, learning_rate=0.01, gradient_norms=norms)
    return program, norms


@pytest.mark.parametrize("name", SURROUNDED)
def test_is_the_reference(name, isa, rng):
    spec = with_optimizer(DEEP, SURROUNDED[name])
    program, net = made(spec, dtype="float64", batch_size=BATCH), Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, STEPS * BATCH, rng)
    program.train(x, y, learning_rate=0.01)
    for step in range(STEPS):
        batch = slice(BATCH * step, BATCH * (step + 1))
        net.train_step(x[batch], y[batch], 0.01)
    bound = 200 * np.finfo(float).eps  # see test_program.STRAYS
    for variable, right in net.variables.items():
        error = np.abs(program.get(variable) - right).max()
        assert error <= bound * np.abs(right).max(), variable
    assert program.slot_names() == list(net.slots)
    for slot, values in net.slots.items():
        for variable, right in values.items():
            error = np.abs(program.get_slot(slot, variable) - right).max()
            # As in test_program; a buffer without the learning rate, which is 0.01 here, is so much larger.
            floor = 2 if name.startswith("torch") else 2e-2
            assert error <= bound * max(np.abs(right).max(), floor), f"{slot} of {variable}"


@pytest.mark.parametrize("name", SURROUNDED)
def test_same_bits_for_threads_fusion_slices_and_norms(name, isa, dtype, rng):
    optimizer = SURROUNDED[name]
    x, y = data(DEEP, STEPS * BATCH - 3, rng, dtype)
    program, norms = trained(optimizer, x, y, dtype=dtype.name, threads=1)
    right = state(program)
    for options in ({"threads": 3}, {"threads": 1, "fusion": False}, {"threads": 2, "fusion": False}):
        other, others = trained(optimizer, x, y, dtype=dtype.name, **options)
        same(state(other), right)
        np.testing.assert_array_equal(others, norms)
    plain = made(with_optimizer(DEEP, optimizer), batch_size=BATCH, dtype=dtype.name)
    part = None
    for first in (0, 2, 3):  # nobody asks for norms here
        part = plain.train(x, y, learning_rate=0.01, first_step=first, max_steps={0: 2, 2: 1, 3: 0}[first], after=part)
    same(state(plain), right)
    if optimizer["kind"] == "nadam":
        assert plain.momentum_product == program.momentum_product


# ------------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_are_those_of_the_gradients(name, isa, dtype, rng):
    spec = NETWORKS[name]
    x, y = data(spec, 2 * BATCH, rng, dtype)
    program, norms = trained(MOMENTUM, x, y, spec, dtype=dtype.name)
    names = [variable for variable, _, trainable in program.variables() if trainable]
    # The gradients of the last step are still there.
    right = [np.linalg.norm(program.gradient(variable).astype(np.longdouble)) for variable in names]
    np.testing.assert_allclose(norms[-1], np.array(right, float), rtol=20 * np.finfo(dtype).eps)
    assert program.gradient_norms == dict(zip(names, norms[-1], strict=True))
    again = program.train(x[:BATCH], y[:BATCH], learning_rate=0.0)
    assert (again.gradient_norm, again.gradient_norms, program.gradient_norms) == (0, [], None)
    clipped, _ = trained({**MOMENTUM, "clipnorm": 1e30}, x, y, spec, dtype=dtype.name)
    progress = clipped.train(x[:BATCH], y[:BATCH], learning_rate=0.0)
    assert progress.gradient_norm == pytest.approx(np.linalg.norm(progress.gradient_norms), rel=1e-12)


def test_update_knows_the_norms_of_backward_unless_somebody_may_have_written(isa, dtype, rng):
    spec = with_optimizer({**DEEP, "loss": None, "metrics": []}, OPTIMIZERS["global_clipnorm"])
    program, other = (made(spec, dtype=dtype.name) for _ in range(2))
    x, dy = (rng.standard_normal((20, n)).astype(dtype) for n in (65, 10))

    def backward() -> None:
        for one in (program, other):
            one.forward(x)
            one.backward(dy)

    backward()
    assert program.gradient_norms == other.gradient_norms
    norm = program.update(0.01)
    other.gradients[:5] *= 1  # looked at: read again, to the same bits
    assert other.update(0.01) == norm
    same(state(program), state(other))

    backward()
    other.gradients[...] *= 2  # a view that lives no longer
    assert other.update(0.01) == pytest.approx(2 * program.update(0.01), rel=1e-6)
    view = other.gradients[3:]
    assert other.gradients is other.gradients
    program.forward(x)
    program.backward(dy)
    other.forward(x)
    other.backward(dy)
    before = other.gradient_norms
    view[...] = 0
    assert other.update(0.01) < sum(before.values()) / 100
    del view


class Watch(Callback):
    """Asks for norms, and keeps the log of each epoch."""

    wants_gradient_norms = True

    def __init__(self) -> None:
        self.logs: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.logs.append(self.model.gradient_norms)


def small(optimizer: Any, seed: int = 0) -> Any:
    evenflow.set_seed(seed)
    layers = [evenflow.layers.Dense(n, "tanh", name=f"dense_{n}", kernel_initializer="he_normal") for n in (9, 8)]
    model = evenflow.Sequential([evenflow.Input((5,)), *layers, evenflow.layers.Dense(1, name="last")], dtype="float64")
    model.compile(optimizer, "mse")
    return model


def rows(rng: np.random.Generator, count: int = 50) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((count, 5)), rng.standard_normal((count, 1))


def test_history_has_the_norms_on_request(rng):
    x, y = rows(rng)
    watch, callback = Watch(), GradientNorms(per_step=True)
    model = small("adam")
    history = model.fit(x, y, batch_size=10, epochs=2, verbose=0, callbacks=[watch, callback]).history
    names = [variable.path for variable in model.trainable_weights]
    together = ["", "/dense_9", "/dense_8", "/last", *(f"/{name}" for name in names)]
    assert list(history) == ["loss", *(f"gradient_norm{name}" for name in together)]
    for epoch, log in enumerate(watch.logs):
        assert log.names == names
        assert log.values.shape == (5, len(names))
        assert (log.values > 0).all()
        assert history["gradient_norm/last/bias"][epoch] == pytest.approx(log.values[:, -1].mean())
        np.testing.assert_allclose(
            callback.steps["gradient_norm"][5 * epoch : 5 * epoch + 5], np.linalg.norm(log.values, axis=1)
        )
        np.testing.assert_allclose(
            callback.steps["gradient_norm/dense_8"][5 * epoch : 5 * epoch + 5],
            np.linalg.norm(log.values[:, 2:4], axis=1),
        )
    again = small("adam")
    alone = again.fit(x, y, batch_size=10, epochs=2, verbose=0, callbacks=[GradientNorms(False, layers=False)])
    assert list(alone.history) == ["loss", "gradient_norm"]
    assert again.gradient_norms is not None
    again.fit(x, y, batch_size=10, epochs=1, verbose=0)
    assert again.gradient_norms is None


def test_norms_of_accumulated_gradients_are_those_of_steps(rng):
    x, y = rows(rng)
    watch = Watch()
    model = small(evenflow.optimizers.SGD(gradient_accumulation_steps=2))
    model.fit(x, y, batch_size=10, epochs=2, verbose=0, callbacks=[watch, GradientNorms()])
    assert [list(log.values[:, 0] > 0) for log in watch.logs] == [
        [False, True, False, True, False],
        [True, False, True, False, True],
    ]
    assert (model.optimizer.iterations, model.optimizer.batches) == (5, 10)


# ------------------------------------------------------------------------------------------- averages and accumulation


def test_fit_ends_with_the_averages(rng):
    x, y = rows(rng)
    model, plain = (small(evenflow.optimizers.SGD(0.1, use_ema=ema, ema_momentum=0.8)) for ema in (True, False))
    averages = None
    kept: list[np.ndarray] = []
    for _ in range(6):
        plain.fit(x, y, batch_size=50, epochs=1, shuffle=False, verbose=0)
        kept = plain.get_weights()
        averages = kept if averages is None else [0.8 * a + 0.2 * w for a, w in zip(averages, kept, strict=True)]
    model.fit(x, y, batch_size=50, epochs=6, shuffle=False, verbose=0)
    for own, average, last in zip(model.get_weights(), averages, kept, strict=True):
        np.testing.assert_allclose(own, average, rtol=1e-12, atol=1e-15)
        assert np.abs(own - last).max() > 1e-6


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_evaluation_with_averages(swap_on_epoch, rng):
    x, y = rows(rng)
    model, plain = (small(evenflow.optimizers.SGD(0.1, use_ema=True)) for _ in range(2))
    scores: list[float] = []

    class Score(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            scores.append(float(np.mean((self.model.predict(x, verbose=0) - y) ** 2)))

    settings = {"batch_size": 10, "epochs": 3, "shuffle": False, "verbose": 0, "validation_data": (x, y)}
    swapping = [SwapEMAWeights(swap_on_epoch=swap_on_epoch), Score()]
    history = model.fit(x, y, **settings, callbacks=swapping).history
    other = plain.fit(x, y, **settings).history
    assert history["loss"] == other["loss"]  # training goes on with the weights
    assert history["val_loss"] != other["val_loss"]
    assert swap_on_epoch == np.allclose(scores, history["val_loss"], rtol=1e-12)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain.evaluate(x, y, verbose=0) == pytest.approx(history["val_loss"][-1], rel=1e-12)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: evenflow.optimizers.Adam(0.01, gradient_accumulation_steps=3, use_ema=True, ema_overwrite_frequency=2),
        lambda: evenflow.optimizers.Nadam(evenflow.schedules.OneCycle(0.01, 40), learning_rate_factors={"last": 0.3}),
        lambda: evenflow.torch.NAdam(0.01, weight_decay=0.1, decoupled_weight_decay=True),
        lambda: evenflow.torch.SGD(0.01, momentum=0.9, dampening=0.1),
    ],
    ids=["accumulation and average", "nadam", "torch nadam", "torch sgd"],
)
def test_saved_in_the_middle_and_loaded(optimizer, rng, tmp_path):
    # 5 batches an epoch: the third gradient of a step comes after the file.
    x, y = rows(rng)
    model = small(optimizer())
    model.fit(x, y, batch_size=10, epochs=1, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = evenflow.models.load_model(tmp_path / "model.safetensors")
    assert type(loaded.optimizer) is type(model.optimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.batches == 5
    for one in (model, loaded):
        one.fit(x, y, batch_size=10, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_variable_that_thaws_begins_its_average_with_its_value(rng):
    x, y = rows(rng)
    model = small(evenflow.optimizers.SGD(0.0, use_ema=True))
    frozen = model.layers[0]
    frozen.trainable = False
    before = model.get_weights()
    model.fit(x, y, epochs=1, verbose=0)
    frozen.trainable = True
    model.fit(x, y, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------- factors of the rate


def test_factors_by_layer_path_and_expression(rng):
    x, y = rows(rng)
    optimizer = evenflow.optimizers.SGD(
        0.1, weight_decay=0.1, learning_rate_factors={"dense_.*": 0.5, "dense_9/bias": 2.0, "last": 0.0}
    )
    model = small(optimizer)
    factors = {"dense_9/kernel": 0.5, "dense_9/bias": 2.0, "dense_8/kernel": 0.5, "dense_8/bias": 0.5}
    assert model.spec()["optimizer"]["learning_rate_factors"] == {**factors, "last/kernel": 0.0, "last/bias": 0.0}
    plain = small(evenflow.optimizers.SGD(0.1, weight_decay=0.1))
    start = plain.get_weights()
    for one in (model, plain):
        one.fit(x, y, batch_size=50, epochs=1, verbose=0)
    steps = [w - s for w, s in zip(plain.get_weights(), start, strict=True)]
    for variable, own, first, step in zip(model.variables, model.get_weights(), start, steps, strict=True):
        np.testing.assert_allclose(own - first, factors.get(variable.path, 0) * step, rtol=1e-9, atol=1e-15)
    frozen = model.layers[0]
    frozen.trainable = False
    assert "dense_9/kernel" not in model.spec()["optimizer"]["learning_rate_factors"]


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "average"])
def test_factor_zero_keeps_every_bit(optimizer, isa, dtype, rng):
    spec = with_optimizer(network(6, [dense(17), dense(3)], SQUARED), {**SURROUNDED, **OPTIMIZERS}[optimizer])
    spec["optimizer"] |= {"weight_decay": 0.1, "learning_rate_factors": {"layer_0/kernel": 0.0}}
    program = made(spec, dtype=dtype.name, batch_size=4)
    start = program.get("layer_0/kernel")
    start[0, :3] = -0.0
    program.set("layer_0/kernel", start)
    before = program.get("layer_1/kernel")
    program.train(*data(spec, 16, rng, dtype), learning_rate=0.1)
    assert program.get("layer_0/kernel").tobytes() == start.tobytes()
    assert program.get("layer_1/kernel").tobytes() != before.tobytes()


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_ema": 1}, ["use_ema", "1"]),
        ({"ema_momentum": 1.5}, ["ema_momentum", "at most 1", "1.5"]),
        ({"ema_overwrite_frequency": 0}, ["ema_overwrite_frequency", "0"]),
        ({"gradient_accumulation_steps": 1}, ["gradient_accumulation_steps", "2", "1"]),
        ({"learning_rate_factors": 0.1}, ["learning_rate_factors", "dict", "0.1"]),
        ({"learning_rate_factors": {"last": -1}}, ["learning_rate_factors", "last", "-1"]),
        ({"learning_rate_factors": {"(": 1}}, ["learning_rate_factors", "regular expressions", "("]),
    ],
)
def test_misused_arguments(settings, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        evenflow.optimizers.Adam(**settings)
    for word in ["Adam", *words]:
        assert word in str(caught.value)


def test_factors_of_unknown_variables(rng):
    model = small(evenflow.optimizers.Adam(learning_rate_factors={"lats": 0.1}))
    with pytest.raises(ValueError, match=r"learning_rate_factors.*last"):
        model.fit(*rows(rng), verbose=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: evenflow.torch.SGD(nesterov=True), ["SGD", "nesterov", "momentum=0.0"]),
        (lambda: evenflow.torch.Adam(betas=0.9), ["Adam", "betas", "pair"]),
        (lambda: evenflow.torch.Adam(betas=(0.9, 1.0)), ["Adam", "betas[1]", "1.0"]),
        (lambda: evenflow.torch.AdamW(eps=0.0), ["AdamW", "eps", "0.0"]),
        (lambda: evenflow.torch.AdamW(learning_rate=0.1), ["AdamW", "learning_rate"]),
        (lambda: evenflow.torch.RMSprop(alpha=1.0), ["RMSprop", "alpha", "1.0"]),
        (lambda: evenflow.torch.Adagrad(lr_decay=-1.0), ["Adagrad", "lr_decay", "-1"]),
        (lambda: evenflow.torch.Adam(clipnorm=1.0, clipvalue=1.0), ["Adam", "at most one"]),
    ],
)
def test_misuse_of_the_door_to_torch(make, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("norms", "words"),
    [
        (np.zeros((2, 2), np.float32), ["float64"]),
        (np.zeros((3, 2)), ["(2, 2)", "(3, 2)"]),
        ("all", ["gradient_norms"]),
    ],
)
def test_norms_into_what_does_not_fit(norms, words, rng):
    spec = network(3, [dense(2)], SQUARED)
    program = made(spec, batch_size=4)
    with pytest.raises((TypeError, ValueError)) as caught:
        program.train(*data(spec, 8, rng, np.float32), learning_rate=0.1, gradient_norms=norms)
    for word in ["gradient_norms", *words]:
        assert word in str(caught.value)


def test_core_refuses_settings_that_do_not_fit():
    spec = network(3, [dense(2)], SQUARED)
    for settings, word in [
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps"),
        ({"use_ema": True, "ema_momentum": 2.0}, "ema_momentum"),
        ({"learning_rate_factors": {"layer_9/bias": 1.0}}, "layer_9/bias"),
        ({"learning_rate_factors": {"layer_0/bias": -1.0}}, "layer_0/bias"),
    ]:
        with pytest.raises(ValueError, match=word):
            _core.Program(with_optimizer(spec, {**ADAM, **settings}))
    program = made(spec)
    assert program.momentum_product is None
    with pytest.raises(ValueError, match="momentum_product"):
        program.momentum_product = 0.5
