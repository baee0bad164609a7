"""Final statistics of batch normalizations: those of the whole training set, in place of moving averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..common import keywords
from ..data import arrays
from ..data.moments import Moments
from ..layers.normalization import BatchNormalization
from ..training.executor import Executor

if TYPE_CHECKING:
    from .sequential import Sequential

BATCH = 1024  # rows in one piece


@keywords.checked
def recalibrate_batch_norm(
    model: Sequential, x: object, batch_size: int | None = None, *, allow_nonfinite: bool = False
) -> None:
    """Set the moving mean and variance of each BatchNormalization to those of its inputs over all rows of `x`.

    The other way to the "final statistics" (Ioffe and Szegedy 2015, algorithm 2): after training, give the training set
    instead of trusting the moving averages, which lag behind the weights where momentum is high and epochs are few. In
    layer order, since what one layer computes with its new statistics is the input of the next. Inference mode; sums in
    float64; `batch_size` rows (1024) at a time and no more memory than those take. Each layer costs a prediction of
    the rows up to it. Variances are biased, or unbiased where the layer says so. Frozen layers keep their statistics,
    and nothing else changes.

    Raises ValueError or TypeError, before anything is changed, for rows that do not fit the model.
    """
    from .sequential import Sequential

    where = "recalibrate_batch_norm"
    if not isinstance(model, Sequential):
        raise errors.wrong_type(where, "model", "a Sequential", model)
    batch = BATCH if batch_size is None else errors.integer(where, "batch_size", batch_size, at_least=1)
    allow_nonfinite = errors.boolean(where, "allow_nonfinite", allow_nonfinite)
    array = model.read_array(where, "x", x)
    assert isinstance(array, np.ndarray)
    shape = arrays.row_shape(where, "x", array, model.input_shape[1:] if model.built else None)  # type: ignore[arg-type]
    model.infer_output_shape(shape)
    rows = arrays.read_inputs(where, "x", array, model.dtype, allow_nonfinite=allow_nonfinite)
    if not model.built:
        model.build((None, *shape))
    batch = min(batch, len(rows))
    for layer in model.layers:
        if isinstance(layer, BatchNormalization) and layer.trainable:
            _recalibrate(model, layer, rows, batch)


def _recalibrate(model: Sequential, layer: BatchNormalization, rows: NDArray[Any], batch: int) -> None:
    below = model.layers[: model.layers.index(layer)]
    spec = {
        "inputs": rows.shape[1],
        "layers": [entry for other in below for entry in other.spec()],
        "loss": None,
        "metrics": [],
        "optimizer": None,
    }
    executor = Executor(spec, [v for other in below for v in other.variables], dtype=model.dtype, capacity=batch)
    executor.synchronize()
    row_shape: tuple[int, ...] = layer.input_shape[1:]  # type: ignore[assignment]  # only the batch is None
    moments = Moments(layer.kept_axes(row_shape))
    for start in range(0, len(rows), batch):
        inputs = executor.program.predict(rows[start : start + batch])
        moments.add(inputs.reshape(-1, *row_shape))
    variance = moments.variance
    if layer.unbiased_variance and moments.count > 1:
        variance = variance * (moments.count / (moments.count - 1))
    layer.moving_mean.assign(moments.mean)
    layer.moving_variance.assign(np.asarray(variance))
