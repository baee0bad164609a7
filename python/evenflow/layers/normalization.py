"""Layers that normalize features: by statistics of the batch, or by those of data seen before."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import constraints, errors, initializers, regularizers
from ..common.registry import describe
from ..data import arrays
from ..data.moments import Moments
from . import axes
from .base import Layer, Shape
from .variables import Variable

BLOCK = 1 << 22  # elements that `adapt` looks at together


class BatchNormalization(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, per feature. Ioffe and Szegedy 2015.

    Training uses the batch's mean and (biased) variance and moves `moving_mean` and `moving_variance` towards them:
    moving = momentum * moving + (1 - momentum) * batch. Inference, and a frozen layer (`trainable=False`), use the
    moving ones. `momentum` close to 1: 0.9, 0.99, 0.999; more nines for larger data and smaller batches.

    axis: of which each index has a mean, a variance, a gamma and a beta of its own, taken over the batch and all other
    axes; or a list of axes. Rows of 28 x 28, before Flatten: -1 gives 28 (a column of pixels each), [1, 2] gives
    784. The variables have the shape of these axes: (28,), (28, 28).
    unbiased_variance: whether the moving variance averages m / (m - 1) times the batch's, m being the number of values
    behind it, as PyTorch's does.

    Before or after the activation: try both; before it the Dense layer needs no bias (`use_bias=False`). As the first
    layer it stands in for a StandardScaler. `Sequential.fold_batch_norm` takes its cost out of inference.
    """

    gamma: Variable
    beta: Variable
    moving_mean: Variable
    moving_variance: Variable

    ARGUMENTS = (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
        "unbiased_variance",
    )

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        *,
        unbiased_variance: bool = False,
        **options: Any,
    ) -> None:
        where = "BatchNormalization"
        self._axes = axes.read(where, axis)
        if not self._axes:
            raise errors.wrong_value(where, "axis", "at least one axis", axis)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.momentum = errors.number(where, "momentum", momentum, at_least=0.0, at_most=1.0)
        self.epsilon = errors.number(where, "epsilon", epsilon, at_least=0.0)
        self.center = errors.boolean(where, "center", center)
        self.scale = errors.boolean(where, "scale", scale)
        self.beta_initializer = initializers.get_for_vector(beta_initializer, where, "beta_initializer")
        self.gamma_initializer = initializers.get_for_vector(gamma_initializer, where, "gamma_initializer")
        self.moving_mean_initializer = initializers.get_for_vector(
            moving_mean_initializer, where, "moving_mean_initializer"
        )
        self.moving_variance_initializer = initializers.get_for_vector(
            moving_variance_initializer, where, "moving_variance_initializer"
        )
        self.beta_regularizer = regularizers.get_for_vector(beta_regularizer, where, "beta_regularizer")
        self.gamma_regularizer = regularizers.get_for_vector(gamma_regularizer, where, "gamma_regularizer")
        self.beta_constraint = constraints.get_for_vector(beta_constraint, where, "beta_constraint")
        self.gamma_constraint = constraints.get_for_vector(gamma_constraint, where, "gamma_constraint")
        self.unbiased_variance = errors.boolean(where, "unbiased_variance", unbiased_variance)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        kept = self.kept_axes(input_shape)
        for name in ("beta_constraint", "gamma_constraint"):
            if len(kept) > 1 and isinstance(getattr(self, name), constraints.NormConstraint):
                raise errors.wrong_value(self.label, name, "no limit of a norm beside a list of axes", self.axis)
        return input_shape

    def kept_axes(self, input_shape: Shape) -> axes.Axes:
        """The axes that have statistics of their own, counted from the batch, for rows of this shape."""
        return axes.kept(self, self._axes, input_shape)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        shape = axes.statistics_shape(self.kept_axes(input_shape), input_shape)
        if self.scale:
            self._add("gamma", shape, self.gamma_initializer, dtype)
        if self.center:
            self._add("beta", shape, self.beta_initializer, dtype)
        self._add("moving_mean", shape, self.moving_mean_initializer, dtype, learned=False)
        self._add("moving_variance", shape, self.moving_variance_initializer, dtype, learned=False)

    def spec(self) -> list[dict[str, Any]]:
        entry = {
            "kind": "batch_normalization",
            "name": self.name,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "trainable": self.trainable,
            **regularizers.spec_of(self, ["beta"] * self.center + ["gamma"] * self.scale),
        }
        if self.unbiased_variance:
            entry["unbiased_variance"] = True
        if self._shapes is not None:
            entry |= axes.spec(self.kept_axes(self._shapes[0]), self._shapes[0])
        return [entry]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": describe(self.beta_initializer),
            "gamma_initializer": describe(self.gamma_initializer),
            "moving_mean_initializer": describe(self.moving_mean_initializer),
            "moving_variance_initializer": describe(self.moving_variance_initializer),
            **regularizers.config_of(self, ("beta", "gamma")),
            "unbiased_variance": self.unbiased_variance,
        }


