"""Eager kernels: NumPy in, NumPy out, for embedding in other trainers.

They take C-ordered float32 or float64 arrays, or what lends its memory by DLPack (tensors of PyTorch on the CPU),
convert and copy nothing, and compute the same bits as a model's program on the same instruction set, with any number of
threads (`set_num_threads`). `evenflow.reference` has the same names in float64 NumPy: the formulas, to be read; but for
`PackedWeights`, and for `softmax_crossentropy` and `dropout_*`, which are `loss_forward_backward` and `noise_*` by
another name. Shapes, aliasing, threads and errors of each: docs/guide/kernels.md.

=========================  =============================================================================
dense_forward              y = x w + b; x [batch, inputs], w [inputs, units], b [units] or None
dense_backward             dx = dy w^T, dw = x^T dy, db = sum of dy over the batch
dense_bn_act_forward       y = dropout(f(batch_norm(z))), z = x w + b, in one call; also z, mean and variance
dense_bn_act_inference     y with given statistics, or without normalization
dense_bn_act_backward      dx, dw, db, dgamma, dbeta from dy, x, z; the rest is computed again
PackedWeights              w in the kernels' own layout, for many calls with the same weights
embedding_forward          the rows of table [input_dim, columns] that ids [batch, ids] name, side by side
embedding_backward         dtable [rows, columns]: for each row the sum of dy wherever an id names it
batch_norm_forward         y = gamma (x - mean) / sqrt(variance + epsilon) + beta, statistics of the batch
batch_norm_inference       the same with given statistics
batch_norm_backward        dx, dgamma, dbeta through the batch's statistics
moving_average             moving momentum + batch (1 - momentum)
layer_norm_forward         the same with statistics of each row
layer_norm_backward        dx, dgamma, dbeta, from x
rms_norm_forward           y = scale x / sqrt(mean of the row's x^2 + epsilon)
rms_norm_backward          dx, dscale, from x
activation_forward         y = f(x) by name (`activations()`); hyper-parameters by keyword
activation_backward        dx = dy f'(x), from x and y
learned_forward            y = f(x) of an activation with one parameter for each feature: "prelu", "learned_swish"
learned_backward           dx and the parameter's gradient, summed over the batch
softmax                    exp(x) / sum exp(x), by row; log_softmax, its logarithm; sparsemax, the nearest probabilities
softmax_crossentropy       each row's loss of logits, and the gradient of their mean
noise_forward              y of a random layer by name, with the numbers of `seed`, `step`, `layer` and first `row`
noise_backward             dx with the same numbers, from y
dropout_forward            x / (1 - rate), or 0 with probability rate; dropout_backward, the same of dy
random_words               the four words of Philox 4x32-10 for the counters (c0, c1 + row, c2, c3)
loss_forward_backward      each row's loss; the gradient of their mean in the prediction; hyper-parameters by keyword
metric_sums                a metric's state over these rows, counted as in training; `metrics` makes results of states
sgd_step, adam_step, nadam_step, adamax_step, adagrad_step, adadelta_step, rmsprop_step, lion_step
                           update rules, in place, of arrays or lists of arrays; weight_decay is decoupled,
                           coupled_decay PyTorch's; `optimizers` has their formulas
clip_by_value              g limited to [-limit, limit], in place
clip_by_norm               g shrunk to an l2 norm of at most limit, in place; returns the norm before
clip_by_global_norm        the same for a list of arrays and their common norm
penalize                   l1 sum |p| + l2 sum p^2; its gradient is added to g, where that is given
penalize_pairs             factor times the mean |cosine| of all pairs of w's rows, or columns; the same
soft_threshold             p = sign(p) max(|p| - threshold, 0), in place
keep_nonnegative           p = max(p, 0), in place
limit_norms                each column of w [inputs, units], or a vector, scaled to a norm within limits, in place;
                           axis=1: each row
=========================  =============================================================================

out: an array, or a tuple of as many as there are results (None: a new one), which is written and returned as it came.
Where an element depends on its own place alone, or a result has the shape of x or dy after normalization, `out` may be
that input itself; else it shares no memory with any.

Errors: ValueError or TypeError that name the function, the argument, what was expected and what was received; nothing
is written before every argument is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import (
    PackedWeights,
    activation_backward,
    activation_forward,
    activations,
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    dense_backward,
    dense_bn_act_backward,
    dense_bn_act_forward,
    dense_bn_act_inference,
    dense_forward,
    embedding_backward,
    embedding_forward,
    keep_nonnegative,
    layer_norm_backward,
    layer_norm_forward,
    learned_backward,
    learned_forward,
    limit_norms,
    lion_step,
    log_softmax,
    loss_forward_backward,
    metric_sums,
    moving_average,
    nadam_step,
    noise_backward,
    noise_forward,
    penalize,
    penalize_pairs,
    random_words,
    rms_norm_backward,
    rms_norm_forward,
    rmsprop_step,
    sgd_step,
    soft_threshold,
    softmax,
    sparsemax,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = [
    "PackedWeights",
    "activation_backward",
    "activation_forward",
    "activations",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_inference",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "dense_backward",
    "dense_bn_act_backward",
    "dense_bn_act_forward",
    "dense_bn_act_inference",
    "dense_forward",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "keep_nonnegative",
    "layer_norm_backward",
    "layer_norm_forward",
    "learned_backward",
    "learned_forward",
    "limit_norms",
    "lion_step",
    "log_softmax",
    "loss_forward_backward",
    "metric_sums",
    "moving_average",
    "nadam_step",
    "noise_backward",
    "noise_forward",
    "penalize",
    "penalize_pairs",
    "random_words",
    "rms_norm_backward",
    "rms_norm_forward",
    "rmsprop_step",
    "sgd_step",
    "soft_threshold",
    "softmax",
    "softmax_crossentropy",
    "sparsemax",
]


def softmax_crossentropy(logits: Array, target: Any, *, out: Any = None) -> tuple[Array, Array]:
    """Each row's -sum_j t_j log softmax(logits)_j, and the gradient of their mean, (softmax - t) / batch.

    logits [batch, classes]; target integer labels [batch], or probabilities [batch, classes]. Stable for logits of any
    size. out: (losses [batch], gradient [batch, classes]); the gradient may be written over the logits.
    """
    labels = np.ndim(target) == 1
    name = "sparse_categorical_crossentropy" if labels else "categorical_crossentropy"
    return loss_forward_backward(name, logits, target, from_logits=True, out=out)


def dropout_forward(
    x: Array, rate: float, *, seed: int, step: int = 0, layer: int = 0, row: int = 0, out: Array | None = None
) -> Array:
    """x / (1 - rate), or -0.0 with probability rate; x [rows, features], rate at least 0 and below 1.

    Which elements are 0 is a function of seed, step, layer, row number (the first row has the number `row`) and
    feature alone: nothing is kept for the way back. `out` may be x.
    """
    return noise_forward("dropout", x, rate=rate, seed=seed, step=step, layer=layer, row=row, out=out)


def dropout_backward(
    dy: Array, rate: float, *, seed: int, step: int = 0, layer: int = 0, row: int = 0, out: Array | None = None
) -> Array:
    """dx of `dropout_forward` with the same numbers. `out` may be dy."""
    return noise_backward("dropout", dy, dy, rate=rate, seed=seed, step=step, layer=layer, row=row, out=out)
