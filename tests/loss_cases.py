"""Losses: arguments that suit each, and how large the numbers are that its roundings are parts of."""

from typing import Any

import numpy as np

from evenflow import reference

Array = np.ndarray
LOGITS = {"from_logits": True}
SMOOTHING = {"label_smoothing": 0.1}
KINDS: list[tuple[str, dict[str, Any]]] = [
    *(
        (f"{kind}_crossentropy", {**settings, **smoothing})
        for kind in ("sparse_categorical", "categorical", "binary")
        for settings in (LOGITS, {})
        for smoothing in ({}, SMOOTHING)
    ),
    *(("sparse_categorical_crossentropy", {**settings, "ignore_class": 0}) for settings in (LOGITS, {})),
    *(
        (f"{kind}_focal_crossentropy", {**settings, **parameters})
        for kind in ("categorical", "binary")
        for settings in (LOGITS, {})
        for parameters in ({}, {"alpha": 0.7, "gamma": 1.5, **SMOOTHING}, {"gamma": 0.0})
    ),
    ("binary_focal_crossentropy", {"apply_class_balancing": True, "gamma": 1.0}),
    ("mean_squared_error", {}),
    ("mean_absolute_error", {}),
    ("mean_absolute_percentage_error", {}),
    ("mean_squared_logarithmic_error", {}),
    ("huber", {}),
    ("huber", {"delta": 0.3}),
    ("log_cosh", {}),
    ("poisson", {}),
    ("quantile", {}),
    ("quantile", {"quantiles": [0.1, 0.5, 0.95]}),
    ("gaussian_nll", {}),
    ("gaussian_nll", {"full": True, "epsilon": 0.1}),
    ("hinge", {}),
    ("squared_hinge", {}),
    ("categorical_hinge", {}),
    ("kl_divergence", {}),
    ("cosine_similarity", {}),
]


def outputs_per_target(loss: str, settings: dict[str, Any]) -> int:
    return {"quantile": len(settings.get("quantiles", [0.5])), "gaussian_nll": 2}.get(loss, 1)


def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    """Of a case whose shape is rows and targets."""
    settings = dict(case.settings)
    name, (rows, columns) = settings.pop("loss"), case.shape
    from_logits = settings.get("from_logits", False)
    prediction = 3 * normal(rng, dtype, rows, columns * outputs_per_target(name, settings))
    target = normal(rng, dtype, rows, columns)
    if "crossentropy" in name or name == "kl_divergence":
        target = reference.softmax(target).astype(dtype)
        prediction = prediction if from_logits else reference.softmax(prediction).astype(dtype)
        if "categorical" in name and not from_logits:  # these are normalized
            prediction *= rng.uniform(0.5, 2, (rows, 1)).astype(dtype)
    if name.startswith("binary"):
        target = rng.integers(0, 2, (rows, columns)).astype(dtype) if columns > 2 else target
        prediction = prediction if from_logits else np.clip(prediction, 1e-6, 1 - 1e-6).astype(dtype)
    if name == "categorical_focal_crossentropy" and not from_logits:
        prediction = np.clip(prediction, 0.01, 0.8).astype(dtype)  # 1 - p / sum(p) loses digits where p is most of it
    if name == "sparse_categorical_crossentropy":
        target = rng.integers(0, columns, rows)
    if name in ("poisson", "mean_squared_logarithmic_error"):
        prediction, target = abs(prediction) + dtype.type(0.01), abs(target)
    if "hinge" in name:
        target = np.eye(columns, dtype=dtype)[rng.integers(0, columns, rows)]
    return [name, prediction, target], settings


def summed(terms: int) -> float:
    """As in `cases`."""
    return float(2 + np.sqrt(terms) / 2)


def scales(args: list[Any], settings: dict[str, Any], expected: list[Any], _: float) -> list[Any]:
    """Of the values of rows and of the gradient."""
    name, p, t = args
    rows = len(p)
    if name == "cosine_similarity":
        return _cosine(p, t)
    if "categorical" in name and name.endswith("crossentropy"):
        return (_focal if "focal" in name else _categorical)(p, t, settings, expected)
    if name.startswith("binary"):
        value, slope = _binary(p, t, settings, settings.get("gamma", 2.0) if "focal" in name else 0.0)
    else:
        value, slope = SIZES[name](p, t, **settings)
    columns = t.shape[1]
    total = name in ("kl_divergence", "categorical_hinge")
    divisor = 1 if total else columns if name == "gaussian_nll" else p.shape[1]
    return [(2 + summed(value.shape[1])) * value.sum(axis=1) / divisor, 2 * slope / divisor / rows]


def _squared_logarithms(p: Array, t: Array) -> tuple[Array, Array]:
    a, b = np.log1p(p), np.log1p(t)  # their difference is off by parts of both
    return (a - b) ** 2 + 2 * abs(a - b) * (a + b), 4 * (a + b) / (1 + p)


def _log_cosh(p: Array, t: Array) -> tuple[Array, Array]:
    d = abs(p - t)
    return np.where(d < 1, 4 * np.log(np.cosh(np.minimum(d, 1))), d + 2), 3 * np.tanh(d)


def _gaussian(p: Array, t: Array, full: bool = False, epsilon: float = 1e-6) -> tuple[Array, Array]:
    m, s = np.split(p, 2, axis=1)
    s = np.maximum(s, np.log(epsilon))
    relative = abs(m - t) * np.exp(-s)
    # A float holds the logarithm of epsilon to a part of its size, and so its exponential.
    loose = 1 + abs(s)
    slopes = np.concatenate([2 * loose * relative, 1 + 2 * loose * relative * abs(m - t)], axis=1)
    return abs(s) + loose * relative * abs(m - t) + 1, slopes