class Normalization(Layer):
    """(x - mean) / max(sqrt(variance), 1e-7) with the statistics of data seen before training; it does not learn.

    axis: of which each index has statistics of its own, or a list of axes; None: one mean and variance for all.
    mean, variance: the statistics, if they are known: numbers, or arrays that broadcast to those axes. Else `adapt`
    computes them; until then they are 0 and 1.
    invert: x * max(sqrt(variance), 1e-7) + mean instead, which takes scaled values back.

    What a StandardScaler does, kept in the model: saved with it, and applied natively to rows as they are read. A
    BatchNormalization as the first layer does the same without a look at the data beforehand. As in Keras, with the one
    difference that `mean` and `variance` are variables also where they were given.
    """

    mean: Variable
    variance: Variable

    ARGUMENTS = ("axis", "mean", "variance", "invert")

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        **options: Any,
    ) -> None:
        where = "Normalization"
        self._axes = () if axis is None else axes.read(where, axis)
        self.axis = axis if axis is None or isinstance(axis, int) else list(axis)
        if (mean is None) != (variance is None):
            given = "mean" if variance is None else "variance"
            raise ValueError(f"{where}: expected both mean and variance, or neither, received {given} alone")
        self.invert = errors.boolean(where, "invert", invert)
        self._given: tuple[NDArray[Any], NDArray[Any]] | None = None  # by arguments
        self._adapted: tuple[NDArray[Any], NDArray[Any]] | None = None  # by data seen before the layer was built
        if mean is not None:
            self._given = (_statistic(where, "mean", mean), _statistic(where, "variance", variance))
            if self._given[0].shape != self._given[1].shape:
                raise errors.wrong_shape(where, "variance", self._given[0].shape, self._given[1].shape)
            if (self._given[1] < 0).any():
                raise errors.wrong_value(where, "variance", "numbers of at least 0", float(self._given[1].min()))
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = axes.statistics_shape(axes.kept(self, self._axes, input_shape), input_shape)
        if self._given is not None:
            try:
                np.broadcast_to(self._given[0], shape)
            except ValueError as error:
                raise errors.wrong_shape(self.label, "mean", shape, self._given[0].shape) from error
        return input_shape

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        shape = axes.statistics_shape(axes.kept(self, self._axes, input_shape), input_shape)
        for place, name in enumerate(("mean", "variance")):
            start = initializers.get("ones" if place else "zeros", "Normalization", name)
            self._add(name, shape, start, dtype, learned=False)
            known = self._adapted or self._given
            if known is not None:
                self.variables[place].assign(np.broadcast_to(known[place], shape))

    def adapt(self, data: Any, batch_size: int | None = None) -> None:
        """Compute mean and (biased) variance of `data`: an array [rows, ...], memory maps included, of which
        `batch_size` rows are read at a time; or an iterable of such arrays, or of tuples that begin with one.

        float64, in pieces, whatever the data's size. Replaces what was known. A layer that was not built yet expects
        rows of this shape from then on. Raises ValueError or TypeError for what holds no rows or no finite numbers.
        """
        if batch_size is not None:
            errors.integer(f"{self.label} adapt", "batch_size", batch_size, at_least=1)
        blocks = _blocks(f"{self.label} adapt", data, batch_size)
        first = next(blocks, None)
        if first is None:
            raise ValueError(f"{self.label} adapt: data: expected at least one batch, received none")
        row_shape = self._shapes[0] if self._shapes is not None else self.expected_shape or first.shape[1:]
        moments = Moments(axes.kept(self, self._axes, row_shape))
        for block in itertools.chain([first], blocks):
            if block.shape[1:] != row_shape:
                raise errors.wrong_shape(f"{self.label} adapt", "data", ("rows", *row_shape), block.shape)
            moments.add(block)
        if not (np.isfinite(moments.mean).all() and np.isfinite(moments.variance).all()):
            raise ValueError(f"{self.label} adapt: data: expected finite numbers, received NaN or infinity")
        if self._shapes is None:
            self.expected_shape = row_shape
            self._adapted = (moments.mean, moments.variance)
        else:
            self.mean.assign(moments.mean)
            self.variance.assign(moments.variance)

    def spec(self) -> list[dict[str, Any]]:
        entry: dict[str, Any] = {"kind": "normalization", "name": self.name, "invert": self.invert}
        if self._shapes is not None:
            entry |= axes.spec(axes.kept(self, self._axes, self._shapes[0]), self._shapes[0])
        return [entry]

    def get_config(self) -> dict[str, Any]:
        mean, variance = (None, None) if self._given is None else (part.tolist() for part in self._given)
        return {**super().get_config(), "axis": self.axis, "mean": mean, "variance": variance, "invert": self.invert}


def _statistic(where: str, argument: str, value: ArrayLike | None) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise errors.wrong_type(where, argument, "a number or an array of numbers", value)
    if not np.isfinite(array).all():
        raise errors.wrong_value(where, argument, "finite numbers", value)
    return array.astype(np.float64)


def _blocks(where: str, given: Any, batch_size: int | None) -> Iterator[NDArray[Any]]:
    """Pieces of an array, or of each array of an iterable."""
    if hasattr(given, "__array__") or hasattr(given, "__dlpack__"):
        whole = arrays.as_array(where, "data", given)
        if whole.ndim < 2:
            raise errors.wrong_shape(where, "data", ("rows", "features"), whole.shape)
        size = batch_size or max(1, BLOCK // max(1, whole[:1].size))
        for start in range(0, len(whole), size):
            yield whole[start : start + size]
        return
    if isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable):
        raise errors.wrong_type(where, "data", "an array, or an iterable of arrays", given)
    for batch in given:
        part = batch[0] if isinstance(batch, tuple) else batch
        if not (hasattr(part, "__array__") or hasattr(part, "__dlpack__")):
            raise errors.wrong_type(where, "data", "an iterable of arrays", part)
        yield from _blocks(where, part, batch_size)
