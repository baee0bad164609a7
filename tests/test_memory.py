"""What is taken is given back: resident memory over thousands of calls, references to inputs, lifetimes of views."""

import sys

import numpy as np
import psutil
import pytest
from entries import dense, encoding
from scenario import ROWS, SPEC, data, program

from evenflow import _core


def leak_cases() -> dict[str, object]:
    rng = np.random.default_rng(0)
    made, (x, y) = program(0), data(0)
    x64 = np.ascontiguousarray(x[:, :32])
    w, b = rng.standard_normal((64, 32)).astype(np.float32), np.zeros(32, np.float32)
    p, g, m, v = (np.zeros(1000, np.float32) for _ in range(4))

    def refused(call):
        def run_it() -> None:
            with pytest.raises((TypeError, ValueError)):
                call()

        return run_it

    return {
        "train": lambda: made.train(x[:64], y[:64], learning_rate=1e-3),
        "evaluate": lambda: made.evaluate(x[:64], y[:64]),
        "predict": lambda: made.predict(x[:8]),
        "get and set": lambda: made.set("layer_0/kernel", made.get("layer_0/kernel")),
        "views": lambda: (made.parameters, made.gradients, made.plan(), str(made)),
        "compile": lambda: program(0),
        "dense_forward": lambda: _core.dense_forward(x[:8], w, b),
        "softmax": lambda: _core.softmax(x64[:8]),
        "adam_step": lambda: _core.adam_step(
            p, g, m, v, step=1, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7
        ),
        "train refused": refused(lambda: made.train(x[:64], y[:63], learning_rate=1e-3)),
        "predict refused": refused(lambda: made.predict(x[:8, 1:])),
        "compile refused": refused(
            lambda: _core.Program({**SPEC, "layers": [*SPEC["layers"], {"kind": "nonsense", "name": "n"}]})
        ),
        "dense_forward refused": refused(lambda: _core.dense_forward(x[:8], b, b)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", leak_cases())
def test_memory_is_stable(name):
    call = leak_cases()[name]
    process = psutil.Process()
    calls = 1000 if name == "compile" else 10_000
    for _ in range(calls // 10):
        call()

    def growth() -> int:
        before = process.memory_info().rss
        for _ in range(calls):
            call()
        return process.memory_info().rss - before

    assert any(growth() < 1e6 for _ in range(3))  # a leak grows on; what allocators keep does not


def test_many_features_that_nobody_transposes_cost_no_scratch():
    width = 1 << 18
    layers = [{**encoding(width, "multi_hot"), "name": "encoding"}, {**dense(1), "name": "dense"}]
    spec = {"inputs": 4, "layers": layers, "loss": {"kind": "mean_squared_error"}, "metrics": [], "optimizer": None}
    made = _core.Program(spec, batch_size=1, threads=1)
    made.set("dense/kernel", np.ones((width, 1), np.float32))
    process = psutil.Process()
    before = process.memory_info().rss
    assert made.predict(np.array([[3, 1, 4, 1]])) == [[3]]
    assert process.memory_info().rss - before < 8 * 4 * width  # a panel of each would be at least 16


def test_inputs_are_let_go():
    made, (x, y) = program(0), data(0)
    rate = np.full(ROWS // 64, 1e-3)
    order = np.arange(ROWS, dtype=np.int64)
    held = [x, y, rate, order]
    before = [sys.getrefcount(a) for a in held]
    for _ in range(10):
        made.train(x, y, learning_rate=rate, order=order)
        with pytest.raises(ValueError, match="order"):
            made.train(x, y, learning_rate=rate, order=order + 1)
    assert [sys.getrefcount(a) for a in held] == before


def test_views_keep_the_arena_alive():
    view = program(0).parameters
    before = view.copy()
    blocks = [np.ones(view.size, np.float32) for _ in range(16)]
    assert (view == before).all()
    view[:] = 1
    assert (view == blocks[0]).all()
