"""The fused dense layer as cases: its arguments, and what its errors may be."""

from typing import Any

import numpy as np
from roundings import normal, summed

from evenflow import reference

Array = np.ndarray
EPSILON = 1e-3
STEEPEST = 1.2  # no slope of these activations is larger, and no second derivative
SETTINGS: list[dict[str, Any]] = [
    {"activation": "elu", "norm": "batch", "bias": True},
    {"activation": "silu", "norm": "given", "bias": False},
    {"activation": "tanh", "norm": None, "bias": True, "transposed": True},
    {"activation": "gelu", "norm": "batch", "bias": True, "transposed": True, "rate": 0.3},
    {"activation": "linear", "norm": None, "bias": False, "rate": 0.25},
]


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    rows, inputs, units = case.shape
    settings = dict(case.settings)
    norm, bias = settings.pop("norm"), settings.pop("bias")
    keywords = {"epsilon": EPSILON, **settings}
    if settings.get("rate"):
        keywords |= {"seed": 7, "step": 2**33 + 1, "layer": 3, "row": 5}
    x, w = normal(rng, dtype, rows, inputs), normal(rng, dtype, inputs, units) / np.sqrt(dtype.type(inputs))
    b = normal(rng, dtype, units) if bias else None
    normalization: list[Any] = [None] * 4
    if norm is not None:
        normalization[:2] = [1 + normal(rng, dtype, units) / 4, normal(rng, dtype, units)]
    z = reference.dense_forward(x, w, b).astype(dtype)
    if norm == "given" or (norm == "batch" and case.kernel.endswith("backward")):
        batch = reference.batch_norm_forward(z, *normalization[:2], epsilon=EPSILON)[1:]
        own = [normal(rng, dtype, units), 1 + normal(rng, dtype, units) ** 2]
        normalization[2:] = own if norm == "given" else [s.astype(dtype) for s in batch]
    w = np.ascontiguousarray(w.T) if settings.get("transposed") else w
    if not case.kernel.endswith("backward"):
        return [x, w, b, *normalization], keywords
    keywords["training"] = norm != "given"
    return [normal(rng, dtype, rows, units), x, w, z, *normalization], keywords


def spread(z: Array, zs: Array, normalization: list[Any], batch: bool, eps: float) -> tuple[Array, Array, list[Array]]:
    """The error of h = batch_norm(z) from that of z, its slope in z, and the errors of the batch's statistics."""
    gamma, beta, mean, variance = normalization
    if gamma is None:
        return zs, np.ones_like(z), []
    statistics = []
    if batch:
        mean, variance = z.mean(axis=0), z.var(axis=0)
        factor = summed(len(z))
        shift = factor * abs(z).mean(axis=0) + zs.mean(axis=0)
        square = (2 + factor) * variance + eps * shift**2 + 2 * (abs(z - mean) * zs).mean(axis=0)
        statistics = [shift, square + eps * (zs**2).mean(axis=0)]
    scale = abs(gamma) / np.sqrt(variance + EPSILON)
    hs = scale * (zs + 4 * (abs(z) + abs(mean))) + 4 * abs(beta)
    if batch:
        hs = hs + scale * (statistics[0] + abs(z - mean) * (2 + statistics[1] / (variance + EPSILON)))
    return hs, np.broadcast_to(scale, z.shape), statistics


def forward_scales(args: list[Any], keywords: Any, expected: list[Any], eps: float) -> list[Any]:
    x, w, b, *normalization = args
    y, z = expected[:2]
    magnitudes = abs(x) @ (abs(w).T if keywords.get("transposed") else abs(w))
    zs = 4 * (magnitudes + (0 if b is None else abs(b)))
    hs, _, statistics = spread(z, zs, normalization, normalization[2] is None, eps)
    ys = (STEEPEST * hs + 4 * (abs(y) + 1)) / (1 - keywords.get("rate", 0.0))
    return [ys, zs, *statistics]


def backward_scales(args: list[Any], keywords: Any, expected: list[Any], eps: float) -> list[Any]:
    dy, x, w, z, gamma, beta, mean, variance = args
    g = abs(dy) / (1 - keywords.get("rate", 0.0))
    hs, scale, _ = spread(z, 0 * z, [gamma, beta, mean, variance], False, eps)
    gs, factor = g * STEEPEST * (6 + hs), summed(len(dy))
    g = g * STEEPEST
    sums = []
    dz, ds = g, gs
    if gamma is not None:
        xhat = abs(z - mean) / np.sqrt(variance + EPSILON)
        dgamma, dbeta = (gs + (2 + factor) * g) * xhat, gs + factor * g
        sums = [(dgamma + 4 * g * (abs(z) + abs(mean)) * scale / abs(gamma)).sum(axis=0), dbeta.sum(axis=0)]
        dz, ds = scale * g, scale * (gs + 4 * g)
        if keywords["training"]:
            mean_g, product = g.mean(axis=0), (g * xhat).mean(axis=0)
            off = (abs(z) + abs(mean)) * scale / abs(gamma)
            dz = scale * (g + mean_g + xhat * product)
            ds = scale * (4 * g + gs + (4 + factor) * (mean_g + xhat * product) + dbeta.mean(axis=0))
            ds = ds + scale * (xhat * dgamma.mean(axis=0) + 4 * off * product + xhat * 4 * (g * off).mean(axis=0))
    columns = abs(w) if keywords.get("transposed") else abs(w).T
    dw = 4 * abs(x).T @ dz + abs(x).T @ ds
    dx = 4 * dz @ columns + ds @ columns
    return [dx, dw.T if keywords.get("transposed") else dw, (factor * dz + ds).sum(axis=0), *sums]
