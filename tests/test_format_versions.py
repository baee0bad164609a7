"""Files that earlier versions of the format left: they load for ever. The files of `golden/` are never written anew."""

import json
from pathlib import Path

import numpy as np
import pytest

from evenflow.models import load_model

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
X, Y = np.array(EXPECTED["x"]), np.array(EXPECTED["y"])
# Dot products of at most 5 terms of about 1, and softmax; float32 is computed in another order on other machines.
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


@pytest.mark.parametrize(("name", "target"), [("v1-classifier", Y), ("v1-regressor", X[:, :1] * 2 - 1)])
def test_an_old_model_predicts_and_trains_on(name, target):
    model = load_model(GOLDEN / f"{name}.safetensors")
    expected = EXPECTED["files"][name]
    tolerance = TOLERANCE[model.dtype]
    np.testing.assert_allclose(model.predict(X), expected["prediction"], rtol=0, atol=tolerance)
    # Ten more steps, with the file's slots, shuffling, dropout, averages and half of an accumulated gradient.
    model.fit(X, target, batch_size=5, epochs=2, verbose=0)
    assert model.optimizer.iterations == expected["iterations"]
    np.testing.assert_allclose(model.predict(X), expected["after"], rtol=0, atol=20 * tolerance)


def test_old_weights():
    model = load_model(GOLDEN / "v1-classifier.safetensors")
    model.load_weights(GOLDEN / "v1-weights.safetensors")
    expected = EXPECTED["files"]["v1-weights"]["prediction"]
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=TOLERANCE["float32"])
