"""ActivityRegularization: a penalty of what goes through."""

from __future__ import annotations

from typing import Any

from .. import errors, regularizers
from .base import Layer


class ActivityRegularization(Layer):
    """The rows as they are, with l1 * sum(|x|) + l2 * sum(x^2) over the batch, divided by its rows, added to the loss:
    for sparse codes."""

    ARGUMENTS = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        self.l1 = errors.number("ActivityRegularization", "l1", l1, at_least=0.0)
        self.l2 = errors.number("ActivityRegularization", "l2", l2, at_least=0.0)
        if "activity_regularizer" in options:
            raise errors.unknown_argument("ActivityRegularization", ["activity_regularizer"], self.ARGUMENTS)
        super().__init__(activity_regularizer=regularizers.L1L2(self.l1, self.l2), **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}
