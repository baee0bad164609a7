"""One row per kernel and shape, used in three modes: its value against the reference, its gradient, its time.

A kernel's error is judged element by element, in eps times the sum of the magnitudes that were added up to give the
element (|A||B| for a matrix product), so that cancellation loosens no bound more than it must.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dense_cases
import fused_cases
import id_cases
import loss_cases
import metric_cases
import noise_cases
import numpy as np
import penalty_cases
import row_cases
import update_cases
from roundings import normal, summed

from evenflow import reference

SIZES = (1, 2, 3, 5, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 100, 300)
BATCHES = (1, 2, 11, 12, 13, 32, 77, 256)

Array = np.ndarray
Arguments = tuple[list[Any], dict[str, Any]]


def judge(dtype: Any) -> Any:
    """The type whose errors do not count against `dtype`: twice the digits, or 11 bits more."""
    return np.float64 if np.dtype(dtype) == np.float32 else np.longdouble


@dataclass(frozen=True)
class Case:
    """One call of one kernel."""

    kernel: str
    shape: tuple[int, ...]  # rows, features or rows, inputs, units
    settings: dict[str, Any] = field(default_factory=dict)  # keyword arguments, or what `arguments` needs

    @property
    def name(self) -> str:
        detail = [str(v) for v in self.settings.values() if v is not None and v is not False]
        return "-".join([self.kernel, *detail, "x".join(map(str, self.shape))])

    def arguments(self, rng: np.random.Generator, dtype: Any) -> Arguments:
        return KERNELS[self.kernel].arguments(self, rng, np.dtype(dtype))

    def call(self, module: Any, arguments: Arguments) -> list[Any]:
        """All results: what is returned, then what was changed in place. The arguments keep their values."""
        args, kwargs = arguments
        args = [copied(a) for a in args]
        returned = getattr(module, self.kernel)(*args, **kwargs)
        changed = flat([args[i] for i in KERNELS[self.kernel].in_place])
        return [r for r in flat([returned]) if r is not None] + [c for c in changed if c is not None]

    def judged(self, arguments: Arguments, dtype: Any) -> list[Any]:
        """The reference's results."""
        args, kwargs = arguments
        return self.call(reference, ([widened(a, judge(dtype)) for a in args], kwargs))

    def bounds(self, arguments: Arguments, expected: list[Any], dtype: Any) -> list[Any]:
        """The error that each result may have."""
        args, kwargs = arguments
        args = [widened(a, judge(dtype)) for a in args]
        eps = float(np.finfo(dtype).eps)
        return [eps * s for s in KERNELS[self.kernel].scales(args, kwargs, expected, eps)]


def copied(a: Any) -> Any:
    return [copied(b) for b in a] if isinstance(a, list) else a.copy() if isinstance(a, Array) else a


def widened(a: Any, dtype: Any) -> Any:
    if isinstance(a, list):
        return [widened(b, dtype) for b in a]
    return a.astype(dtype) if isinstance(a, Array) and a.dtype.kind == "f" else a


def flat(results: list[Any]) -> list[Any]:
    """Tuples and lists of results as one list."""
    return [r for item in results for r in (flat(list(item)) if isinstance(item, (tuple, list)) else [item])]


# Arguments and scales of each kernel ----------------------------------------------------------------------------------
# A scale counts roundings: each operation on the way to a result adds half an eps of its magnitude. Sums of products of
# both signs get 4 (the largest of 10^5 elements of 300 terms strays that far), exp and log 2 as they promise.


def batch_norm_arguments(case: Case, rng: np.random.Generator, dtype: Any) -> Arguments:
    rows, features = case.shape
    # Offsets of up to some hundred deviations: a one-pass variance would fail here.
    offset, spread = 100 * normal(rng, dtype, features), np.exp(normal(rng, dtype, features))
    x = normal(rng, dtype, rows, features) * spread + offset
    gamma, beta = 1 + normal(rng, dtype, features) / 4, normal(rng, dtype, features)
    keywords = {"epsilon": 1e-3}
    if case.kernel == "batch_norm_forward":
        return [x, gamma, beta], keywords
    statistics = [offset + normal(rng, dtype, features) / 8, spread**2]
    if case.kernel == "batch_norm_inference":
        return [x, gamma, beta, *statistics], keywords
    _, *batch = reference.batch_norm_forward(x, gamma, beta, **keywords)
    return [normal(rng, dtype, rows, features), x, gamma, *(s.astype(dtype) for s in batch)], keywords


