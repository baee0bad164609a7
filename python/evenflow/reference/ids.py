"""Embeddings, and columns of categories: ids from numbers, features from ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, wide


def embedding_forward(ids: ArrayLike, table: ArrayLike) -> Array:
    """The rows of the table [input_dim, columns] that ids [rows, ids] name, side by side: y [rows, ids * columns]."""
    ids, table = np.asarray(ids).astype(np.int64), wide(table)
    return np.asarray(table[ids].reshape(len(ids), -1))


def embedding_backward(dy: ArrayLike, ids: ArrayLike, rows: int) -> Array:
    """The gradient of a table of so many rows: each is the sum of dy wherever an id names it."""
    ids, dy = np.asarray(ids).astype(np.int64), wide(dy)
    columns = dy.shape[1] // ids.shape[1]
    dtable = np.zeros((rows, columns), dy.dtype)
    np.add.at(dtable, ids.ravel(), dy.reshape(-1, columns))
    return dtable


def category_encoding(ids: ArrayLike, tokens: int, encoding: str) -> Array:
    """Ids [rows, ids] as features. one_hot: a one for each id, [rows, ids * tokens]; multi_hot: a one for each token
    among a row's ids, [rows, tokens]; count: how often it is among them. The id `tokens` stands for nothing."""
    ones = np.eye(tokens + 1)[np.asarray(ids).astype(np.int64)][..., :tokens]
    if encoding == "one_hot":
        return ones.reshape(len(ones), -1)
    return np.asarray(ones.max(axis=1) if encoding == "multi_hot" else ones.sum(axis=1))


def discretize(x: ArrayLike, boundaries: Sequence[float]) -> Array:
    """The number of boundaries that are at most x."""
    return wide(np.digitize(wide(x), boundaries))
