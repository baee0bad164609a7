"""Memory of eager kernels: what lives only as long as it is lent, what overlaps, what nobody asked for."""

from typing import Any

import numpy as np
import pytest
from eager_calls import EPSILON, NAMES, Passing, calls, several

from evenflow import kernels


def is_floating(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_what_is_lent_lives_until_the_end_of_the_call(index, dtype, rng):
    name, args, keywords = calls(rng, dtype)[index]
    expected = several(getattr(kernels, name)(*args, **keywords))
    lent = [Passing(a) if is_floating(a) else a for a in args]
    for found, right in zip(several(getattr(kernels, name)(*lent, **keywords)), expected, strict=True):
        if right is not None:
            np.testing.assert_array_equal(found, right)


def test_penalties_and_metrics_of_what_is_lent(dtype, rng):
    p, g = (rng.standard_normal(1000).astype(dtype) for _ in range(2))
    assert kernels.penalize(Passing(p), Passing(g), l1=0.5) == kernels.penalize(p, l1=0.5)
    prediction, target = (rng.standard_normal((100, 3)).astype(dtype) for _ in range(2))
    weights = rng.random(100)
    metric = {"kind": "mean_squared_error"}
    np.testing.assert_array_equal(
        kernels.metric_sums(metric, prediction, target, Passing(weights)),
        kernels.metric_sums(metric, prediction, target, weights),
    )


@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "batch_norm", "learned"])
def test_out_does_not_lie_over_a_vector_that_every_row_reads(name, dtype):
    rows, features = 4000, 20
    memory = np.linspace(1, 2, rows * features).astype(dtype)
    before = memory.copy()
    out, vector = memory[: rows * features].reshape(rows, features), memory[:features]
    x = np.linspace(-1, 1, rows * features).astype(dtype).reshape(rows, features)
    args = {
        "layer_norm": (x, vector, np.ones(features, dtype)),
        "rms_norm": (x, vector),
        "batch_norm": (x, vector, np.ones(features, dtype)),
        "learned": ("prelu", x, vector),
    }[name]
    keywords = {} if name == "learned" else {"epsilon": EPSILON}
    with pytest.raises(ValueError, match=f"{name}_forward: argument 'out': expected memory of its own"):
        getattr(kernels, f"{name}_forward")(*args, **keywords, out=(out, None, None) if name == "batch_norm" else out)
    if name in ("layer_norm", "rms_norm"):
        backward, rest = getattr(kernels, f"{name}_backward"), [None] * (2 if name == "layer_norm" else 1)
        for wrong in ((out, *rest), (None, vector, *rest[1:])):
            with pytest.raises(ValueError, match=f"{name}_backward: argument 'out': expected memory of its own"):
                backward(x, x.copy(), vector, **keywords, out=wrong)
    np.testing.assert_array_equal(memory, before)
