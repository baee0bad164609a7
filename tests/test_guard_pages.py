"""No kernel reads or writes outside its arrays: each touches, at its end or its begin, a page whose access is fatal.

Sizes run over every tail of two vectors of the widest instruction set.
"""

import ctypes
import mmap
from collections.abc import Iterator

import networks
import numpy as np
import pytest
import update_cases
from cases import Case
from networks import activation, batch_norm, dense, layer_norm
from optimizer_specs import NESTEROV

from evenflow import _core

PAGE = mmap.PAGESIZE
PROT_NONE, PROT_READ_WRITE = 0, 3
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
TAILS = range(1, 34)
pytestmark = pytest.mark.usefixtures("isa")


class Fence:
    """Makes arrays between two forbidden pages, touching the one behind them ("end") or the one before ("begin")."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.blocks: list[tuple[int, int]] = []

    def __call__(self, values: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(values)
        inside = max(1, -(-values.nbytes // PAGE)) * PAGE
        whole = inside + 2 * PAGE
        base = LIBC.mmap(None, whole, PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        assert base not in (None, ctypes.c_void_p(-1).value)
        self.blocks.append((base, whole))
        assert LIBC.mprotect(base + PAGE, inside, PROT_READ_WRITE) == 0
        start = base + PAGE + (inside - values.nbytes if self.side == "end" else 0)
        fenced = np.frombuffer((ctypes.c_char * values.nbytes).from_address(start), values.dtype).reshape(values.shape)
        fenced[...] = values
        return fenced

    def clear(self) -> None:
        for base, whole in self.blocks:
            LIBC.munmap(base, whole)
        self.blocks.clear()


@pytest.fixture(params=["end", "begin"])
def fence(request: pytest.FixtureRequest) -> Iterator[Fence]:
    made = Fence(request.param)
    yield made
    made.clear()


def draw(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.random.default_rng(np.prod(shape)).standard_normal(shape).astype(dtype)


def same(fenced: np.ndarray | tuple[np.ndarray, ...], plain: np.ndarray | tuple[np.ndarray, ...]) -> None:
    """Where an array lies changes no bit of the answer."""
    if isinstance(plain, tuple):
        for a, b in zip(fenced, plain, strict=True):
            same(a, b)
    else:
        assert fenced.shape == plain.shape
        assert fenced.tobytes() == plain.tobytes()


def test_the_fence_stands(fence, dtype):
    # The arrays below are where they should be: the next byte on the fenced side is on another page.
    x = fence(draw((3, 5), dtype))
    address = x.__array_interface__["data"][0]
    assert (address + x.nbytes) % PAGE == 0 if fence.side == "end" else address % PAGE == 0


def test_dense(fence, dtype):
    for n in TAILS:
        for inputs, units in ((n, 33), (33, n), (n, n)):
            x, w, b, dy = (
                draw((3, inputs), dtype),
                draw((inputs, units), dtype),
                draw(units, dtype),
                draw((3, units), dtype),
            )
            fx, fw, fb, fdy = map(fence, (x, w, b, dy))
            same(_core.dense_forward(fx, fw, fb), _core.dense_forward(x, w, b))
            same(_core.dense_backward(fdy, fx, fw), _core.dense_backward(dy, x, w))
        fence.clear()


@pytest.mark.parametrize("name", sorted(_core.activations()))
def test_activations(fence, dtype, name):
    for n in TAILS:
        x, dy = draw((2, n), dtype), draw((2, n), dtype)
        y = _core.activation_forward(name, x)
        fx, fdy, fy = map(fence, (x, dy, y))
        same(_core.activation_forward(name, fx), y)
        same(_core.activation_backward(name, fdy, fx, fy), _core.activation_backward(name, dy, x, y))
        fence.clear()


@pytest.mark.parametrize("name", sorted(_core.learned_activations()))
def test_learned_activations(fence, dtype, name):
    for n in TAILS:
        x, dy, parameter = draw((3, n), dtype), draw((3, n), dtype), draw(n, dtype)
        fx, fdy, fparameter = map(fence, (x, dy, parameter))
        same(_core.learned_forward(name, fx, fparameter), _core.learned_forward(name, x, parameter))
        same(_core.learned_backward(name, fdy, fx, fparameter), _core.learned_backward(name, dy, x, parameter))
        fence.clear()


def test_batch_norm(fence, dtype):
    for n in TAILS:
        x, dy, gamma, beta = draw((5, n), dtype), draw((5, n), dtype), draw(n, dtype), draw(n, dtype)
        y, mean, variance = _core.batch_norm_forward(x, gamma, beta, epsilon=1e-3)
        fx, fdy, fgamma, fbeta, fmean, fvariance = map(fence, (x, dy, gamma, beta, mean, variance))
        same(_core.batch_norm_forward(fx, fgamma, fbeta, epsilon=1e-3), (y, mean, variance))
        same(
            _core.batch_norm_inference(fx, fgamma, fbeta, fmean, fvariance, epsilon=1e-3),
            _core.batch_norm_inference(x, gamma, beta, mean, variance, epsilon=1e-3),
        )
        same(
            _core.batch_norm_backward(fdy, fx, fgamma, fmean, fvariance, epsilon=1e-3),
            _core.batch_norm_backward(dy, x, gamma, mean, variance, epsilon=1e-3),
        )
        fence.clear()


def test_row_normalization(fence, dtype):
    for n in TAILS:
        x, dy, gamma, beta = draw((5, n), dtype), draw((5, n), dtype), draw(n, dtype), draw(n, dtype)
        fx, fdy, fgamma, fbeta = map(fence, (x, dy, gamma, beta))
        for kernel, own, plain in (
            (_core.layer_norm_forward, (fx, fgamma, fbeta), (x, gamma, beta)),
            (_core.layer_norm_backward, (fdy, fx, fgamma), (dy, x, gamma)),
            (_core.rms_norm_forward, (fx, fgamma), (x, gamma)),
            (_core.rms_norm_backward, (fdy, fx, fgamma), (dy, x, gamma)),
        ):
            same(kernel(*own, epsilon=1e-3), kernel(*plain, epsilon=1e-3))
        fence.clear()


def test_embedding(fence, dtype):
    rng = np.random.default_rng(0)
    for n in TAILS:
        table, dy, ids = draw((6, n), dtype), draw((5, 3 * n), dtype), rng.integers(0, 6, (5, 3))
        ids[0] = 5  # the table's last row ends where its memory does
        ftable, fdy, fids = map(fence, (table, dy, ids))
        same(_core.embedding_forward(fids, ftable), _core.embedding_forward(ids, table))
        same(_core.embedding_backward(fdy, fids, 6), _core.embedding_backward(dy, ids, 6))
        limited, flimited = table.copy(), fence(table)
        _core.limit_norms(limited, max_value=0.5)
        _core.limit_norms(flimited, max_value=0.5)
        same(flimited, limited)
        fence.clear()


def test_rows(fence, dtype):
    rng = np.random.default_rng(0)
    for n in TAILS:
        x, labels = draw((5, n), dtype), rng.integers(0, n, 5)
        probabilities, targets = _core.softmax(x), (draw((5, n), dtype) > 0).astype(dtype)
        fx, flabels, fprobabilities, ftargets = map(fence, (x, labels, probabilities, targets))
        same(_core.softmax(fx), probabilities)
        for output in (_core.log_softmax, _core.sparsemax):
            same(output(fx), output(x))
        cases = [
            ("sparse_categorical_crossentropy", x, fx, labels, flabels, True),
            ("sparse_categorical_crossentropy", probabilities, fprobabilities, labels, flabels, False),
            ("categorical_crossentropy", x, fx, targets, ftargets, True),
            ("binary_crossentropy", x, fx, targets, ftargets, True),
            ("mean_squared_error", x, fx, targets, ftargets, False),
        ]
        for name, prediction, fprediction, target, ftarget, from_logits in cases:
            same(
                _core.loss_forward_backward(name, fprediction, ftarget, from_logits=from_logits),
                _core.loss_forward_backward(name, prediction, target, from_logits=from_logits),
            )
        fence.clear()


def test_updates(fence, dtype):
    for n in TAILS:
        start = [draw(n, dtype), draw(n, dtype), draw(n, dtype), draw(n, dtype) ** 2]
        answers = []
        for place in (np.copy, fence):
            p, g, m, v = map(place, start)
            _core.clip_by_value(g, 0.9)
            _core.clip_by_norm(g, 0.8)
            _core.clip_by_global_norm([g, m], 0.7)
            _core.sgd_step(p, g, None, learning_rate=0.1)
            _core.sgd_step(p, g, m, learning_rate=0.1, momentum=0.9, nesterov=True)
            _core.adam_step(p, g, m, v, step=1, learning_rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
            for l1, l2 in ((0.1, 0.0), (0.0, 0.1), (0.1, 0.1)):
                _core.penalize(p, g, l1=l1, l2=l2)
            _core.soft_threshold(p, 0.1)
            _core.keep_nonnegative(m)
            for mode in ("rows", "columns"):
                _core.penalize_pairs(p.reshape(n, 1), g.reshape(n, 1), factor=0.1, mode=mode)
                _core.penalize_pairs(p.reshape(1, n), g.reshape(1, n), factor=0.1, mode=mode)
            for whole in (p, v.reshape(n, 1), g.reshape(1, n)):
                _core.limit_norms(whole, max_value=0.5)
                _core.limit_norms(whole, max_value=0.5, axis=-1)
            answers.append(tuple(a.copy() for a in (p, g, m, v)))
        same(answers[1], answers[0])
        fence.clear()


@pytest.mark.parametrize(("kernel", "settings"), update_cases.SETTINGS, ids=str)
def test_update_rules(fence, dtype, kernel, settings):
    for n in TAILS:
        args, keywords = Case(kernel, (n,), settings).arguments(np.random.default_rng(n), dtype)
        answers = []
        for place in (np.copy, fence):
            own = [None if a is None else place(a) for a in args]
            getattr(_core, kernel)(*own, **keywords)
            answers.append(tuple(a.copy() for a in own if a is not None))
        same(answers[1], answers[0])
        fence.clear()


def chain(inputs: int, units: int) -> dict:
    """A network whose every layer ends in the same tail."""
    layers = [batch_norm(), dense(units), batch_norm(), activation("elu", alpha=1.0), layer_norm(), dense(units)]
    made = networks.network(inputs, layers, networks.SQUARED, metrics=("mean_absolute_error",))
    return networks.with_optimizer(made, NESTEROV)


@pytest.mark.parametrize("source", [np.float32, np.float64, np.uint8])
def test_programs_read_rows_only(fence, dtype, source):
    rng = np.random.default_rng(0)
    for n in TAILS:
        x, y = rng.integers(0, 200, (7, n)).astype(source), rng.standard_normal((7, 34 - n)).astype(dtype)
        order, rates = rng.permutation(7), np.full(3, 1e-3)
        answers = []
        for place in (np.copy, fence):
            fx, fy, forder, frates = map(place, (x, y, order, rates))
            program = _core.Program(chain(n, 34 - n), dtype=dtype.name, batch_size=3)
            for name, shape, _ in program.variables():
                if name.endswith("/kernel"):
                    program.set(name, place(draw(shape, dtype)))
            done = program.train(fx, fy, learning_rate=frates, order=forder)
            out = place(np.empty((7, 34 - n), dtype))
            program.predict(fx, out)
            score = program.evaluate(fx, fy)
            sums = np.concatenate([[done.loss, score.loss], *score.metrics])
            answers.append((program.parameters.copy(), out.copy(), sums))
        same(answers[1], answers[0])
        fence.clear()


def test_scan_for_nonfinite(fence, dtype):
    for n in TAILS:
        x = fence(draw((3, n), dtype))
        assert _core.find_nonfinite(x) is None
        x[2, n - 1] = np.nan
        assert _core.find_nonfinite(x) == (2, n - 1)
        x[2, n - 1] = 1e39 if x.itemsize == 8 else np.inf
        assert _core.find_nonfinite(x, "float32") == (2, n - 1)
        fence.clear()
