"""What evenflow computes, in NumPy: every kernel and a whole training step as their textbook formulas.

Read these files to know the semantics; `evenflow.kernels` and the compiled programs are tested against them.
Functions have the names and arguments of the eager kernels. Inputs are promoted to float64; wider types
(`np.longdouble`) stay as they are, so that float64 kernels can be judged too. Results have the promoted type; the
in-place functions (updates, clipping) compute in it and store in the type of their argument. Only clarity counts here.

Arrays are [rows, features]. Kernels (weights) are [inputs, units].
"""

from .activations import *  # noqa: F403
from .ids import *  # noqa: F403
from .layers import *  # noqa: F403
from .learned import *  # noqa: F403
from .losses import *  # noqa: F403
from .metrics import *  # noqa: F403
from .network import Network as Network
from .noise import *  # noqa: F403
from .outputs import *  # noqa: F403
from .penalties import (
    keep_nonnegative as keep_nonnegative,
    limit_norms as limit_norms,
    penalize as penalize,
    penalize_pairs as penalize_pairs,
    soft_threshold as soft_threshold,
)
from .random import normals as normals, random_bits as random_bits, random_words as random_words
from .row_normalization import *  # noqa: F403
from .updates import *  # noqa: F403

__all__ = [
    "Network",
    "activation_backward",
    "activation_forward",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_inference",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "category_encoding",
    "celu",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "clipped_relu",
    "cosine_similarity",
    "dense_backward",
    "dense_bn_act_backward",
    "dense_bn_act_forward",
    "dense_bn_act_inference",
    "dense_forward",
    "discretize",
    "elu",
    "embedding_backward",
    "embedding_forward",
    "exponential",
    "gaussian_nll",
    "gelu",
    "gelu_sigmoid",
    "gelu_tanh",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "hinge",
    "huber",
    "isru",
    "keep_nonnegative",
    "kl_divergence",
    "layer_norm_backward",
    "layer_norm_forward",
    "leaky_relu",
    "learned_backward",
    "learned_forward",
    "learned_swish",
    "limit_norms",
    "linear",
    "lion_step",
    "log_cosh",
    "log_sigmoid",
    "log_softmax",
    "loss_forward_backward",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "metric_sums",
    "mish",
    "moving_average",
    "nadam_step",
    "noise_backward",
    "noise_forward",
    "normals",
    "output_backward",
    "penalize",
    "penalize_pairs",
    "poisson",
    "prelu",
    "quantile",
    "random_bits",
    "random_words",
    "relu",
    "relu6",
    "rms_norm_backward",
    "rms_norm_forward",
    "rmsprop_step",
    "selu",
    "sgd_step",
    "sigmoid",
    "silu",
    "soft_shrink",
    "soft_threshold",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squared_hinge",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]
