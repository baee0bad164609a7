"""A model of words and numbers, trained here and run by onnxruntime: what a service needs is one file.

Prices of used things follow their kind, their age and their weight. The model takes them as they are, one input each;
so does the file, which another program runs without evenflow.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import evenflow
from evenflow.layers import Concatenate, Dense, Embedding, Flatten, Input, Normalization, StringLookup

KINDS = {"bicycle": 200.0, "chair": 30.0, "lamp": 20.0, "piano": 900.0}


def draw(rows, seed=0):
    """Kinds, numbers [age, weight], and log prices."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(np.array([*KINDS], object), (rows, 1))
    numbers = np.stack([rng.uniform(0, 20, rows), rng.lognormal(2, 0.5, rows)], axis=1).astype(np.float32)
    prices = np.log([KINDS[kind] for kind in kinds[:, 0]]) - 0.1 * numbers[:, 0] + 0.01 * numbers[:, 1]
    return {"kind": kinds, "numbers": numbers}, (prices + rng.normal(0, 0.05, rows)).astype(np.float32)


def network(x):
    """An embedding of the kind beside the standardized numbers."""
    kind, numbers = Input((1,), dtype="string", name="kind"), Input((2,), name="numbers")
    words, scale = StringLookup(vocabulary=[*KINDS]), Normalization()
    scale.adapt(x["numbers"])
    both = Concatenate()([Flatten()(Embedding(words.vocabulary_size(), 3)(words(kind))), scale(numbers)])
    return evenflow.Model([kind, numbers], Dense(1, name="log_price")(Dense(32, "gelu")(both)))


def main(rows=4000, epochs=20):
    """Mean error of both on new rows, and how far they are apart."""
    evenflow.set_seed(0)
    x, y = draw(rows)
    model = network(x)
    model.compile(evenflow.optimizers.Adam(0.01), "mean_squared_error")
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.onnx"
        evenflow.onnx.export(model, path, metadata={"unit": "log of the price"})
        size = path.stat().st_size
        session = onnxruntime.InferenceSession(path)

    new, expected = draw(500, seed=1)
    (found,) = session.run(["log_price"], new)
    own = model.predict(new)
    error, apart = np.abs(found[:, 0] - expected).mean(), np.abs(found - own).max()
    print(f"{size:,} bytes; mean error of the log price {error:.3f}; from evenflow's own outputs at most {apart:.1e}")
    return error, apart


if __name__ == "__main__":
    main()
