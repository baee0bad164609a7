"""A door to JAX: the fused layer and the update rules as functions that `jit`, `grad` and `lax.scan` take, on the CPU.

fused_dense            y = dropout(f(x w + b)), in one native call each way
fused_dense_bn         y = dropout(f(batch_norm(x w + b))), and the moving statistics after it
sgd, adam, adamw, nadam, adamax, adagrad, adadelta, rmsprop, lion
                       optimizers with optax's arguments, defaults and arithmetic: `init`, `apply`, `update`
clip_by_global_norm    a tree of gradients, with a norm of at most so much

They are functions without state and see whatever XLA gives them on the CPU: float32, and float64 with JAX's
`jax_enable_x64`. Other devices are refused by XLA.

Needs JAX 0.5 or newer: pip install 'evenflow[jax]'.
"""

from __future__ import annotations

try:
    import jax
    import jax.ffi
except ImportError as error:
    raise ModuleNotFoundError(
        "evenflow.jax: JAX 0.5 or newer is not installed; install it with: pip install 'evenflow[jax]'"
    ) from error
del jax

from .layers import fused_dense, fused_dense_bn  # noqa: E402
from .optimizers import (  # noqa: E402
    OptimizerState,
    UpdateRule,
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    clip_by_global_norm,
    lion,
    nadam,
    rmsprop,
    sgd,
)

__all__ = [
    "OptimizerState",
    "UpdateRule",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "clip_by_global_norm",
    "fused_dense",
    "fused_dense_bn",
    "lion",
    "nadam",
    "rmsprop",
    "sgd",
]
