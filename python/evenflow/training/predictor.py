"""Predictor: the native program of a model, and what needs nothing more: predict, plan, calls on arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import errors
from ..callbacks.base import CallbackList, closing
from ..callbacks.progress import read_verbose, with_bar
from ..common import devices, keywords
from ..common.devices import check_device
from ..common.seeds import counter_seed
from ..data import arrays, frames, ids
from ..data.arrays import Inputs, Several
from ..data.streams import is_stream, refuse
from ..layers.variables import Variable
from .blocks import stream_of
from .executor import SLICE_PRODUCTS, SMALLEST_CAPACITY, Executor, adapted, executor_for

if TYPE_CHECKING:
    from ..layers.lookups import Lookup

Array = NDArray[Any]
Shape = tuple[int, ...]

DEFAULT_BATCH = 32
FIRST_DRAW = 1 << 47  # of calls with training=True: no optimizer gets there


class Predictor:
    """Anything that has layers: checks the rows it is given, and keeps a native program for them."""

    dtype: str
    name: str

    def __init__(self) -> None:
        self._executor: Executor | None = None
        self._device: str | None = None
        self._row_shape: Shape | None = None
        self.feature_names: tuple[str, ...] | None = None  # of the first table that it was trained on
        self.draws = 0  # of random layers by calls with training=True
        self._lookups: dict[int, Lookup[Any]] = {}  # of the core's inputs by their numbers

    @property
    def device(self) -> str:
        """Where the model runs, "cpu" or "cuda": as `compile(device=)` or an assignment said, else `get_device()`.

        The model moves with the next call that runs it, and keeps weights and optimizer; None gives up the choice.
        """
        return self._device or devices.default_device

    @device.setter
    def device(self, device: str | None) -> None:
        self._device = None if device is None else check_device(f"{self.name}.device", device)

    @property
    def chosen_device(self) -> str | None:
        """The device that was chosen for this model; None where it runs on that of the process."""
        return self._device

    # what a model provides

    @property
    def variables(self) -> list[Variable]:
        raise NotImplementedError

    def layer_spec(self) -> list[dict[str, Any]]:
        """The core's entries of all layers, in order."""
        raise NotImplementedError

    def infer_output_shape(self, row_shape: Shape) -> Shape:
        """The shape of an output row; raises where a layer cannot take what it is given. Changes nothing."""
        raise NotImplementedError

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables for inputs of this shape, batch dimension included."""
        raise NotImplementedError

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that gradients change."""
        raise NotImplementedError

    def get_weights(self) -> list[Array]:
        """Copies of all variables' values."""
        raise NotImplementedError

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace the values of all variables, or of none."""
        raise NotImplementedError

    def save(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the model to a file, atomically."""
        raise NotImplementedError

    def save_weights(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the variables to a file, atomically."""
        raise NotImplementedError

    # outputs: one, unless a model has more

    @property
    def output_names(self) -> list[str]:
        """What the outputs are called in `compile`, in dicts of targets and in History."""
        raise NotImplementedError

    def output_units(self, row_shape: Shape) -> list[int]:
        """Units of a row of each output."""
        return [math.prod(self.infer_output_shape(row_shape))]

    def output_layers(self) -> list[str]:
        """The core's entry that has each of several outputs; nothing where there is one, that of the last entry."""
        return []

    def output_activations(self) -> list[str | None]:
        """The activation that gives each output, where one does."""
        return [last_activation(self.layer_spec())]

    def as_given(self, outputs: Any) -> Any:
        """What the core returns for the outputs, in the form in which the model has them."""
        return outputs

    # description

    def spec(self) -> dict[str, Any]:
        """The network as plain data: what the native core compiles."""
        if self._row_shape is None:
            raise ValueError(
                f"{self.name}: spec() needs the shape of the input: add Input(shape=...) or call fit or build"
            )
        self.infer_output_shape(self._row_shape)
        network = {"inputs": self.feature_counts(), "layers": self.layer_spec(), "optimizer": None}
        layers = self.output_layers()
        if not layers:
            return {**network, "loss": None, "metrics": []}
        return {**network, "outputs": [{"layer": layer, "loss": None, "metrics": []} for layer in layers]}

    def input_row_shapes(self) -> list[Shape]:
        """The shapes of a row of each input."""
        return [] if self._row_shape is None else [self._row_shape]

    def id_limits(self) -> dict[int, ids.Limit]:
        """The inputs that are read as ids of categories, by their numbers, and how many there are."""
        return {}

    def feature_counts(self) -> int | list[int]:
        """Features of a row."""
        return math.prod(self._row_shape or ())

    def plan(self) -> str:
        """What the native core will do: operations, shapes, arena offsets, panels per thread."""
        return str(self._executor_for().program)

    # native program

    def _executor_for(self, batch: int = SMALLEST_CAPACITY, *, training: bool = False, exact: bool = False) -> Executor:
        """The executor of the present spec: see `executor_for`."""
        self._executor = executor_for(
            self.spec(),
            self.variables,
            self._executor,
            dtype=self.dtype,
            batch=batch,
            training=training,
            exact=exact,
            device=self.device,
        )
        return self._executor

    def _release(self) -> None:
        """Bring weights and optimizer state back from the native program, and forget it."""
        if self._executor is not None:
            self._executor.release()
            self._executor = None

    # rows

    def read_array(self, where: str, argument: str, x: object) -> Inputs:
        """Inputs as an array; a table must have the columns of the one that the model was trained on."""
        frames.check_names(where, argument, frames.column_names(x), self.feature_names)
        return arrays.as_array(where, argument, x)

    def _read_rows(
        self, where: str, argument: str, x: Inputs, *, allow_nonfinite: bool
    ) -> tuple[Inputs, Shape, list[int]]:
        """Inputs as 2-D rows, the shape of a row (the first input's), and the units of the outputs it leads to."""
        allow_nonfinite = errors.boolean(where, "allow_nonfinite", allow_nonfinite)
        limits = self.id_limits()

        def flat(argument: str, array: Any, expected: Shape | None, number: int = 0) -> tuple[Array, Shape]:
            shape = arrays.row_shape(where, argument, array, expected)
            if number in limits:
                return ids.read(where, argument, array, limits[number]), shape
            return arrays.read_inputs(where, argument, array, self.dtype, allow_nonfinite=allow_nonfinite), shape

        if isinstance(x, Several):
            shapes = self.input_row_shapes()
            pairs = [flat(f"{argument}[{i}]", *pair, i) for i, pair in enumerate(zip(x.arrays, shapes, strict=True))]
            units = self.output_units(shapes[0])
            return Several([array for array, _ in pairs]), shapes[0], units
        shape = arrays.row_shape(where, argument, x, self._row_shape)
        units = self.output_units(shape)  # before the rows are looked through
        return flat(argument, x, shape)[0], shape, units

    def _build_for(self, row_shape: Shape, names: tuple[str, ...] | None = None) -> None:
        """Make the variables if there are none; `names`: those of the columns that it is about to be trained on."""
        if self._row_shape is None:
            self.build((None, *row_shape))
        if self.feature_names is None:
            self.feature_names = names

    # inference

    @keywords.checked
    def predict(
        self,
        x: object,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: object = None,
        *,
        allow_nonfinite: bool = False,
        threads: int | None = None,
    ) -> Any:
        """The outputs of each row, in inference mode: [rows, outputs] of the model's dtype; several outputs in a list,
        or in a dict where the model was given one.

        x may also give batches, as `fit` takes them; of targets in them nothing is used. `steps`: of the first so many
        batches only. `batch_size` is else accepted as Keras has it: batches are the core's business, unless one of the
        `callbacks` looks at each.

        `verbose`: 0 silent, 1 a progress bar on terminals and in notebooks and then a line, 2 the line, "auto" the bar
        alone, where it takes long enough to be seen.
        """
        executor = self._executor
        # One row must cost next to nothing: when all is in place, ask the core at once.
        if (
            executor is not None
            and type(x) is np.ndarray
            and x.shape[1:] == self._row_shape
            and 0 < len(x) <= executor.capacity
            and x.dtype == np.float32
            and threads is None
            and steps is None
            and callbacks is None
            and verbose in ("auto", 0)
            and executor.is_current()
            and executor.device == (self._device or devices.default_device)  # without a call
            and not executor.reads_ids
            and not self._lookups
        ):
            flat = x if x.ndim == 2 else x.reshape(len(x), -1)
            if arrays.is_finite(flat):
                return self.as_given(executor.program.predict(flat))
        where = "predict"
        batch = errors.count(where, "batch_size", batch_size)
        steps = errors.count(where, "steps", steps)
        limit = read_threads(where, threads)
        end = None if steps is None else steps * (batch or DEFAULT_BATCH)
        listed = with_bar(where, callbacks, verbose)
        read = partial(self._read_predicted, allow_nonfinite=allow_nonfinite)
        parameters: dict[str, Any] = {"verbose": read_verbose(where, verbose)}
        if is_stream(x):
            stream = stream_of(where, x, steps)
            refuse(where, batch_size=batch_size)
            hooks = CallbackList(listed, self, parameters | {"rows": stream.rows})
            with closing(hooks):
                hooks.call("on_predict_begin", {})
                parts: list[Any] = []
                done = 0
                for name, (part, _, _) in stream.epoch():
                    rows, units = read(name, part)
                    parts.append(
                        self._predict_rows(hooks, limit, rows, units, stream.batch, number=len(parts), done=done)
                    )
                    done += len(rows)
                if not parts:
                    raise ValueError(f"{where}: there is nothing to predict: not one batch was given")
                outputs = self._concatenated(parts)
                hooks.call("on_predict_end", {})
            return outputs
        rows, units = read(where, x, end)
        hooks = CallbackList(listed, self, parameters | {"rows": len(rows)})
        with closing(hooks):
            hooks.call("on_predict_begin", {})
            outputs = self._predict_rows(hooks, limit, rows, units, batch or DEFAULT_BATCH)
            hooks.call("on_predict_end", {})
        return outputs

    def _read_predicted(
        self, where: str, x: object, end: int | None = None, *, allow_nonfinite: bool
    ) -> tuple[Inputs, list[int]]:
        """Rows to predict as the core takes them, up to `end`, and the units of each output."""
        array = self.read_array(where, "x", x)
        array = array if end is None or array.ndim == 0 else array[:end]
        rows, shape, units = self._read_rows(where, "x", array, allow_nonfinite=allow_nonfinite)
        self._build_for(shape)
        return rows, units

    def _predict_rows(
        self,
        hooks: CallbackList,
        limit: int,
        rows: Inputs,
        units: Sequence[int],
        batch: int,
        *,
        number: int = 0,
        done: int = 0,
    ) -> Any:
        """The outputs of rows, in batches of `batch` (0: all) where callbacks look at each. Before them come `number`
        batches of `done` rows."""
        executor = self._inference_executor()
        out = [np.empty((len(rows), count), self.dtype) for count in units]
        at_once = max(executor.capacity, self._rows_of_slice())
        part = (batch or len(rows)) if hooks.per_predict_batch else at_once
        for i, start in enumerate(range(0, len(rows), part), number):
            chosen = slice(start, start + part)
            if hooks.per_predict_batch:
                hooks.call("on_predict_batch_begin", i, {})
            with executor.threads(limit):
                executor.program.predict(rows[chosen], _parts(out, chosen))
            if hooks.per_predict_batch:
                hooks.call("on_predict_batch_end", i, {"outputs": self.as_given(_parts(out, chosen))})
            hooks.call("on_predict_progress", done + min(start + part, len(rows)))
        return self.as_given(_only(out))

    def _concatenated(self, parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], dict):
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if isinstance(parts[0], list):
            return [np.concatenate(of_output) for of_output in zip(*parts, strict=True)]
        return np.concatenate(parts)

    def _rows_of_slice(self) -> int:
        return int(SLICE_PRODUCTS // max(1, sum(v.size for v in self.variables)))

    @keywords.checked
    def predict_mc(
        self,
        x: object,
        n: int = 100,
        *,
        seed: int | None = None,
        allow_nonfinite: bool = False,
        threads: int | None = None,
    ) -> tuple[Any, Any]:
        """Monte Carlo dropout: mean and standard deviation, each [rows, outputs], of `n` predictions with the random
        layers active, as in training.

        Nothing else is as in training: batch normalization keeps to its moving averages, and nothing of the model
        changes. The deviation, sqrt(sum((y - mean)^2) / n), tells how sure the model is; the mean is often the better
        prediction. `seed` (0 to 2^64 - 1; drawn from `set_seed`'s sequence unless given) takes the place of the layers'
        own: the same seed gives the same bits on any number of threads. Raises ValueError for a model without a random
        layer. Gal and Ghahramani 2016.
        """
        where = "predict_mc"
        n = errors.integer(where, "n", n, at_least=1)
        if not any(entry["kind"] == "noise" for entry in self.layer_spec()):
            raise ValueError(f"{where}: model {self.name!r} has no random layer, such as Dropout")
        limit = read_threads(where, threads)
        array = self.read_array(where, "x", x)
        rows, shape, units = self._read_rows(where, "x", array, allow_nonfinite=allow_nonfinite)
        seed = counter_seed(where, seed)
        self._build_for(shape)
        executor = self._inference_executor()
        mean, squares = ([np.zeros((len(rows), count)) for count in units] for _ in range(2))
        at_once = self._rows_of_slice()
        part = max(executor.capacity, at_once // n)
        passes = max(1, at_once // part)
        with executor.threads(limit):
            for start in range(0, len(rows), part):
                end = start + part
                for first in range(0, n, passes):
                    executor.program.predict_mc(
                        rows[start:end],
                        _parts(mean, slice(start, end)),
                        _parts(squares, slice(start, end)),
                        seed=seed,
                        first_row=start,
                        first_pass=first,
                        passes=min(passes, n - first),
                    )
        deviation = [np.sqrt(one / n).astype(self.dtype) for one in squares]
        return self.as_given(_only([one.astype(self.dtype) for one in mean])), self.as_given(_only(deviation))

    def predict_on_batch(self, x: object) -> Any:
        """`predict`."""
        return self.predict(x)

    def __call__(self, x: object, training: bool = False) -> Any:
        """The outputs of these rows; `training=True` uses (and learns from) the batch's own statistics, and random
        layers are active: each such call of a model draws other numbers."""
        if not errors.boolean(self.name, "training", training):
            return self.predict(x)
        rows, shape, _ = self._read_rows(self.name, "x", self.read_array(self.name, "x", x), allow_nonfinite=False)
        self._build_for(shape)
        self.draws += 1
        return self.as_given(self._executor_for(len(rows), training=True).forward(rows, FIRST_DRAW + self.draws))

    def _inference_executor(self) -> Executor:
        """Any executor of these layers, up to date: loss and optimizer do not matter here."""
        executor = self._executor
        if (
            executor is None
            or executor.device != self.device
            or (executor.adapted and executor.adapted != adapted(self.layer_spec()))
        ):
            executor = self._executor_for()
        executor.synchronize()
        return executor


def last_activation(entries: Sequence[dict[str, Any]]) -> str | None:
    """The activation in the last of the core's entries, penalties aside; None where it is none."""
    return next((e.get("activation") for e in reversed(entries) if e["kind"] != "activity_regularization"), None)


def _only(outputs: list[Array]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


def _parts(outputs: list[Array], rows: slice) -> Any:
    return _only([output[rows] for output in outputs])


def read_threads(where: str, threads: int | None) -> int:
    """The `threads=` argument: 0 means the process's limit."""
    return 0 if threads is None else errors.integer(where, "threads", threads, at_least=1)
