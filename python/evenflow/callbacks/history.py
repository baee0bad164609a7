"""History: what the logs of each epoch were."""

from __future__ import annotations

from typing import Any

from .base import Callback, Logs


class History(Callback):
    """`history`: one list per loss and metric, one entry per finished epoch; `epoch`: their numbers.

    An entry is a number, or an array for a metric of several values. `messages`: what callbacks had to say. `cached`,
    after `fit(cache_frozen=True)`: names of the frozen layers that were computed once, bytes kept, seconds that took,
    and seconds_saved, an estimate by the former: each further pass would have taken as long.
    """

    leaves_model = True

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.messages: list[str] = []
        self.cached: dict[str, Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch, self.messages = [], []
        self.history = {}
        self.cached = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        grown = {name: [*self.history.get(name, []), value] for name, value in (logs or {}).items()}
        self.epoch, self.history = [*self.epoch, epoch], self.history | grown  # at once: Ctrl-C leaves both or neither

    def backup_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "history": self.history, "messages": self.messages}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = state["epoch"], state["history"]
        self.messages = state.get("messages", [])