def batch_norm_forward_scales(args: list[Any], keywords: Any, expected: list[Any], eps: float) -> list[Any]:
    x, gamma, beta = args
    _, mean, variance = expected
    factor = summed(len(x))
    shift = factor * abs(x).mean(
        axis=0
    )  # the error of the mean, and of each x - mean; of their mean square, its square
    spread = (2 + factor) * variance + eps * shift**2
    stretch = 2 + spread / (variance + keywords["epsilon"]) / 2
    scale = abs(gamma) / np.sqrt(variance + keywords["epsilon"])
    return [scale * (shift + abs(x) + abs(mean) + stretch * abs(x - mean)) + abs(beta), shift, spread]


def batch_norm_inference_scales(args: list[Any], keywords: Any, *_: Any) -> list[Any]:
    x, gamma, beta, mean, variance = args
    return [4 * (abs(gamma) / np.sqrt(variance + keywords["epsilon"]) * (abs(x) + abs(mean)) + abs(beta))]


def batch_norm_backward_scales(args: list[Any], keywords: Any, *_: Any) -> list[Any]:
    dy, x, gamma, mean, variance = args
    deviation = np.sqrt(variance + keywords["epsilon"])
    xhat = abs(x - mean) / deviation
    factor = summed(len(dy))
    dbeta, dgamma = abs(dy).sum(axis=0), (abs(dy) * xhat).sum(axis=0)
    dx = 4 * abs(dy) + (2 + factor) * (dbeta + xhat * dgamma) / len(dy)
    return [abs(gamma) / deviation * dx, (2 + factor) * dgamma, factor * dbeta]


def softmax_arguments(case: Case, rng: np.random.Generator, dtype: Any) -> Arguments:
    return [5 * normal(rng, dtype, *case.shape)], {}


def softmax_scales(args: list[Any], _: Any, expected: list[Any], eps: float) -> list[Any]:
    # Each e^(x - max) is off by 2 and by the rounding of its argument; then a sum and a division.
    below = args[0].max(axis=1, keepdims=True) - args[0]
    return [expected[0] * (3 + below / 2 + summed(below.shape[1]))]


def log_softmax_scales(args: list[Any], _: Any, expected: list[Any], eps: float) -> list[Any]:
    # The shift is rounded, the logarithm of the sum is off by 2 and by the sum's own error.
    below = args[0].max(axis=1, keepdims=True) - args[0]
    return [below + abs(expected[0]) + 2 + summed(below.shape[1]) + np.log(below.shape[1])]


def sparsemax_scales(args: list[Any], *_: Any) -> list[Any]:
    # Entries that matter are within 1 of the largest, whose size the shift rounds; t is their mean.
    z = args[0]
    return [np.full_like(z, 4 + summed(z.shape[1])) + abs(z).max(axis=1, keepdims=True)]


def learned_arguments(case: Case, rng: np.random.Generator, dtype: Any) -> Arguments:
    rows, features = case.shape
    x, parameter = 3 * normal(rng, dtype, rows, features), normal(rng, dtype, features)
    if case.kernel == "learned_forward":
        return [case.settings["name"], x, parameter], {}
    return [case.settings["name"], normal(rng, dtype, rows, features), x, parameter], {}


def learned_forward_scales(args: list[Any], _: Any, expected: list[Any], __: float) -> list[Any]:
    return [4 * abs(expected[0])]


def learned_backward_scales(args: list[Any], *_: Any) -> list[Any]:
    name, dy, x, parameter = args
    slope, in_parameter = 1 + abs(parameter), abs(x)  # of prelu
    if name == "learned_swish":
        s = reference.sigmoid(parameter * x)
        slope, in_parameter = s + abs(parameter * x) * s * (1 - s), x * x * s * (1 - s)
    terms = abs(dy) * in_parameter
    return [5 * abs(dy) * slope, (5 + summed(len(dy))) * terms.sum(axis=0)]


def clip_arguments(case: Case, rng: np.random.Generator, dtype: Any) -> Arguments:
    if case.kernel == "clip_by_global_norm":
        return [[normal(rng, dtype, size) for size in case.shape], case.settings["limit"]], {}
    return [normal(rng, dtype, *case.shape), case.settings["limit"]], {}


def clip_by_value_scales(args: list[Any], *_: Any) -> list[Any]:
    return [0 * args[0]]


