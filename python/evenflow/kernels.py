"""Eager kernels: NumPy in, NumPy out, for embedding in other trainers.

They take C-ordered float32 or float64 arrays, convert nothing, and compute the same bits as a model's program on the
same instruction set. `evenflow.reference` has the same names in float64 NumPy: the formulas, to be read.

=========================  =============================================================================
dense_forward              y = x w + b; x [batch, inputs], w [inputs, units], b [units] or None
dense_backward             dx = dy w^T, dw = x^T dy, db = sum of dy over the batch
embedding_forward          the rows of table [input_dim, columns] that ids [batch, ids] name, side by side
embedding_backward         dtable [rows, columns]: for each row the sum of dy wherever an id names it
batch_norm_forward         y = gamma (x - mean) / sqrt(variance + epsilon) + beta, statistics of the batch
batch_norm_inference       the same with given statistics
batch_norm_backward        dx, dgamma, dbeta through the batch's statistics
layer_norm_forward         the same with statistics of each row
layer_norm_backward        dx, dgamma, dbeta, from x
rms_norm_forward           y = scale x / sqrt(mean of the row's x^2 + epsilon)
rms_norm_backward          dx, dscale, from x
activation_forward         y = f(x) by name; hyper-parameters by keyword
activation_backward        dx = dy f'(x), from x and y
learned_forward            y = f(x) of an activation with one parameter for each feature: "prelu", "learned_swish"
learned_backward           dx and the parameter's gradient, summed over the batch
softmax                    exp(x) / sum exp(x), by row; log_softmax, its logarithm; sparsemax, the nearest probabilities
noise_forward              y of a random layer by name, with the numbers of `seed`, `step`, `layer` and first `row`
noise_backward             dx with the same numbers, from y
random_words               the four words of Philox 4x32-10 for the counters (c0, c1 + row, c2, c3)
loss_forward_backward      each row's loss; the gradient of their mean in the prediction; hyper-parameters by keyword
metric_sums                a metric's state over these rows, counted as in training; `metrics` makes results of states
sgd_step, adam_step, nadam_step, adamax_step, adagrad_step, adadelta_step, rmsprop_step, lion_step
                           update rules, in place, with decoupled weight_decay; `optimizers` has their formulas
clip_by_value              g limited to [-limit, limit], in place
clip_by_norm               g shrunk to an l2 norm of at most limit, in place; returns the norm before
clip_by_global_norm        the same for a list of arrays and their common norm
penalize                   l1 sum |p| + l2 sum p^2; its gradient is added to g, where that is given
soft_threshold             p = sign(p) max(|p| - threshold, 0), in place
keep_nonnegative           p = max(p, 0), in place
limit_norms                each column of w [inputs, units], or a vector, scaled to a norm within limits, in place
=========================  =============================================================================

Errors: ValueError or TypeError that name the function, the argument, what was expected and what was received; nothing
is written before every argument is checked.
"""

from ._core import (
    activation_backward,
    activation_forward,
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
    nadam_step,
    noise_backward,
    noise_forward,
    penalize,
    random_words,
    rms_norm_backward,
    rms_norm_forward,
    rmsprop_step,
    sgd_step,
    soft_threshold,
    softmax,
    sparsemax,
)

__all__ = [
    "activation_backward",
    "activation_forward",
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
    "dense_forward",
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
    "nadam_step",
    "noise_backward",
    "noise_forward",
    "penalize",
    "random_words",
    "rms_norm_backward",
    "rms_norm_forward",
    "rmsprop_step",
    "sgd_step",
    "soft_threshold",
    "softmax",
    "sparsemax",
]
