"""Entity embeddings beside one-hot columns, on 442 real patients (scikit-learn's diabetes data).

A year later, how far had the disease gone? Age is cut into bins, the sex is a word; both become embeddings, or columns
of zeros and ones, or are left out. On so few patients the three explain about as much: what counts are the other eight
columns. The point is how little it takes to try.

    .venv/bin/python examples/columns.py
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

import evenflow
from evenflow.layers import Concatenate, Dense, Discretization, Embedding, Flatten, Normalization, StringLookup

TEST = 142


def table() -> tuple[dict[str, Any], np.ndarray]:
    """The columns, shuffled, and what is to be predicted, of deviation 1."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    sex = np.where(x[:, 1:2] == 1, "first", "second").astype(object)  # the data do not say which is which
    numbers = x[:, 2:].astype(np.float32)
    return {"age": x[:, :1], "sex": sex, "numbers": numbers}, ((y - y.mean()) / y.std())[:, None]


def network(columns: str, data: dict[str, Any]) -> evenflow.Model:
    """`columns`: "embeddings", "one_hot", or "left out" for the numbers alone."""
    evenflow.set_seed(1)
    inputs = {
        "age": evenflow.Input((1,), name="age"),
        "sex": evenflow.Input((1,), dtype="string", name="sex"),
        "numbers": evenflow.Input((8,), name="numbers"),
    }
    scaled = Normalization()
    scaled.adapt(data["numbers"])
    parts = [scaled(inputs["numbers"])]
    if columns != "left out":
        mode = "int" if columns == "embeddings" else "one_hot"
        bins, words = Discretization(num_bins=8, output_mode=mode), StringLookup(output_mode=mode)
        bins.adapt(data["age"])
        words.adapt(data["sex"])
        for name, layer, count in (("age", bins, 8), ("sex", words, words.vocabulary_size())):
            value = layer(inputs[name])
            parts.append(Flatten()(Embedding(count, 2)(value)) if mode == "int" else value)
    used = list(inputs.values()) if columns != "left out" else [inputs["numbers"]]
    value = Concatenate()(parts) if len(parts) > 1 else parts[0]
    model = evenflow.Model(used, Dense(1)(Dense(16, "elu", kernel_regularizer="l2")(value)))
    model.compile(evenflow.optimizers.Adam(0.003), "mse", metrics=["r2_score"])
    return model


def main() -> dict[str, float]:
    """The share of the variance that each network explains on patients it has not seen."""
    data, target = table()
    parts = [{name: column[rows] for name, column in data.items()} for rows in (slice(TEST, None), slice(TEST))]
    found = {}
    for columns in ("left out", "one_hot", "embeddings"):
        model = network(columns, parts[0])
        train, test = ((part["numbers"] if columns == "left out" else part) for part in parts)
        model.fit(train, target[TEST:], epochs=150, batch_size=32, verbose=0)
        found[columns] = model.evaluate(test, target[:TEST], verbose=0, return_dict=True)["r2_score"]
        print(f"{columns:>10}: R2 {found[columns]:.3f} on {TEST} patients, {model.count_params():,} parameters")
    return found


if __name__ == "__main__":
    main()
