"""Embedding: a trained row of numbers for each category."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import constraints, errors, initializers, regularizers
from ..common.registry import describe
from .base import Layer, Shape, assign_all
from .variables import Variable

MOST_IDS = {"float32": 1 << 24, "float64": 1 << 30}  # so many are told apart on the way through the core


class Embedding(Layer):
    """Row `id` of the table `embeddings` [input_dim, output_dim] for each id: [rows, ids] -> [rows, ids, output_dim].

    Ids are whole numbers from 0 to input_dim - 1, of any integer or float dtype, from an `Input` of their own or from a
    `Discretization`; others are refused, with their place, before anything is trained. `Flatten()` makes rows of them
    that a Dense layer takes; for a table of entities with other inputs see docs/guide/columns.md. Guo and Berkhahn
    2016.

    The table starts as `embeddings_initializer`, or as `weights`, an array of its shape; "uniform" is -0.05 to 0.05.
    `embeddings_regularizer` and `embeddings_constraint` are those of `evenflow.regularizers` and
    `evenflow.constraints`, over the whole table: the norm is that of a column, with axis=1 that of a row. Every
    optimizer does to every row what it would do to a kernel, also where no id named the row: with momentum such rows go
    on. Plain SGD touches only rows that were named, with the same result.
    """

    embeddings: Variable

    ARGUMENTS = (
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "embeddings_regularizer",
        "activity_regularizer",
        "embeddings_constraint",
        "mask_zero",
        "weights",
    )
    READS_IDS = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: object = "uniform",
        embeddings_regularizer: object = None,
        embeddings_constraint: object = None,
        mask_zero: bool = False,
        weights: object = None,
        **options: Any,
    ) -> None:
        where = "Embedding"
        self.input_dim = errors.integer(where, "input_dim", input_dim, at_least=1)
        self.output_dim = errors.integer(where, "output_dim", output_dim, at_least=1)
        self.embeddings_initializer = initializers.get(embeddings_initializer, where, "embeddings_initializer")
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer, where, "embeddings_regularizer")
        self.embeddings_constraint = constraints.get(embeddings_constraint, where, "embeddings_constraint")
        if errors.boolean(where, "mask_zero", mask_zero):
            expected = "False: masks are for sequences of different lengths, and no layer here reads one"
            raise errors.wrong_value(where, "mask_zero", expected, mask_zero)
        self.mask_zero = False
        super().__init__(**options)
        self._initial = None if weights is None else self._read_table(weights)

    def _read_table(self, weights: object) -> Any:
        """`weights` as an array: the table itself, or a list of nothing else, as older versions of Keras have it."""
        given = weights[0] if isinstance(weights, (list, tuple)) and len(weights) == 1 else weights
        table = np.array(given)  # the caller's may change before the layer has variables
        if table.dtype.kind not in "fiub":
            raise errors.wrong_kind("Embedding", "weights", "an array of real numbers", f"dtype {table.dtype}")
        if table.shape != (self.input_dim, self.output_dim):
            raise errors.wrong_shape("Embedding", "weights", (self.input_dim, self.output_dim), table.shape)
        return table

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        if self.input_dim > MOST_IDS[dtype]:
            raise errors.wrong_value(self.label, "input_dim", f"at most {MOST_IDS[dtype]:,} in {dtype}", self.input_dim)
        self._add("embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer, dtype)
        if self._initial is not None:
            assign_all(f"{self.label} weights", self.variables, [self._initial])
            self._initial = None

    def start_like(self, other: Embedding) -> None:
        """Start from the table that the other one is to start from, which its configuration does not have."""
        self._initial = other._initial

    def followed_by(self, activation: str) -> str:
        return "linear"

    def spec(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": "embedding",
                "name": self.name,
                "input_dim": self.input_dim,
                "units": self.output_dim,
                "trainable": self.trainable,
                **regularizers.spec_of(self, ("embeddings",)),
            }
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": describe(self.embeddings_initializer),
            **regularizers.config_of(self, ("embeddings",)),
            "mask_zero": self.mask_zero,
        }
