"""Models of every kind for ONNX, each with inputs for it, and what onnxruntime makes of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from evenflow import layers, models

WORDS, YEARS = ["red", "green", "blue"], [1990, 2001, 2010]
ROWS = 9


def settle(model: Any, rng: np.random.Generator) -> Any:
    """Weights that are not those of a new model."""
    for variable in model.variables:
        value = rng.uniform(0.2, 1.2, variable.shape)
        sign = 1 if "variance" in variable.name else rng.choice([-1, 1], variable.shape)
        variable.assign((value * sign).astype(variable.dtype))
    return model


def stack(parts: Callable[[], tuple[Any, ...]], shape: Any = (6,), words: str | None = None) -> Callable[[str], Any]:
    """A Sequential of these layers, to be made in a dtype."""
    return lambda dtype: models.Sequential([layers.Input(shape, words, name="x"), *parts()], dtype=dtype)


def residual(dtype: str) -> Any:
    a, b = layers.Input((6,), name="a"), layers.Input((4,), name="b")
    hidden = layers.Dense(6, "elu", name="hidden")
    one = layers.Add(name="sum")([a, hidden(a), hidden(hidden(a))])
    gate = layers.Multiply(name="gate")([one, layers.Dense(6, "sigmoid", name="door")(b)])
    both = layers.Concatenate(name="both")([gate, b])
    outputs = {"class": layers.Dense(3, "softmax", name="class")(both), "both": layers.Dense(2, name="value")(both)}
    return models.Model([a, b], outputs, "residual", dtype=dtype)


def nested(dtype: str) -> Any:
    inner = models.Sequential([layers.Input((5,)), layers.Dense(5, "tanh"), layers.BatchNormalization()], dtype=dtype)
    x = layers.Input((5,), name="x")
    y = inner(inner(x))
    other = models.Model(x, [y, layers.Dense(2, name="top")(y)], dtype=dtype)
    z = layers.Input((5,), name="z")
    return models.Model(
        z, [layers.Dropout(0.5, name=f"last_{i}")(one) for i, one in enumerate(other(z))], "outer", dtype=dtype
    )


def columns(dtype: str) -> Any:
    color, year = layers.Input((1,), "string", name="color"), layers.Input((2,), name="year")
    size, code = layers.Input((1,), name="size"), layers.Input((1,), "int32", name="code")
    years = layers.IntegerLookup(vocabulary=YEARS, num_oov_indices=3, name="years")(year)
    parts = [
        layers.StringLookup(vocabulary=WORDS, output_mode="one_hot", mask_token="none", name="colors")(color),
        layers.Flatten()(layers.Embedding(6, 3, name="of_years")(years)),
        layers.Flatten()(layers.Embedding(5, 2, name="of_bins")(
            layers.Discretization(bin_boundaries=[-0.5, 0.0, 0.3, 0.7], name="bins")(size))),
        layers.Flatten()(layers.Embedding(4, 2, name="of_codes")(code)),
        size,
    ]  # fmt: skip
    y = layers.Dense(3, "softmax", name="y")(layers.Concatenate()(parts))
    return models.Model([color, year, size, code], y, "columns", dtype=dtype)


def tied(dtype: str) -> Any:
    down = layers.Dense(4, "selu", use_bias=False, name="down")
    up = layers.DenseTranspose("down", layers.PReLU(), name="up")
    again = layers.DenseTranspose("down", use_bias=False, name="again")
    return models.Sequential([layers.Input((6,)), down, up, layers.Dense(4, name="between"), again], dtype=dtype)


MODELS: dict[str, Callable[[str], Any]] = {
    "dense": stack(lambda: (layers.Dense(5, "relu", name="one"), layers.Dense(3, "softmax", name="two"),)),
    "without input": lambda dtype: models.Sequential([layers.Dense(4, input_shape=(6,))], dtype=dtype),
    "images": stack(lambda: (
        layers.Rescaling(1 / 255, 0.5), layers.Normalization(axis=None, mean=0.5, variance=2.0),
        layers.Normalization(axis=[1, 2], name="pixels"), layers.BatchNormalization(axis=[1, 2]),
        layers.BatchNormalization(axis=1, scale=False), layers.BatchNormalization(center=False), layers.Flatten(),
        layers.Dense(4, "silu"),
    ), shape=(3, 5), words="uint8"),
    "normalizations": stack(lambda: (
        layers.Normalization(name="inputs"), layers.Dense(8, use_bias=False), layers.BatchNormalization(epsilon=0.01),
        layers.LayerNormalization(), layers.Activation("gelu"), layers.Dense(7), layers.RMSNormalization(),
        layers.LayerNormalization(scale=False, center=False), layers.BatchNormalization(scale=False, center=False),
        layers.Scaling(), layers.Rescaling(2.0, -1.0), layers.Dense(3), layers.Normalization(invert=True),
    )),
    "learned activations": stack(lambda: (
        layers.Dense(6, layers.PReLU()), layers.PReLU(shared_axes=[1]), layers.Dense(5, "learned_swish"),
        layers.Swish(trainable_beta="layer"), layers.Swish(2.0), layers.Activation("prelu"), layers.LeakyReLU(),
        layers.ELU(0.7), layers.ReLU(4.0, 0.1, 0.5), layers.RReLU(),
    )),
    "noise": stack(lambda: (
        layers.GaussianNoise(0.1), layers.Dense(4, "rrelu", activity_regularizer="l2"), layers.Dropout(0.5),
        layers.AlphaDropout(0.1), layers.GaussianDropout(0.1), layers.ActivityRegularization(0.1),
    )),
    "softmax": stack(lambda: (layers.Dense(4), layers.Softmax(),)),
    "one hot": stack(lambda: (layers.CategoryEncoding(4, "one_hot"), layers.Flatten(), layers.Dense(3),), shape=(2,)),
    "multi hot": stack(lambda: (layers.CategoryEncoding(4), layers.Dense(3),), shape=(3,)),
    "counts": stack(lambda: (layers.CategoryEncoding(4, "count"), layers.Dense(3),), shape=(3,), words="uint8"),
    "bins": stack(lambda: (layers.Discretization(bin_boundaries=[-1.0, 0.0, 0.5]), layers.Dense(3),), shape=(4,)),
    "bins of one": stack(lambda: (
        layers.Discretization(bin_boundaries=[0.0], output_mode="one_hot"), layers.Dense(3),
    ), shape=(1,)),
    "known words": stack(lambda: (
        layers.StringLookup(vocabulary=WORDS, num_oov_indices=0, output_mode="count"), layers.Dense(2),
    ), shape=(3,), words="string"),
    "words padded": stack(lambda: (
        layers.StringLookup(6, vocabulary=WORDS, output_mode="multi_hot", pad_to_max_tokens=True), layers.Dense(2),
    ), shape=(3,), words="string"),
    "years": stack(lambda: (
        layers.IntegerLookup(vocabulary=YEARS, mask_token=0), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(2),
    ), shape=(2,)),
    "tied": tied,
    "residual": residual,
    "nested": nested,
    "columns": columns,
}  # fmt: skip


def inputs(model: Any, name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Rows for each of a model's inputs, by name, as onnxruntime takes them."""
    kinds = {
        "one hot": {"x": 4}, "multi hot": {"x": 4}, "counts": {"x": 4}, "images": {"x": 256},
        "columns": {"color": [*WORDS, "none", "grey"], "year": [*YEARS, 5, 7, 9], "code": 4},
        "known words": {"x": WORDS}, "words padded": {"x": [*WORDS, "grey"]}, "years": {"x": [*YEARS, 0, 7]},
    }.get(name, {})  # fmt: skip
    types = {"counts": np.uint8, "images": np.uint8, "code": np.int32}
    found = {}
    for value in model.inputs:
        key = value.name if name != "without input" else "input"
        of, shape = kinds.get(key), (ROWS, *value.row_shape)
        if of is None:
            found[key] = rng.standard_normal(shape).astype(model.dtype)
        elif isinstance(of, int):
            found[key] = rng.integers(0, of, shape).astype(types.get(name, types.get(key, np.int64)))
        else:
            found[key] = rng.choice(np.array(of, object if isinstance(of[0], str) else np.int64), shape)
    return found


def run(proto: Any, given: dict[str, Any]) -> dict[str, np.ndarray]:
    """The outputs by name, by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, given), strict=True))


def predictions(model: Any, given: dict[str, Any]) -> dict[str, np.ndarray]:
    """The outputs by name, by evenflow."""
    values = list(given.values())
    found = model.predict(values if len(values) > 1 else values[0])
    listed = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
    return dict(zip(model.output_names, listed, strict=True))


def close(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """Equal within the tolerance, in proportion where numbers are above 1."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        assert np.abs(value).max() > 1e-3  # something came out
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance)
