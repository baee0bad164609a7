"""Small networks that mix every layer, activation, loss and optimizer, with data and weights for them."""

from typing import Any

import numpy as np
from entries import (
    BINARY,
    CATEGORICAL,
    SPARSE,
    SQUARED,
    Spec,
    activation,
    again,
    batch_norm,
    dense,
    layer_norm,
    learned,
    network,
    noise,
    normalization,
    reads,
    rescaling,
    rms_norm,
    scaling,
    transposed,
)
from row_networks import ROW_NETWORKS

COUNTS = {"kind": "threshold_counts", "thresholds": [0.25, 0.5, 0.75]}


# Widths are those where panels and vectors end: 1, one less and one more than a vector, several panels and a rest.
NETWORKS: dict[str, Spec] = {
    "batch norm first and after": network(
        65,
        [
            batch_norm(),
            dense(33),
            activation("elu"),
            batch_norm(),
            dense(17),
            activation("elu", alpha=0.7),
            batch_norm(),
            dense(10),
            activation("softmax"),
        ],
        SPARSE,
        metrics=("sparse_categorical_accuracy", "confusion_matrix", "class_sums", "sparse_categorical_crossentropy"),
    ),
    "batch norm before": network(
        7,
        [
            *(dense(100, use_bias=False), batch_norm(), activation("gelu")),
            *(dense(31, use_bias=False), batch_norm(center=False), activation("silu")),
            *(dense(5), activation("softmax")),
        ],
        CATEGORICAL,
        metrics=("categorical_accuracy", "mean_absolute_error", COUNTS, "cosine_similarity", "class_sums"),
    ),
    "two batch norms in a chain": network(
        16,
        [
            dense(15),
            batch_norm(scale=False),
            activation("mish"),
            batch_norm(),
            activation("tanh"),
            activation("leaky_relu", negative_slope=0.2),
            dense(1),
        ],
        SQUARED,
        metrics=("mean_absolute_error", "mean_squared_error", "r2_sums", "log_cosh"),
    ),
    "binary": network(
        3,
        [
            rescaling(0.25, -0.5),
            dense(64),
            activation("gelu_tanh"),
            dense(2),
            activation("gelu_sigmoid"),
            dense(3),
            activation("sigmoid"),
        ],
        BINARY,
        metrics=("binary_accuracy", "binary_crossentropy", {**COUNTS, "multi_label": True}, {**COUNTS, "k": 2}),
    ),
    "logits": network(
        33,
        [dense(97), activation("selu"), dense(32), activation("softplus"), dense(63)],
        SPARSE,
        from_logits=True,
        metrics=({**COUNTS, "class_id": 40}, {"kind": "sparse_top_k_categorical_accuracy", "k": 5}),
    ),
    "categorical logits": network(
        5,
        [dense(32), activation("relu"), batch_norm(), dense(4), batch_norm()],
        CATEGORICAL,
        from_logits=True,
        metrics=("categorical_accuracy", {"kind": "categorical_crossentropy", "from_logits": True}),
    ),
    "binary logits": network(1, [dense(17), activation("linear"), dense(1)], BINARY, from_logits=True),
    "activation at the output": network(
        31, [dense(300), activation("sigmoid"), dense(7), activation("tanh")], SQUARED, metrics=("r2_sums",)
    ),
    "frozen": network(
        15,
        [
            batch_norm(trainable=False),
            dense(33, trainable=False),
            activation("tanh"),
            dense(16),
            batch_norm(trainable=False),
            activation("silu"),
            dense(8, trainable=False),
            batch_norm(),
            dense(3),
        ],
        SQUARED,
    ),
    "rescaling": network(
        33,
        [
            rescaling(0.5, -1.0),
            rescaling(1.5, 0.25),
            dense(19),
            rescaling(-0.5, 0.3),
            activation("elu"),
            batch_norm(),
            rescaling(2.0),
            dense(5),
            rescaling(0.5, 0.25),
        ],
        SQUARED,
    ),
    "scaling": network(
        65,
        [
            *(scaling(), dense(33), activation("isru", alpha=0.3), scaling(), scaling(trainable=False)),
            *(activation("elu"), dense(17, use_bias=False), scaling(), dense(3), scaling()),
        ],
        SQUARED,
    ),
    "statistics of columns": network(
        65,
        [
            rescaling(0.5, 0.25),
            batch_norm(shape=[5, 13], axis=[2]),
            activation("silu"),
            batch_norm(shape=[5, 13], axis=[1], scale=False, unbiased_variance=True),
            activation("tanh"),
            batch_norm(shape=[5, 13], axis=[1, 2]),
            dense(33),
            batch_norm(unbiased_variance=True),
            activation("elu"),
            dense(4),
        ],
        CATEGORICAL,
        from_logits=True,
    ),
    "statistics of more than a panel": network(
        210, [batch_norm(shape=[2, 3, 35], axis=[1, 3]), dense(17), activation("tanh"), dense(3)], SQUARED
    ),
    "frozen statistics of columns": network(
        66,
        [
            batch_norm(shape=[2, 3, 11], axis=[2], center=False),
            activation("gelu"),
            batch_norm(shape=[2, 3, 11], axis=[1, 3], trainable=False),
            batch_norm(shape=[66], axis=[1]),
            dense(3),
        ],
        SQUARED,
    ),
    "statistics given": network(
        65,
        [
            normalization(shape=[5, 13], axis=[2]),
            dense(17),
            normalization(),
            activation("tanh"),
            dense(16),
            normalization(shape=[16], axis=[]),
            activation("tanh"),
            dense(3),
            normalization(invert=True),
        ],
        SQUARED,
    ),
    "row normalization": network(
        33,
        [
            layer_norm(),
            dense(65),
            rms_norm(),
            activation("silu"),
            dense(17, use_bias=False),
            layer_norm(center=False, scale=False),
            activation("tanh"),
            layer_norm(scale=False),
            rms_norm(),
            dense(100),
            activation("elu"),
            layer_norm(center=False),
            dense(7),
            activation("softmax"),
        ],
        SPARSE,
        metrics=("sparse_categorical_accuracy",),
    ),
    "rows and columns normalized": network(
        16, [dense(33, use_bias=False), batch_norm(), layer_norm(), activation("silu"), dense(3)], SQUARED
    ),
    "row normalization at the ends": network(
        97, [rms_norm(trainable=False), layer_norm(), activation("gelu"), layer_norm(trainable=False)], SQUARED
    ),
    "no layer to train at the bottom": network(
        9, [activation("tanh"), dense(6), activation("softmax")], SPARSE, metrics=("sparse_categorical_accuracy",)
    ),
    "batch norm alone": network(97, [batch_norm()], SQUARED),
    "dropout": network(
        33,
        [
            *(noise("dropout", rate=0.2), dense(65), activation("relu"), noise("dropout", rate=0.5)),
            *(dense(31), activation("silu"), noise("dropout", rate=0.3), activation("tanh"), noise("dropout", 7)),
            *(dense(4), noise("dropout", rate=0.1), activation("softmax")),
        ],
        SPARSE,
        metrics=("sparse_categorical_accuracy",),
    ),
    "noise of every kind beside batch norm": network(
        17,
        [
            *(noise("gaussian_noise", stddev=0.3), batch_norm(), noise("gaussian_dropout", rate=0.2)),
            *(dense(40, use_bias=False), noise("rrelu"), noise("alpha_dropout", rate=0.1), batch_norm()),
            *(activation("elu"), noise("gaussian_dropout", rate=0.1), noise("alpha_dropout", rate=0.2)),
            *(noise("rrelu", lower=0.2, upper=0.3), dense(9, trainable=False), batch_norm()),
            *(noise("gaussian_noise"), activation("sigmoid"), dense(3)),
            *(activation("tanh"), noise("dropout", rate=0.25)),
        ],
        SQUARED,
        metrics=("mean_absolute_error",),
    ),
    "noise beside other layers": network(
        12,
        [
            *(layer_norm(center=False, scale=False), noise("dropout", rate=0.2), learned("learned_swish")),
            *(noise("gaussian_dropout", rate=0.1), dense(20), batch_norm(shape=[4, 5], axis=[1]), activation("elu")),
            *(noise("alpha_dropout", rate=0.3), activation("tanh"), noise("rrelu"), rms_norm()),
            *(noise("alpha_dropout", rate=0.1), dense(4), noise("gaussian_noise", stddev=0.1)),
        ],
        SQUARED,
    ),
    "learned by unit": network(
        17,
        [
            *(dense(100), learned("prelu"), dense(33, use_bias=False), batch_norm(), learned("learned_swish")),
            *(batch_norm(), dense(5), activation("log_softmax")),
        ],
        CATEGORICAL,
        from_logits=True,
        metrics=("categorical_accuracy", "mean_absolute_error"),
    ),
    "learned and shared": network(
        33,
        [
            learned("learned_swish", shared=True),
            dense(97, use_bias=False),
            learned("prelu", shared=True),
            batch_norm(center=False),
            learned("prelu", trainable=False),
            dense(65),
            learned("learned_swish", shared=True, trainable=False),
            learned("prelu"),
            dense(3),
            activation("log_softmax"),
        ],
        SQUARED,
        metrics=("mean_absolute_error",),
    ),
    "branches with batch norm: residual, gated, side by side": network(
        33,
        [
            dense(40),
            activation("relu"),
            reads(batch_norm(), 1),
            activation("elu"),
            dense(40),
            reads({"kind": "add"}, 1, 4),
            activation("gelu"),
            reads(dense(40), 6),
            activation("sigmoid"),
            reads({"kind": "multiply"}, 8, 6, 1),
            layer_norm(),
            reads({"kind": "concatenate"}, 10, 1, 6),
            noise("dropout", rate=0.1),
            dense(5),
            activation("softmax"),
        ],
        SPARSE,
        metrics=("sparse_categorical_accuracy",),
    ),
    "wide and deep with batch norm": network(
        17,
        [
            {"kind": "input", "input": 0},
            batch_norm(),
            dense(15),
            activation("tanh"),
            reads(dense(33, trainable=False), 0),
            reads(rms_norm(), 4),
            reads(noise("gaussian_dropout", rate=0.1), 4),
            reads({"kind": "multiply"}, 5, 6),
            reads({"kind": "concatenate"}, 0, 3, 7),
            activation("tanh"),
            reads(learned("learned_swish"), 9),
            reads({"kind": "multiply"}, 10, 10),
            dense(3),
        ],
        SQUARED,
    ),
    "two rows of maps with batch norm": network(
        16,
        [
            dense(64, use_bias=False),
            reads(layer_norm(center=False, scale=False), 0),
            reads(batch_norm(shape=[4, 16], axis=[1]), 0),
            reads({"kind": "add"}, 1, 2),
            activation("silu"),
            reads(dense(20), 4),
            reads(dense(20), 4),
            reads({"kind": "multiply"}, 5, 6),
            dense(3),
            activation("sigmoid"),
        ],
        BINARY,
    ),
    "layers called twice": network(
        9,
        [
            dense(33),
            batch_norm(),
            learned("prelu"),
            dense(33),
            again(3, dense(33), 3),
            again(1, batch_norm(), 4),
            again(2, learned("prelu"), 5),
            reads(learned("learned_swish", shared=True), 6),
            again(7, learned("learned_swish", shared=True), 7),
            reads(layer_norm(), 8),
            again(9, layer_norm(), 4),
            again(3, dense(33), 10),
            reads({"kind": "add"}, 8, 9, 11),
            dense(3),
            activation("softmax"),
        ],
        SPARSE,
    ),
    "shared statistics called twice": network(
        16,
        [
            batch_norm(shape=[4, 4], axis=[1]),
            dense(16, use_bias=False),
            again(0, batch_norm(shape=[4, 4], axis=[1]), 1),
            noise("dropout", rate=0.1),
            activation("tanh"),
            again(1, dense(16, use_bias=False), 4),
            dense(2),
            activation("softmax"),
        ],
        SPARSE,
    ),
    "tied": network(
        65,
        [
            *(noise("gaussian_noise", stddev=0.1), dense(100), activation("sigmoid")),
            *(dense(17, use_bias=False), batch_norm(), activation("tanh")),
            *(transposed(3, 100), learned("prelu"), transposed(1, 65, use_bias=False), activation("sigmoid")),
        ],
        BINARY,
        metrics=("mean_squared_error",),
    ),
    "tied, frozen and in branches": network(
        33,
        [
            *(dense(40, trainable=False), activation("sigmoid"), dense(65), layer_norm()),
            *(transposed(2, 40, trainable=False), reads(transposed(0, 33), 4), reads(layer_norm(), 4)),
            *(again(2, dense(65), 6), reads({"kind": "add"}, 3, 7), rms_norm(), reads(transposed(2, 40), 9)),
            *(again(10, transposed(2, 40), 3), reads({"kind": "add"}, 6, 10, 11), activation("elu")),
            *(reads({"kind": "concatenate"}, 5, 13), layer_norm(), dense(3)),
        ],
        SQUARED,
    ),
    "sparsemax": network(
        9,
        [dense(31), learned("prelu", shared=True), dense(20), activation("sparsemax")],
        SQUARED,  # the cross-entropy of a zero has no slope
        metrics=("mean_absolute_error",),
    ),
    **ROW_NETWORKS,
}

DEEP = network(
    65,
    [
        batch_norm(),
        *(layer for units in (100, 33, 300, 64) for layer in (dense(units), batch_norm(), activation("elu"))),
        dense(10),
        activation("softmax"),
    ],
    SPARSE,
    metrics=("sparse_categorical_accuracy",),
)


def with_optimizer(spec: Spec, optimizer: Spec, **clipping: float) -> Spec:
    return {**spec, "optimizer": {**optimizer, **clipping}}


def outputs(spec: Spec) -> int:
    return next((layer["units"] for layer in reversed(spec["layers"]) if layer["kind"] == "dense"), spec["inputs"])


def data(spec: Spec, rows: int, rng: np.random.Generator, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets that fit the loss."""
    x = rng.standard_normal((rows, spec["inputs"])).astype(dtype)
    shape, kind = (rows, outputs(spec)), spec["loss"]["kind"]
    if kind == SPARSE:
        return x, rng.integers(0, shape[1], rows)
    if kind == CATEGORICAL:
        return x, np.eye(shape[1], dtype=dtype)[rng.integers(0, shape[1], rows)]
    if kind == BINARY:
        return x, rng.integers(0, 2, shape).astype(dtype)
    return x, rng.standard_normal(shape).astype(dtype)
