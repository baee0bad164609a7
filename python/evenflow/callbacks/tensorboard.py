"""TensorBoard: the logs of training as event files, in Keras' folders and under its names."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import errors
from .base import Callback, Logs

FOLDERS = ("train", "validation")


class TensorBoard(Callback):
    """Writes what `tensorboard --logdir logs` shows: scalars, norms of gradients, histograms of weights.

    As in Keras, `log_dir` gets the folders "train" and "validation", with "epoch_loss" and the like (a metric of
    several values is left out), the learning rate, and "evaluation_loss_vs_iterations". `histogram_freq`: every so many
    epochs the histogram of each variable, "dense/kernel/histogram"; 0: never. `write_gradient_norms`: the means over
    each epoch of the l2 norms before clipping, of all ("epoch_gradient_norm"), of a layer ("epoch_gradient_norm/dense")
    and of a variable ("epoch_gradient_norm/dense/kernel").
    `update_freq`: "epoch", "batch" or a number of batches, after each of which "batch_loss" and the like are written:
    `fit` then goes step by step. `write_graph` writes the table of layers as text, `write_steps_per_second`
    "epoch_steps_per_second". Images, profiles and embeddings are refused. Where BackupAndRestore lets a training go on,
    what was written after the backup is taken out of its files; each backup begins new ones. Needs tensorboardX (the
    extra "tensorboard").
    """

    writes_files = True

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: int | str = "epoch",
        profile_batch: object = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: object = None,
        *,
        write_gradient_norms: bool = True,
    ) -> None:
        where = "TensorBoard"
        if not isinstance(log_dir, (str, os.PathLike)):
            raise errors.wrong_type(where, "log_dir", "a path", log_dir)
        self.log_dir = Path(log_dir)
        self.histogram_freq = errors.integer(where, "histogram_freq", histogram_freq, at_least=0)
        self.write_graph = errors.boolean(where, "write_graph", write_graph)
        self.write_steps_per_second = errors.boolean(where, "write_steps_per_second", write_steps_per_second)
        if isinstance(update_freq, str) and update_freq not in ("epoch", "batch"):
            raise errors.wrong_value(where, "update_freq", "'epoch', 'batch' or a number of batches", update_freq)
        self.update_freq = 1 if update_freq == "batch" else update_freq
        if not isinstance(self.update_freq, str):
            self.update_freq = errors.integer(where, "update_freq", self.update_freq, at_least=1)
        for name, value in (
            ("write_images", write_images),
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            if value:
                raise errors.wrong_value(where, name, f"{type(value)()!r}: it is not written here", value)
        self.write_gradient_norms = errors.boolean(where, "write_gradient_norms", write_gradient_norms)
        try:
            self._module = importlib.import_module("tensorboardX")
        except ImportError as error:
            raise ModuleNotFoundError(
                "TensorBoard: tensorboardX is not installed; install it with: pip install 'evenflow[tensorboard]'"
            ) from error
        self._writers: dict[str, Any] = {}
        self._mark = os.urandom(4).hex()  # in the names of a training's files
        self._described = False  # the network
        self._batches = 0
        self._start = 0.0
        self._first = 0  # iteration of the epoch

    @property
    def per_batch(self) -> bool:
        return self.update_freq != "epoch"

    @property
    def wants_gradient_norms(self) -> bool:  # type: ignore[override]
        """Whether the model shall have `gradient_norms` while it trains."""
        return self.write_gradient_norms

    def _write(self, folder: str, scalars: Logs, step: int) -> Any:
        if folder not in self._writers:
            suffix = f".{self._mark}.{len(self._files())}"
            self._writers[folder] = self._module.SummaryWriter(str(self.log_dir / folder), filename_suffix=suffix)
        writer = self._writers[folder]
        for name, value in scalars.items():
            if np.ndim(value) == 0:
                writer.add_scalar(name, float(value), step)
        return writer

    @property
    def _iterations(self) -> int:
        return 0 if self.model.optimizer is None else int(self.model.optimizer.iterations)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._batches, self._described = 0, False

    def _files(self) -> dict[str, Path]:
        """The event files of this training by name."""
        found = (path for folder in FOLDERS for path in (self.log_dir / folder).glob(f"*.{self._mark}.*"))
        return {str(path.relative_to(self.log_dir)): path for path in found}

    def backup_state(self) -> dict[str, Any]:
        self.close()  # nothing less makes tensorboardX write all that it was given
        sizes = {}
        for name, path in self._files().items():
            with path.open("rb") as file:
                os.fsync(file.fileno())  # a backup must not know of events that a crash takes away
                sizes[name] = os.fstat(file.fileno()).st_size
        return {"mark": self._mark, "sizes": sizes, "batches": self._batches, "described": self._described}

    def restore_state(self, state: dict[str, Any]) -> None:
        self._mark, self._batches, self._described = state["mark"], state["batches"], state["described"]
        for name, path in self._files().items():
            if name not in state["sizes"]:
                path.unlink()
            elif path.stat().st_size > state["sizes"][name]:
                os.truncate(path, state["sizes"][name])

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start, self._first = time.perf_counter(), self._iterations

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if isinstance(self.update_freq, int) and self._batches % self.update_freq == 0:
            self._write("train", {f"batch_{name}": value for name, value in (logs or {}).items()}, self._batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        found = dict(logs or {})
        validation = {name: found.pop(name) for name in list(found) if name.startswith("val_")}
        optimizer = self.model.optimizer
        if optimizer is not None:
            found["learning_rate"] = float(optimizer.learning_rate)
        if self.write_steps_per_second:
            seconds = time.perf_counter() - self._start
            found["steps_per_second"] = (self._iterations - self._first) / max(seconds, 1e-9)
        if self.write_gradient_norms and self.model.gradient_norms is not None:
            found |= self.model.gradient_norms.means()
        writer = self._write("train", {f"epoch_{name}": value for name, value in found.items()}, epoch)
        if self.write_graph and not self._described:
            self._described = True
            self._write_network(writer)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for variable in self.model.variables:
                values = variable.numpy()
                values = values[np.isfinite(values)]
                if values.size:
                    writer.add_histogram(f"{variable.path}/histogram", values, epoch)
        if validation:
            scalars = {f"epoch_{name.removeprefix('val_')}": value for name, value in validation.items()}
            self._write("validation", scalars, epoch)
        for each in self._writers.values():
            each.flush()

    def _write_network(self, writer: Any) -> None:
        lines: list[str] = []
        summary = getattr(self.model, "summary", None)
        if summary is not None:
            summary(print_fn=lines.append)
            writer.add_text("network", "".join(f"    {line}\n" for text in lines for line in text.splitlines()), 0)

    def on_test_end(self, logs: Logs | None = None) -> None:
        scalars = {f"evaluation_{name}_vs_iterations": value for name, value in (logs or {}).items()}
        self._write("validation", scalars, self._iterations)

    def close(self) -> None:
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()
