"""Layers that give the features of a row another shape."""

from __future__ import annotations

import math

from .base import Layer, Shape


class Flatten(Layer):
    """(rows, a, b, ...) -> (rows, a * b * ...)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)
