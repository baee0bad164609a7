"""What PyTorch calls each activation of the core: one table for all tests that set the two side by side."""

from collections.abc import Callable
from typing import Any


def counterparts(torch: Any) -> dict[str, Callable[..., Any]]:
    """By the core's names and with its hyper-parameters, what computes the same in PyTorch's operations."""
    f = torch.nn.functional
    ramp = torch.nn.functional.hardtanh
    return {
        "linear": lambda x: x * 1,
        "relu": f.relu,
        "leaky_relu": lambda x, negative_slope=0.2: f.leaky_relu(x, negative_slope),
        "relu6": f.relu6,
        "clipped_relu": lambda x, max_value=6.0, negative_slope=0.0, threshold=0.0: torch.where(
            x > threshold, torch.clamp(x, max=max_value), negative_slope * (x - threshold)
        ),
        "threshold": lambda x, threshold=0.0, default_value=0.0: f.threshold(x, threshold, default_value),
        "elu": lambda x, alpha=1.0: f.elu(x, alpha),
        "celu": lambda x, alpha=1.0: alpha * f.celu(x / alpha),  # its own alpha is rounded to float32 in slopes
        "selu": f.selu,
        "gelu": f.gelu,
        "gelu_tanh": lambda x: f.gelu(x, approximate="tanh"),
        "gelu_sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
        "silu": f.silu,
        "swish": lambda x, beta=1.0: x * torch.sigmoid(beta * x),
        "hard_silu": f.hardswish,
        "mish": f.mish,
        "softplus": lambda x: f.softplus(x, threshold=1000),
        "squareplus": lambda x, b=4.0: (x + torch.sqrt(x * x + b)) / 2,
        "sparse_plus": lambda x: torch.where(x < 1, ramp((x + 1) / 2, 0.0, 1.0) ** 2, x),
        "sigmoid": torch.sigmoid,
        "hard_sigmoid": lambda x: ramp(x / 6 + 0.5, 0.0, 1.0),  # the slope of hardsigmoid is 1/6 in float32
        "sparse_sigmoid": lambda x: ramp((x + 1) / 2, 0.0, 1.0),
        "log_sigmoid": f.logsigmoid,
        "tanh": torch.tanh,
        "hard_tanh": f.hardtanh,
        "tanh_shrink": f.tanhshrink,
        "softsign": f.softsign,
        "isru": lambda x, alpha=1.0: x / torch.sqrt(1 + alpha * x * x),
        "soft_shrink": lambda x, threshold=0.5: f.softshrink(x, threshold),
        "hard_shrink": lambda x, threshold=0.5: f.hardshrink(x, threshold),
        "exponential": torch.exp,
    }
