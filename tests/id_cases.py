"""Arguments and error scales of the kernels of embeddings; `cases` says what a scale is."""

from typing import Any

import numpy as np
from roundings import normal, summed

COLUMNS = (1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 40, 100)


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    rows, count, columns = case.shape
    table_rows = case.settings["input_dim"]
    ids = rng.integers(0, table_rows, (rows, count))
    if case.kernel == "embedding_forward":
        return [ids, normal(rng, dtype, table_rows, columns)], {}
    return [normal(rng, dtype, rows, count * columns), ids, table_rows], {}


def forward_scales(args: list[Any], _: Any, expected: list[Any], __: float) -> list[Any]:
    return [0 * expected[0]]  # not a bit may change


def backward_scales(args: list[Any], *_: Any) -> list[Any]:
    dy, ids, rows = args
    total = np.zeros((rows, dy.shape[1] // ids.shape[1]))
    np.add.at(total, ids.ravel(), abs(dy).reshape(ids.size, -1))
    terms = np.bincount(ids.ravel(), minlength=rows)
    return [np.array([summed(int(n)) if n > 1 else 0 for n in terms])[:, None] * total]


SCALES = {"embedding_forward": forward_scales, "embedding_backward": backward_scales}
