"""Random layers. `seed`, `step`, `layer` and `row`, the number of the first row, say which random numbers they draw.

`groups`: features of one group share a number, that of the feature with the group's number; `one_row`: all rows have
the numbers of row 0. Only of layers that decide by 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import SELU_ALPHA, SELU_SCALE
from .arrays import Array, wide
from .random import normals, random_bits

__all__ = ["noise_backward", "noise_forward"]

DEFAULTS = {
    "dropout": {"rate": 0.5},
    "alpha_dropout": {"rate": 0.5},
    "gaussian_noise": {"stddev": 1.0},
    "gaussian_dropout": {"rate": 0.5},
    "rrelu": {"lower": 1 / 8, "upper": 1 / 3},
}


def noise_forward(
    name: str,
    x: ArrayLike,
    *,
    seed: int,
    step: int = 0,
    layer: int = 0,
    row: int = 0,
    groups: Sequence[int] | None = None,
    one_row: bool = False,
    **given: float,
) -> Array:
    """y of a random layer of [rows, features].

    dropout           x / (1 - rate), or 0 with probability rate
    alpha_dropout     a x + b, x replaced by SELU's limit alpha' = -1.7581 with probability rate;
                      a = ((1 - rate) (1 + rate alpha'^2))^(-1/2), b = -a alpha' rate
    gaussian_noise    x + stddev z, z normal
    gaussian_dropout  x (1 + sqrt(rate / (1 - rate)) z)
    rrelu             x where x > 0, else slope x, slope uniform from lower to upper

    The core decides by 16 bits, so with the probability round(rate 2^16) / 2^16 and a slope of 2^16 values.
    """
    place: dict[str, Any] = {
        "seed": seed,
        "step": step,
        "layer": layer,
        "row": row,
        "groups": groups,
        "one_row": one_row,
    }
    x, drawn = wide(x), _drawn(name, np.shape(x), given, **place)
    if name == "dropout":
        return np.asarray(np.where(drawn, 0, x / (1 - given.get("rate", 0.5))))
    if name == "alpha_dropout":
        a, b = alpha_dropout_affine(given.get("rate", 0.5))
        return a * np.where(drawn, -SELU_SCALE * SELU_ALPHA, x) + b
    if name == "gaussian_noise":
        return x + drawn
    if name == "gaussian_dropout":
        return np.asarray(x * (1 + drawn))
    return np.asarray(np.where(x > 0, x, drawn * x))


def without_noise(name: str, x: ArrayLike, **given: float) -> Array:
    """The layer at inference: x, but for rrelu, whose slope is the mean one."""
    x = wide(x)
    if name != "rrelu":
        return x
    settings = {**DEFAULTS[name], **given}
    return np.asarray(np.where(x > 0, x, (settings["lower"] + settings["upper"]) / 2 * x))


def noise_backward(
    name: str,
    dy: ArrayLike,
    y: ArrayLike,
    *,
    seed: int,
    step: int = 0,
    layer: int = 0,
    row: int = 0,
    groups: Sequence[int] | None = None,
    one_row: bool = False,
    **given: float,
) -> Array:
    """dx of `noise_forward` with the same random numbers; y is its result."""
    place: dict[str, Any] = {
        "seed": seed,
        "step": step,
        "layer": layer,
        "row": row,
        "groups": groups,
        "one_row": one_row,
    }
    dy, drawn = wide(dy), _drawn(name, np.shape(dy), given, **place)
    if name == "dropout":
        return np.asarray(np.where(drawn, 0, dy / (1 - given.get("rate", 0.5))))
    if name == "alpha_dropout":
        return np.asarray(np.where(drawn, 0, alpha_dropout_affine(given.get("rate", 0.5))[0] * dy))
    if name == "gaussian_noise":
        return dy
    if name == "gaussian_dropout":
        return np.asarray(dy * (1 + drawn))
    return np.asarray(np.where(np.asarray(y) > 0, dy, drawn * dy))


def alpha_dropout_affine(rate: float) -> tuple[float, float]:
    """The factor and the offset that keep mean 0 and variance 1."""
    limit = -SELU_SCALE * SELU_ALPHA
    a = float(((1 - rate) * (1 + rate * limit**2)) ** -0.5)
    return a, -a * limit * rate


def _drawn(
    name: str,
    shape: tuple[int, ...],
    given: dict[str, float],
    groups: Sequence[int] | None,
    one_row: bool,
    **place: Any,
) -> Array:
    """What is random: where to drop, the slope, or the normal deviation."""
    settings = {**DEFAULTS[name], **given}
    if name.startswith("gaussian"):
        rate = settings.get("rate", 0.0)
        deviation = settings["stddev"] if name == "gaussian_noise" else np.sqrt(rate / (1 - rate))
        return np.asarray(deviation * normals(random_bits(shape, 32, **place)))
    rows, features = shape if groups is None else (shape[0], max(groups) + 1)
    bits = random_bits((1 if one_row else rows, features), 16, **place | ({"row": 0} if one_row else {})) + 32768
    if groups is not None:
        bits = bits[:, list(groups)]
    if name == "rrelu":
        return np.asarray(settings["lower"] + (settings["upper"] - settings["lower"]) * (bits + 0.5) / 65536)
    return bits < min(int(settings["rate"] * 65536 + 0.5), 65535)