def clip_norm_scales(args: list[Any], _: Any, expected: list[Any], eps: float) -> list[Any]:
    norm, *clipped = expected
    factor = summed(sum(c.size for c in clipped))
    same = norm <= args[1]  # then not a bit may change
    return [factor * norm, *((0 if same else factor + 2) * abs(c) for c in clipped)]


@dataclass(frozen=True)
class Kernel:
    """How to call a kernel, and what its errors may be."""

    arguments: Callable[[Case, np.random.Generator, Any], Arguments]
    scales: Callable[
        [list[Any], dict[str, Any], list[Any], float], list[Any]
    ]  # of each result; eps is the last argument
    in_place: tuple[int, ...] = ()  # the arguments that it changes


KERNELS = {
    "dense_forward": Kernel(dense_cases.arguments, dense_cases.forward_scales),
    "dense_backward": Kernel(dense_cases.arguments, dense_cases.backward_scales),
    "dense_bn_act_forward": Kernel(fused_cases.arguments, fused_cases.forward_scales),
    "dense_bn_act_backward": Kernel(fused_cases.arguments, fused_cases.backward_scales),
    "moving_average": Kernel(dense_cases.moving_average_arguments, dense_cases.moving_average_scales),
    "batch_norm_forward": Kernel(batch_norm_arguments, batch_norm_forward_scales),
    "batch_norm_inference": Kernel(batch_norm_arguments, batch_norm_inference_scales),
    "batch_norm_backward": Kernel(batch_norm_arguments, batch_norm_backward_scales),
    **{name: Kernel(row_cases.arguments, scales) for name, scales in row_cases.SCALES.items()},
    **{name: Kernel(id_cases.arguments, scales) for name, scales in id_cases.SCALES.items()},
    "softmax": Kernel(softmax_arguments, softmax_scales),
    "log_softmax": Kernel(softmax_arguments, log_softmax_scales),
    "sparsemax": Kernel(softmax_arguments, sparsemax_scales),
    "learned_forward": Kernel(learned_arguments, learned_forward_scales),
    "learned_backward": Kernel(learned_arguments, learned_backward_scales),
    "noise_forward": Kernel(noise_cases.arguments, noise_cases.scales),
    "noise_backward": Kernel(noise_cases.arguments, noise_cases.scales),
    "loss_forward_backward": Kernel(loss_cases.arguments, loss_cases.scales),
    "metric_sums": Kernel(
        lambda case, rng, dtype: (metric_cases.arguments(case.settings, *case.shape, rng, dtype), {}),
        metric_cases.scales,
    ),
    **{
        name: Kernel(
            update_cases.arguments,
            lambda args, rule, _, eps, name=name: update_cases.scales(name, args, rule, eps),
            in_place=(0, *range(2, 2 + len(rule.slots))),
        )
        for name, rule in update_cases.RULES.items()
    },
    "clip_by_value": Kernel(clip_arguments, clip_by_value_scales, in_place=(0,)),
    "clip_by_norm": Kernel(clip_arguments, clip_norm_scales, in_place=(0,)),
    "clip_by_global_norm": Kernel(clip_arguments, clip_norm_scales, in_place=(0,)),
    "penalize": Kernel(penalty_cases.arguments, penalty_cases.penalize_scales, in_place=(1,)),
    "penalize_pairs": Kernel(penalty_cases.arguments, penalty_cases.penalize_pairs_scales, in_place=(1,)),
    "soft_threshold": Kernel(penalty_cases.arguments, penalty_cases.soft_threshold_scales, in_place=(0,)),
    "keep_nonnegative": Kernel(penalty_cases.arguments, penalty_cases.nothing_is_rounded, in_place=(0,)),
    "limit_norms": Kernel(penalty_cases.arguments, penalty_cases.limit_norms_scales, in_place=(0,)),
}


# Rows -----------------------------------------------------------------------------------------------------------------


