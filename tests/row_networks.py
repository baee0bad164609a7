"""Networks whose layers look at rows as a whole, or decide for several elements at once."""

from entries import (
    SPARSE,
    SQUARED,
    Spec,
    activation,
    batch_norm,
    dense,
    layer_norm,
    network,
    noise,
    reads,
    shared_noise,
)

ROW_NETWORKS: dict[str, Spec] = {
    "softmax and its kin within": network(
        17,
        [
            *(dense(40), activation("softmax"), batch_norm(), activation("log_softmax"), dense(65), activation("elu")),
            *(reads(activation("softmax"), 5), reads({"kind": "multiply"}, 5, 6), noise("dropout", rate=0.2)),
            *(reads(activation("log_softmax"), 7), reads({"kind": "concatenate"}, 8, 9)),
            *(dense(33, trainable=False), activation("softmax"), dense(4), activation("softmax")),
        ],
        SPARSE,
        metrics=("sparse_categorical_accuracy",),
    ),
    "sparsemax within": network(
        9, [dense(31), activation("sparsemax"), layer_norm(), dense(20), activation("sparsemax"), dense(3)], SQUARED
    ),
    "numbers that elements share": network(
        24,
        [
            *(shared_noise("dropout", [4, 6], [1], rate=0.3), dense(65), activation("relu")),
            *(shared_noise("dropout", [5, 13], [2], one_row=True, rate=0.2), dense(40), activation("selu")),
            *(shared_noise("alpha_dropout", [40], [], rate=0.1), dense(36)),
            *(shared_noise("alpha_dropout", [3, 4, 3], [1, 3], rate=0.1), activation("tanh")),
            *(noise("dropout", rate=0.2) | {"one_row": True}, dense(3), shared_noise("rrelu", [3], [])),
        ],
        SQUARED,
    ),
}