def _pinball(p: Array, t: Array, quantiles: Any = (0.5,)) -> tuple[Array, Array]:
    d = np.tile(t, len(quantiles)) - p
    return abs(d), np.ones_like(p)


SIZES: dict[str, Any] = {
    "mean_squared_error": lambda p, t: ((p - t) ** 2, 2 * abs(p - t)),
    "mean_absolute_error": lambda p, t: (abs(p - t), np.ones_like(p)),
    "mean_absolute_percentage_error": lambda p, t: (100 * abs((p - t) / t), 200 / abs(t)),
    "mean_squared_logarithmic_error": _squared_logarithms,
    "huber": lambda p, t, delta=1.0: (
        abs(p - t) * np.minimum(abs(p - t), delta) + delta**2,
        np.full(p.shape, 2 * delta),
    ),
    "log_cosh": _log_cosh,
    "poisson": lambda p, t: (p + t * abs(np.log(p)) + t, 1 + 2 * t / p),
    "quantile": _pinball,
    "gaussian_nll": _gaussian,
    "hinge": lambda p, t: (1 + abs(p), np.ones_like(p)),
    "squared_hinge": lambda p, t: ((1 + abs(p)) ** 2, 2 * (1 + abs(p))),
    "categorical_hinge": lambda p, t: (1 / p.shape[1] + abs(p), np.ones_like(p)),
    "kl_divergence": lambda p, t: (t * (1 + abs(np.log(t / p))), 2 * t / p),
}


def _cosine(p: Array, t: Array) -> list[Any]:
    by_p, by_t = (1 / np.sqrt((a * a).sum(axis=1, keepdims=True)) for a in (p, t))
    factor = 4 + 2 * summed(p.shape[1])
    overlap = (abs(p * t)).sum(axis=1, keepdims=True) * by_p * by_t
    slope = factor * (abs(t) * by_t + overlap * abs(p) * by_p) * by_p
    return [factor * overlap[:, 0], slope / len(p)]


def _binary(p: Array, t: Array, settings: dict[str, Any], gamma: float) -> tuple[Array, Array]:
    smoothing = settings.get("label_smoothing", 0.0)
    t = t * (1 - smoothing) + smoothing / 2
    if settings.get("from_logits"):
        value, slope = reference.softplus(p) + abs(t * p), reference.sigmoid(p) + t
        u = t * reference.sigmoid(-p) + (1 - t) * reference.sigmoid(p)
        fall = reference.sigmoid(p) * reference.sigmoid(-p)
    else:  # 1 - p and its logarithm are rounded even where t is 1
        value, slope = 2 - t * np.log(p) - (1 - t) * np.log1p(-p), t / p + (1 - t) / (1 - p)
        slope += (smoothing > 0) * t / (1 - p)  # p - t is exact only where t is 0 or 1
        u, fall = t * (1 - p) + (1 - t) * p, np.ones_like(p)
    loose = 1 + gamma * (1 + abs(np.log(u)))  # of a power, by way of the logarithm
    damped = u**gamma * slope + gamma * u ** (gamma - 1) * fall * value
    return loose * u**gamma * value, 2 * loose * damped


def _soft(t: Array, units: int, settings: dict[str, Any]) -> Array:
    smoothing = settings.get("label_smoothing", 0.0)
    t = np.eye(units)[t] if t.ndim == 1 else t
    return np.asarray(t * (1 - smoothing) + smoothing / units)


def _categorical(z: Array, t: Array, settings: dict[str, Any], expected: list[Any]) -> list[Any]:
    rows, units = z.shape
    t = _soft(t, units, settings)
    if not settings.get("from_logits"):
        # The sum that normalizes is rounded; so is the limit 1 - 1e-7, by half an eps.
        relative = 4 + 2 * summed(units)
        whole, weight = z.sum(axis=1, keepdims=True), t.sum(axis=1, keepdims=True)
        return [relative * (expected[0] + weight[:, 0]), relative * (t / z + weight / whole) / rows]
    top = z.max(axis=1, keepdims=True)
    relative = 3 + (top - z) / 2 + summed(units)
    below = (t * (abs(top) + abs(z) + np.log(units) + 2 + summed(units))).sum(axis=1)
    return [2 * below, (reference.softmax(z) * relative + 2 * t) / rows]


def _focal(z: Array, t: Array, settings: dict[str, Any], expected: list[Any]) -> list[Any]:
    rows, units = z.shape
    t = _soft(t, units, settings)
    alpha, gamma = settings.get("alpha", 0.25), settings.get("gamma", 2.0)
    whole = z.sum(axis=1, keepdims=True)
    q = reference.softmax(z) if settings.get("from_logits") else z / whole
    q = np.clip(q, 1e-7, 1 - 1e-7)
    span = z.max(axis=1, keepdims=True) - z if settings.get("from_logits") else 0 * z
    relative = 4 + 2 * summed(units) + span  # of q, and so of 1 - q by the ratio of the two
    rest = 1 - q
    loose = relative * (1 + (1 + gamma) * (q / rest + abs(np.log(rest))))
    size = alpha * t * rest**gamma * (abs(np.log(q)) + 1)
    slope = alpha * t * (rest**gamma + gamma * rest ** (gamma - 1) * q * (1 + abs(np.log(q))))  # times q
    back = (loose * slope + q * (loose * slope).sum(axis=1, keepdims=True)) * 2
    if not settings.get("from_logits"):
        back = back / q / whole
    return [summed(units) * (loose * size).sum(axis=1), back / rows]
