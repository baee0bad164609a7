"""What schedules and callbacks do, in Keras' words: `found(keras)` runs with Keras and with evenflow alike."""

import inspect
import itertools
import operator
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [5, 15], "values": [0.01, 0.005, 0.001]}),
    ("PiecewiseConstantDecay", {"boundaries": [0], "values": [1.0, 0.5]}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "power": 2.0, "cycle": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 9, "end_learning_rate": 0.1, "power": 0.5}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 9, "warmup_target": 0.1, "warmup_steps": 6}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 9, "warmup_target": 0.01, "alpha": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 6}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.0, "m_mul": 0.9}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1},
    ),
]
STEPS = [*range(60), 100, 1000]
CALLBACKS = ["LearningRateScheduler", "ReduceLROnPlateau", "EarlyStopping", "ModelCheckpoint", "CSVLogger"]
CALLBACKS += ["TerminateOnNaN", "LambdaCallback"]


def schedules(keras: Any) -> dict[str, Any]:
    """Values, and what `get_config` tells."""
    result = {}
    for number, (name, arguments) in enumerate(SCHEDULES):
        schedule = getattr(keras.optimizers.schedules, name)(**arguments)
        result[f"{number} {name}"] = [[float(schedule(step)) for step in STEPS], schedule.get_config()]
    return result


def defaults(keras: Any) -> dict[str, Any]:
    """Arguments with their defaults, in order."""
    names = [f"optimizers.schedules.{name}" for name in dict(SCHEDULES)] + [f"callbacks.{name}" for name in CALLBACKS]
    result = {}
    for name in names:
        parameters = inspect.signature(operator.attrgetter(name)(keras)).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
        result[name] = [
            [p.name, None if p.default is p.empty else repr(p.default)] for p in parameters if p.kind in kinds
        ]
    return result


