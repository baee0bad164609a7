"""Rows of `metric_sums` for cases.py: every kind of metric, its arguments, and what its errors may be."""

from typing import Any

import numpy as np

from evenflow import reference

Array = np.ndarray
QUARTERS = [0.25, 0.5, 0.75]  # which every type holds exactly
KINDS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in reference.ROW_VALUES if not any(word in kind for word in ("top_k", "interval"))),
    {"kind": "binary_accuracy", "threshold": 0.25},
    {"kind": "top_k_categorical_accuracy", "k": 3},
    {"kind": "sparse_top_k_categorical_accuracy", "k": 3},
    *(
        {"kind": f"{kind}_crossentropy", "from_logits": True}
        for kind in ("binary", "categorical", "sparse_categorical")
    ),
    {"kind": "binary_crossentropy", "label_smoothing": 0.25},
    {"kind": "categorical_crossentropy", "label_smoothing": 0.25},
    {"kind": "r2_sums"},
    {"kind": "class_sums"},
    {"kind": "class_sums", "threshold": 0.25},
    {"kind": "confusion_matrix"},
    {"kind": "confusion_matrix", "classes": 2, "ignore_class": 1},
    {"kind": "confusion_matrix", "classes": 3, "target_class": "number", "prediction_class": "number"},
    {"kind": "confusion_matrix", "classes": 2, "target_class": "number", "prediction_class": "from", "threshold": 0.25},
    {"kind": "confusion_matrix", "target_class": "above", "prediction_class": "above", "ignore_class": 0},
    {"kind": "pinball", "quantiles": [0.1, 0.5, 0.75], "blocks": 3},
    {"kind": "interval_coverage", "blocks": 3, "lower": 0, "upper": 2},
    {"kind": "interval_width", "blocks": 3, "lower": 2, "upper": 1},
    {"kind": "normal_coverage", "blocks": 2, "lower": -1.5, "upper": 1.0},
    {"kind": "normal_width", "blocks": 2, "lower": -1.5, "upper": 1.0},
    {"kind": "mean_absolute_error", "blocks": 3, "block": 1},
    {"kind": "r2_sums", "blocks": 2, "block": 1},
    {"kind": "predictions"},
    {"kind": "threshold_counts"},
    {"kind": "threshold_counts", "thresholds": QUARTERS},
    {"kind": "threshold_counts", "thresholds": QUARTERS, "k": 3},
    {"kind": "threshold_counts", "thresholds": QUARTERS, "class_id": 2, "k": 2},
    {"kind": "threshold_counts", "thresholds": [0.0, *QUARTERS, 0.75, 1.0], "multi_label": True},
]
EXACT = ("class_sums", "confusion_matrix", "threshold_counts")
OF_SIGN = ("hinge", "squared_hinge")
OF_CHANCES = ("accuracy", "class", "matrix", "counts", "entropy", "divergence", "categorical")


def fits(metric: dict[str, Any], units: int) -> bool:
    """Whether a metric can be computed of so many outputs."""
    if metric["kind"].startswith("normal") and "blocks" not in metric:
        return False
    if units % metric.get("blocks", 1):
        return False
    if "correlation" in metric["kind"]:
        return units > 2
    return units >= max(metric.get("k", 1), metric.get("class_id", 0) + 1, 2 if "categorical" in metric["kind"] else 1)


def arguments(metric: dict[str, Any], rows: int, units: int, rng: np.random.Generator, dtype: Any) -> list[Any]:
    """The metric, predictions and targets that it is for."""
    kind = metric["kind"]
    p, t = rng.standard_normal((2, rows, units)).astype(dtype)
    if any(word in kind for word in OF_CHANCES):
        t = rng.integers(0, 2, (rows, units)).astype(dtype)
        if not metric.get("from_logits"):
            p = ((rng.integers(0, 32, (rows, units)) + 0.5) / 32).astype(dtype)  # some are the same
    if kind == "accuracy":
        p = np.round(p).astype(dtype)
    if "categorical" in kind:
        t = rng.integers(0, units, rows)
        t = t if kind.startswith("sparse") else np.eye(units, dtype=dtype)[t]
    if kind in OF_SIGN:
        t = rng.integers(-1, 2, (rows, units)).astype(dtype)
    if kind in ("poisson", "mean_squared_logarithmic_error"):
        p, t = (np.abs(a) + dtype.type(0.1) for a in (p, t))
    if metric.get("target_class") == "number":
        t = rng.integers(-1, 5, (rows, units)).astype(dtype)
        if metric["prediction_class"] == "number":
            p = (rng.integers(-6, 14, (rows, units)) / 4).astype(dtype)
    if "blocks" in metric:
        t = np.ascontiguousarray(t[:, : units // metric["blocks"]])
    return [metric, p, t]


def scales(args: list[Any], keywords: Any, expected: list[Any], eps: float) -> list[Any]:
    """What is counted is exact; sums in float64 round as such; the rest are a row's values, rounded as their terms."""
    metric, p, t = args
    kind, units = metric["kind"], p.shape[1]
    if kind in EXACT:
        return [0 * expected[0]]
    in_float64 = len(p) * np.finfo(np.float64).eps / eps
    if "accuracy" in kind:
        return [in_float64 * len(p)]
    if kind in ("r2_sums", "predictions"):
        return [in_float64 * abs(reference.metric_sums(metric, -abs(p), abs(t)))]
    if kind.endswith("coverage"):  # of counts over counts
        return [in_float64 * len(p)]
    if "blocks" in metric:
        p, d = p[:, : t.shape[1]], abs(p).max(axis=1, keepdims=True) + abs(t)
    else:
        d = abs(p - t) if t.shape == p.shape else p
    if kind.startswith("sparse"):
        t = np.eye(units, dtype=p.dtype)[t]
    sums = 4 + np.sqrt(units)
    terms = {
        "mean_squared_logarithmic_error": lambda: np.log(1 + p + t) * (np.log(1 + p + t) + 1),
        "log_cosh": lambda: d + 1,
        "hinge": lambda: 1 + abs(p),
        "squared_hinge": lambda: (1 + abs(p)) ** 2,
        "poisson": lambda: p + t * (1 + abs(np.log(p))),
        "categorical_hinge": lambda: units * (1 + abs(p)),
        "pearson_correlation": lambda: 8 * units * np.ones_like(p),
        "concordance_correlation": lambda: 8 * units * np.ones_like(p),
        "pinball": lambda: d + abs(t),
        "interval_width": lambda: d,
        "normal_width": lambda: np.exp(d),
        "cosine_similarity": lambda: units * np.ones_like(p),
        "kl_divergence": lambda: units * (1 + abs(np.log(np.clip(p, 1e-7, 1)))),
        "mean_absolute_percentage_error": lambda: 100 * (d / np.maximum(abs(t), 1e-7) + 1),
    }
    if kind in terms:
        return [2 * sums * terms[kind]().mean(axis=1).sum()]
    if "entropy" in kind:
        logs = abs(p) + abs(np.log(abs(p))) + abs(np.log(abs(1 - p))) + np.log(units) + 2
        rows = logs.mean(axis=1) if kind.startswith("binary") else logs.max(axis=1) + abs(np.log(abs(p).sum(axis=1)))
        return [2 * sums * rows.sum()]
    return [sums * expected[0]]  # all terms have one sign