def mixed(rounds: int, *lists: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes in which every entry of every list occurs, against other partners in each round."""
    longest = max(len(values) for values in lists)
    return [
        tuple(
            values[(step * i + later * (i // longest)) % len(values)]
            for step, later, values in zip((1, 1, 3), (0, 0, 1), lists, strict=False)
        )
        for i in range(rounds * longest)
    ]


DENSE_SHAPES = [*mixed(2, BATCHES, SIZES, SIZES), (256, 300, 300), (1, 1, 1)]
ROW_SHAPES = [*mixed(2, BATCHES, SIZES), (256, 300), (1, 1)]
FLAT_SHAPES = [(size,) for size in (*SIZES, 1000, 4099)]
OUTPUTS = ("softmax", "log_softmax", "sparsemax")
LEARNED = ("prelu", "learned_swish")
CASES = [
    *(Case("dense_forward", shape, {"bias": bias}) for shape in DENSE_SHAPES for bias in ("bias", None)),
    *(Case("dense_backward", shape) for shape in DENSE_SHAPES),
    *(Case("dense_forward", shape, {"bias": "bias", "transposed": "transposed"}) for shape in DENSE_SHAPES[::3]),
    *(Case("dense_backward", shape, {"transposed": "transposed"}) for shape in DENSE_SHAPES[::3]),
    *(
        Case(kernel, shape, settings)
        for kernel in ("dense_bn_act_forward", "dense_bn_act_backward")
        for settings in fused_cases.SETTINGS
        for shape in [*mixed(1, BATCHES[3:], SIZES[4:], SIZES[4:])[::4], (256, 300, 300)]
    ),
    *(Case("moving_average", shape, {"momentum": 0.9}) for shape in FLAT_SHAPES),
    *(
        Case(kernel, shape)
        for kernel in (
            "batch_norm_forward",
            "batch_norm_inference",
            "batch_norm_backward",
            *OUTPUTS,
            *row_cases.SCALES,
        )
        for shape in ROW_SHAPES
    ),
    *(
        Case(kernel, shape, {"input_dim": rows})
        for kernel in id_cases.SCALES
        for rows in (1, 7, 500)
        for shape in [*mixed(2, BATCHES, (1, 2, 3, 17), id_cases.COLUMNS), (256, 10, 33)]
    ),
    *(
        Case(kernel, shape, {"name": name})
        for kernel in ("learned_forward", "learned_backward")
        for name in LEARNED
        for shape in ROW_SHAPES
    ),
    *(
        Case(kernel, shape, settings)
        for kernel in ("noise_forward", "noise_backward")
        for settings in noise_cases.SETTINGS
        for shape in ROW_SHAPES
    ),
    *(
        Case("loss_forward_backward", shape, {"loss": loss, **settings})
        for loss, settings in loss_cases.KINDS
        for shape in mixed(1, BATCHES, SIZES)
    ),
    *(
        Case("metric_sums", shape, metric)
        for metric in metric_cases.KINDS
        for shape in mixed(1, BATCHES, (1, 2, 5, 17, 33, 100))
        if metric_cases.fits(metric, shape[1])
    ),
    *(Case(kernel, shape, settings) for kernel, settings in update_cases.SETTINGS for shape in FLAT_SHAPES),
    *(
        Case(kernel, shape, {"limit": limit})
        for kernel in ("clip_by_value", "clip_by_norm")
        for limit in (0.5, 1e9)
        for shape in [*FLAT_SHAPES, (33, 17)]
    ),
    *(Case("clip_by_global_norm", (33, 1000, 1, 17), {"limit": limit}) for limit in (0.5, 1e9)),
    *(Case("penalize", shape, penalty) for penalty in penalty_cases.PENALTIES for shape in [*FLAT_SHAPES, (33, 17)]),
    *(
        Case("penalize_pairs", shape, pairs)
        for pairs in penalty_cases.PAIRS
        for shape in [*mixed(1, (1, 2, 11, 33, 77), SIZES), (256, 300)]
    ),
    *(Case("soft_threshold", shape, {"threshold": t}) for t in (0.0, 0.7) for shape in [*FLAT_SHAPES, (33, 17)]),
    *(Case("keep_nonnegative", shape) for shape in [*FLAT_SHAPES, (33, 17)]),
    *(
        Case("limit_norms", shape, limits)
        for limits in penalty_cases.LIMITS
        for shape in [*mixed(1, BATCHES, SIZES), *FLAT_SHAPES]
    ),
    *(
        Case("limit_norms", shape, limits)
        for limits in penalty_cases.MATRIX_LIMITS
        for shape in mixed(1, BATCHES, SIZES)
    ),
]
TIMED = [
    Case("dense_forward", (256, 300, 300), {"bias": "bias"}),
    Case("dense_backward", (256, 300, 300)),
    *(Case(k, (256, 300)) for k in ("batch_norm_forward", "batch_norm_inference", "batch_norm_backward", "softmax")),
    *(Case(kernel, (256, 300)) for kernel in row_cases.SCALES),
    *(Case(kernel, (256, 10, 16), {"input_dim": 1000}) for kernel in id_cases.SCALES),
    Case("loss_forward_backward", (256, 100), {"loss": "sparse_categorical_crossentropy", "from_logits": True}),
    Case("sgd_step", (50_000,), {"momentum": 0.9, "nesterov": False}),
    Case("adam_step", (50_000,), {"step": 10}),
    Case("penalize", (50_000,), {"l1": 0.0, "l2": 0.3}),
    Case("limit_norms", (300, 100), {"max_value": 0.5}),
]


@dataclass(frozen=True, eq=False)
class ActivationCase:
    """An activation, its hyper-parameters, and the errors it promises in units in the last place (ULP)."""

    name: str
    value_ulps: float
    slope_ulps: float
    # Of x, y and the slope, where that is a difference: the sum of the terms, in whose ULPs its error is counted.
    terms: Callable[[Array, Array, Array], Any] = lambda x, y, slope: abs(slope)
    parameters: dict[str, float] = field(default_factory=dict)


def gated(x: Array, y: Array, slope: Array) -> Array:
    """Of y = x gate(x), whose slope gate + x gate' passes through zero."""
    gate = np.divide(y, x, out=np.full_like(y, 0.5), where=x != 0)
    return gate + np.abs(slope - gate)


CLIPPED = {"max_value": 3.0, "negative_slope": 0.25, "threshold": 0.5}
ACTIVATION_CASES = [
    ActivationCase("linear", 0, 0),
    ActivationCase("relu", 0, 0),
    ActivationCase("leaky_relu", 1, 1),
    ActivationCase("leaky_relu", 1, 1, parameters={"negative_slope": 0.01}),
    # The slopes of these are computed from the rounded y: y + alpha, y (1 - y), 1 - y^2, (1 - |y|)^2.
    ActivationCase("elu", 2, 1, lambda x, y, slope: 1.0),
    ActivationCase("elu", 4, 1, lambda x, y, slope: 0.7, {"alpha": 0.7}),
    ActivationCase("celu", 4, 1.5, lambda x, y, slope: 1.0),
    ActivationCase("celu", 4, 1.5, lambda x, y, slope: 1.0, {"alpha": 0.7}),
    ActivationCase("selu", 4, 2, lambda x, y, slope: reference.SELU_SCALE * reference.SELU_ALPHA),
    ActivationCase("sigmoid", 4, 4, lambda x, y, slope: y),
    ActivationCase("tanh", 2, 2, lambda x, y, slope: 1.0),
    ActivationCase("softsign", 2, 2, lambda x, y, slope: 1.0),
    ActivationCase("isru", 4, 8),
    ActivationCase("isru", 4, 8, parameters={"alpha": 1 / 9}),
    ActivationCase("squareplus", 4, 8),
    ActivationCase("squareplus", 4, 8, parameters={"b": 0.7}),
    ActivationCase("softplus", 4, 4),
    ActivationCase("log_sigmoid", 2, 2.5),
    ActivationCase("exponential", 2, 2),
    ActivationCase("relu6", 0, 0),
    ActivationCase("clipped_relu", 0, 0),
    ActivationCase("clipped_relu", 1, 0, parameters=CLIPPED),
    ActivationCase("threshold", 0, 0),
    ActivationCase("threshold", 0, 0, parameters={"threshold": -0.5, "default_value": 1.5}),
    ActivationCase("tanh_shrink", 4, 4),
    ActivationCase("hard_sigmoid", 2, 1),
    ActivationCase("hard_silu", 3, 1.3, lambda x, y, slope: np.where(abs(x) < 3, 0.5 + abs(x) / 3, 1)),
    ActivationCase("hard_tanh", 0, 0),
    ActivationCase("sparse_sigmoid", 1, 0),
    ActivationCase("sparse_plus", 2, 1),
    ActivationCase("soft_shrink", 1, 0),
    ActivationCase("soft_shrink", 1, 0, parameters={"threshold": 0.25}),
    ActivationCase("hard_shrink", 0, 0),
    ActivationCase("hard_shrink", 0, 0, parameters={"threshold": 0.0}),
    ActivationCase("silu", 4, 4, gated),
    ActivationCase("swish", 4, 4, gated),
    ActivationCase("swish", 4, 4, gated, {"beta": 0.7}),
    ActivationCase("swish", 4, 4, gated, {"beta": 3.3}),
    ActivationCase("mish", 4, 4, gated),
    ActivationCase("gelu", 4, 4, gated),
    ActivationCase("gelu_tanh", 4, 4, gated),
    ActivationCase("gelu_sigmoid", 4, 4, gated),
]