def made(keras: Any, learning_rate: Any = 0.5) -> Any:
    """A model of one weight."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(learning_rate), "mse", metrics=["mae"])
    return model


def sequences() -> list[list[float]]:
    """What a monitored value may do over epochs: noise, plateaus, equal values, numbers that are none."""
    rng = np.random.default_rng(5)
    noise = [[float(v) for v in rng.integers(0, 9, 14) / 8] for _ in range(6)]
    falling = [[float(v) for v in np.sort(rng.integers(0, 30, 14))[::-1] / 8] for _ in range(3)]
    nan, inf = float("nan"), float("inf")
    special = [[1.0, nan, 0.5, nan, nan, 0.25, 0.5, 0.5], [nan, 1.0, 0.5, 2.0, 3.0], [1.0, inf, 0.5, inf, inf, inf]]
    return noise + falling + special


def watched(model: Any, callback: Any, values: list[float], monitor: str, *attributes: str) -> list[Any]:
    """Attributes of a callback after each epoch, until training ends; then the weight that is left."""
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    result: list[Any] = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        model.set_weights([np.full((1, 1), float(epoch), "float32")])
        logs = {monitor: value}
        callback.on_epoch_end(epoch, logs)
        seen = [getattr(callback, attribute) for attribute in attributes]
        result.append(
            [*seen, float(model.optimizer.learning_rate), sorted(logs), float(logs.get("learning_rate", -1.0))]
        )
        if model.stop_training:
            break
    callback.on_train_end()
    return [*result, float(model.get_weights()[0][0, 0])]


def early_stopping(keras: Any) -> dict[str, Any]:
    """Every combination of arguments on every sequence."""
    result = {}
    model = made(keras)
    settings = itertools.product((0, 1, 3), (0, 0.125), ("auto", "max"), (None, 0.5), (False, True), (0, 2))
    for patience, min_delta, mode, baseline, restore, start in settings:
        callback = keras.callbacks.EarlyStopping(
            "loss",
            min_delta,
            patience,
            mode=mode,
            baseline=baseline,
            restore_best_weights=restore,
            start_from_epoch=start,
        )
        for number, values in enumerate(sequences()):
            key = f"{patience} {min_delta} {mode} {baseline} {restore} {start} {number}"
            seen = ("wait", "best", "best_epoch", "stopped_epoch")
            result[key] = watched(model, callback, values, "loss", *seen[: 4 if restore or start == 0 else 2])
    return result


def plateaus(keras: Any) -> dict[str, Any]:
    """Every combination of arguments on every sequence."""
    result = {}
    model = made(keras)
    settings = itertools.product((0, 1, 2), ("auto", "min", "max"), (0.0, 0.25), (0, 1, 3), (0.0, 0.125))
    for patience, mode, min_delta, cooldown, min_lr in settings:
        for number, values in enumerate(sequences()):
            callback = keras.callbacks.ReduceLROnPlateau(
                "loss", 0.5, patience, mode=mode, min_delta=min_delta, cooldown=cooldown, min_lr=min_lr
            )
            key = f"{patience} {mode} {min_delta} {cooldown} {min_lr} {number}"
            model.optimizer.learning_rate = 0.5
            result[key] = watched(model, callback, values, "loss", "wait", "best", "cooldown_counter")
    return result


def scheduled(keras: Any) -> dict[str, Any]:
    """Functions of the epoch, and of the epoch and the rate."""
    functions = {"one": lambda epoch: 0.5 / (epoch + 1), "two": lambda epoch, rate: rate * 0.5 if epoch > 1 else rate}
    return {
        name: watched(made(keras), keras.callbacks.LearningRateScheduler(function), [1.0] * 5, "loss")
        for name, function in functions.items()
    }


def checkpoints(keras: Any, suffix: str) -> dict[str, Any]:
    """The files that are written, in order."""
    result = {}
    model = made(keras)
    saved: list[str] = []
    model.save = lambda path, overwrite: saved.append(Path(path).name.removesuffix(suffix))
    with tempfile.TemporaryDirectory() as folder:
        for best, mode, threshold in itertools.product((False, True), ("auto", "max"), (None, 0.5)):
            callback = keras.callbacks.ModelCheckpoint(
                f"{folder}/{{epoch:02d}}-{{val_loss:.3f}}{suffix}",
                save_best_only=best,
                mode=mode,
                initial_value_threshold=threshold,
            )
            for number, values in enumerate(sequences()):
                watched(model, callback, values, "val_loss")
                result[f"{best} {mode} {threshold} {number}"] = list(saved)
                saved.clear()
        for frequency in (1, 2, 3, 5, 9):
            callback = keras.callbacks.ModelCheckpoint(f"{folder}/{{epoch}}-{{batch}}{suffix}", save_freq=frequency)
            callback.set_model(model)
            for _ in range(2):
                callback.on_train_begin()
                for epoch in range(4):
                    callback.on_epoch_begin(epoch)
                    for batch in range(4):
                        callback.on_train_batch_end(batch, {"loss": 1.0})
                    callback.on_epoch_end(epoch, {"loss": 1.0})
            result[f"steps {frequency}"] = list(saved)
            saved.clear()
    return result


def csv_files(keras: Any) -> list[str]:
    """What CSVLogger writes: with validation, without, appended, with a value missing."""
    result = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        for append in (False, True, False):
            callback = keras.callbacks.CSVLogger(str(path), separator=";", append=append)
            callback.set_model(made(keras))
            callback.on_train_begin()
            callback.on_epoch_end(
                0, {"loss": 0.5, "mae": 0.25, "val_loss": 1.0} if append else {"mae": 0.25, "loss": 0.5}
            )
            callback.on_epoch_end(1, {"loss": float("nan")})
            callback.on_train_end()
            result.append(path.read_bytes().decode())
    return result


def found(keras: Any, suffix: str) -> dict[str, Any]:
    """Everything, as plain data."""
    return {
        "schedules": schedules(keras),
        "defaults": defaults(keras),
        "early stopping": early_stopping(keras),
        "plateaus": plateaus(keras),
        "scheduled": scheduled(keras),
        "checkpoints": checkpoints(keras, suffix),
        "csv": csv_files(keras),
    }
