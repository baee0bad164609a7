"""BackupAndRestore: training that is ended by force goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import errors
from ..saving.files import File, Tensors, remove_left_behind, write
from ..saving.state import restore_training_state, training_state
from .base import Callback, Logs
from .gradient_norms import NormLog
from .health import HealthLog

if TYPE_CHECKING:
    from ..models.model import Model

PREFIX = "backup"  # of the tensors that are neither weights nor slots


class BackupAndRestore(Callback):
    """Keeps a backup of training in `backup_dir`, from which the same call of `fit` goes on after a crash.

    As in Keras: a backup after every epoch, or after `save_freq` steps since the last one, which makes `fit` go step by
    step; `double_checkpoint` keeps the backup before as well, for a disk that damages files; `delete_checkpoint`
    removes the folder when training ends. Beyond Keras, what goes on is the same to the bit as what was never ended, in
    the middle of an epoch too: weights, optimizer, shuffling, dropout, History and the sums of the epoch, and the other
    callbacks, which are called first: EarlyStopping, ReduceLROnPlateau, ModelCheckpoint, CSVLogger, GradientNorms,
    Health, TensorBoard, TimeBudget, and whatever has `backup_state` and `restore_state`. The first backup is written
    before the first step.

    Rows, batch size and optimizer must be the same. Batches of a generator or loader are asked for again and skipped,
    so it must give the same ones; validation data that are an iterator begin anew. Raises ValueError where the backup
    is damaged or of another training.
    """

    comes_last = True
    writes_files = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        where = "BackupAndRestore"
        if not isinstance(backup_dir, (str, os.PathLike)):
            raise errors.wrong_type(where, "backup_dir", "the name of a folder", backup_dir)
        if not os.fspath(backup_dir):
            raise errors.wrong_value(where, "backup_dir", "the name of a folder", backup_dir)
        self.backup_dir = Path(backup_dir)
        if isinstance(save_freq, str) and save_freq != "epoch":
            raise errors.wrong_value(where, "save_freq", "'epoch' or a number of steps", save_freq)
        self.save_freq: int | str = save_freq
        if not isinstance(save_freq, str):
            self.save_freq = errors.integer(where, "save_freq", save_freq, at_least=1)
        self.double_checkpoint = errors.boolean(where, "double_checkpoint", double_checkpoint)
        self.delete_checkpoint = errors.boolean(where, "delete_checkpoint", delete_checkpoint)
        self._callbacks: list[Callback] = []
        self._steps = 0  # since the last backup

    @property
    def per_batch(self) -> bool:
        return self.save_freq != "epoch"

    @property
    def latest(self) -> Path:
        """The file of the last backup."""
        return self.backup_dir / "latest.safetensors"

    @property
    def previous(self) -> Path:
        """The file of the backup before, with `double_checkpoint`."""
        return self.backup_dir / "previous.safetensors"

    def set_callbacks(self, callbacks: list[Callback]) -> None:
        self._callbacks = [callback for callback in callbacks if callback is not self]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._steps = 0
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        remove_left_behind(self.latest)
        if not self._restore():
            self._save()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if isinstance(self.save_freq, int):
            self._steps += 1
            if self._steps >= self.save_freq:
                self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            for path in (self.previous, self.latest):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something of the user's is in there
                self.backup_dir.rmdir()

    # writing

    def _save(self) -> None:
        self._steps = 0
        model, optimizer = cast("Model", self.model), self.model.optimizer
        assert optimizer is not None  # `fit` refuses a model without
        tensors, state = training_state(model, "fit")
        going_on = model.position.progress is not None  # in the middle of an epoch
        backup = {
            "variables": [variable.path for variable in model.variables],
            "trainable": [layer.trainable for layer in model.layers],
            "optimizer": type(optimizer).__name__,
            "learning_rate": float(optimizer.learning_rate) if optimizer.pace.constant else None,
            "averages_swapped": optimizer.averages_swapped,
            "calls": model.draws,
            "position": model.position.describe(over=model.stop_training),
            "norms": norms.describe() if going_on and (norms := model.gradient_norms) else None,
            "health": health.describe() if going_on and (health := model.health) else None,
            "callbacks": [[type(callback).__name__, callback.backup_state()] for callback in self._callbacks],
        }
        metadata = {name: json.dumps(value) for name, value in (("model", model.get_config()), ("state", state))}
        metadata["backup"] = json.dumps(_without_arrays(backup, tensors))
        if self.double_checkpoint and self.latest.exists():
            os.replace(self.latest, self.previous)
        write(self.latest, tensors, metadata, overwrite=True)

    # reading

    def _restore(self) -> bool:
        """Go on from the last backup, if there is one."""
        if self.latest.exists() and not (self.double_checkpoint and self.previous.exists()):
            self._go_on(self.latest)
            return True
        for path in (self.latest, self.previous):
            if path.exists():
                try:
                    self._go_on(path)
                except ValueError:
                    if path == self.previous:
                        raise
                else:
                    return True
        return False

    def _go_on(self, path: Path) -> None:
        model, optimizer = cast("Model", self.model), self.model.optimizer
        assert optimizer is not None
        file = File("BackupAndRestore", path)
        feed = model.position.feed
        try:
            state = file.json("state")
            backup = _with_arrays(file.json("backup"), file)
            if backup["optimizer"] != type(optimizer).__name__:
                raise ValueError(f"it is of {backup['optimizer']}, the model has {type(optimizer).__name__}")
            if len(backup["trainable"]) != len(model.layers) or len(backup["variables"]) != len(model.variables):
                raise ValueError("it is of a model with other layers")
            file.rename(dict(zip(backup["variables"], (v.path for v in model.variables), strict=True)))
            states = _by_class(backup["callbacks"])
            model.position.check(backup["position"], model.scores)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise self._unusable(file, error) from error
        restore_training_state(file, model, state)
        if backup["learning_rate"] is not None:
            optimizer.learning_rate = backup["learning_rate"]
        optimizer.averages_swapped = backup["averages_swapped"]
        model.draws = backup["calls"]
        for layer, trainable in zip(model.layers, backup["trainable"], strict=True):
            if layer.trainable != trainable:
                layer.trainable = trainable
        model.position.feed = feed
        model.position.go_on(backup["position"], model.scores)
        norms, health = backup.get("norms"), backup.get("health")
        model.gradient_norms = None if norms is None else NormLog.restored(norms)
        model.health = None if health is None else HealthLog.restored(health)
        for callback in self._callbacks:
            found = states.get(type(callback).__name__)
            if found:
                callback.restore_state(found.pop(0))

    def _unusable(self, file: File, error: Exception) -> ValueError:
        return file.damaged(f"{error}. To begin anew remove the folder {str(self.backup_dir)!r}")


def _by_class(states: list[list[Any]]) -> dict[str, list[dict[str, Any]]]:
    """The states of callbacks of each class, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, state in states:
        found.setdefault(name, []).append(state)
    return found


def _without_arrays(value: Any, tensors: Tensors) -> Any:
    """Plain data for JSON, whose arrays become tensors."""
    if isinstance(value, np.ndarray):
        name = f"{PREFIX}/{len(tensors)}"
        tensors[name] = np.ascontiguousarray(value).reshape(value.shape)
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _without_arrays(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(item, tensors) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any, file: File) -> Any:
    """The inverse of `_without_arrays`."""
    if isinstance(value, list):
        return [_with_arrays(item, file) for item in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return file.tensor(value["tensor"])
        return {key: _with_arrays(item, file) for key, item in value["items"]}
    return value
