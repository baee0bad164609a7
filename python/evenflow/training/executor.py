"""Executor: keeps a model's native program, its variables and its optimizer in step.

A variable's truth has one home (see `layers.variables`). The executor copies what changed elsewhere into its program
before it runs, and declares the program their home before it trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..common.devices import program_class
from ..data import ids
from ..data.arrays import Inputs, Several
from ..layers import variables
from ..layers.variables import Variable
from ..optimizers.base import AVERAGE, MOMENTUM_PRODUCT, Optimizer, Slots

Array = NDArray[Any]

SLICE_SECONDS = 0.05  # a native call returns this often, so that Ctrl-C and progress bars are served
SLICE_PRODUCTS = 2e9  # multiply-adds of one native call of `predict`: some hundredths of a second
ADAPTED = ("discretization", "category_encoding")  # kinds of entries that change without a variable: by `adapt`
SMALLEST_CAPACITY = 32  # predictions of many rows are slow in smaller pieces


class Executor:
    """One compiled program of a model, for one spec, dtype, batch capacity and device."""

    def __init__(
        self,
        spec: dict[str, Any],
        model_variables: Sequence[Variable],
        *,
        dtype: str,
        capacity: int,
        device: str = "cpu",
    ) -> None:
        self.spec = spec
        self.capacity = capacity
        self.device = device
        self.program: _core.Program = program_class(device)(spec, dtype=dtype, batch_size=capacity)
        self.stamp = variables.now()
        self.optimizer: Optimizer | None = None
        self._variables = list(model_variables)
        self._copied: dict[str, int] = {}  # stamp of the value the program has, by path
        self._seen = -1  # when all variables were last compared
        self.reads_ids = bool(ids.limits(spec["layers"]))
        self.adapted = adapted(spec["layers"])
        trainable = {entry["name"] for entry in spec["layers"] if entry.get("trainable")}
        self._trained = [v for v in self._variables if v.path.split("/")[0] in trainable]

    # variables

    def read(self, path: str) -> Array:
        """A copy of the program's value of a variable."""
        return self.program.get(path)

    def is_current(self) -> bool:
        """Whether no variable anywhere changed since the program's values were last compared with them."""
        return self._seen == variables.now()

    def synchronize(self) -> None:
        """Copy into the program what changed elsewhere."""
        now = variables.now()
        if self._seen == now:
            return
        for variable in self._variables:
            stamp = variable.stamp
            if variable.lives_in(self):
                self._copied[variable.path] = stamp
            elif self._copied.get(variable.path) != stamp:
                self.program.set(variable.path, variable.numpy())
                self._copied[variable.path] = stamp
        self._seen = now

    def _own(self) -> None:
        """The program is about to change its trainable layers: it becomes the home of their truth."""
        self.synchronize()
        self.stamp = variables.tick()  # first, so that an interrupt cannot leave a moved variable with an old stamp
        for variable in self._trained:
            variable.move_to(self)

    # optimizer

    @property
    def batches(self) -> int:
        """Batches that the optimizer that lives here was given."""
        return self.program.iterations

    def read_state(self) -> tuple[int, Slots]:
        """Batches that the optimizer was given, and copies of its slots."""
        slots: Slots = {}
        names = self.trained_paths()
        for slot in self.program.slot_names():
            for name in names:
                slots[slot, name] = self.program.get_slot(slot, name)
        if self.program.momentum_product is not None:
            slots[MOMENTUM_PRODUCT] = np.array(self.program.momentum_product)
        return self.program.iterations, slots

    def _attach(self, optimizer: Optimizer) -> None:
        """Give the program the optimizer's state, and declare the program its home."""
        if optimizer.lives_in(self):
            return
        if self.optimizer is not None:
            self.optimizer.leave(self)
        batches, slots = optimizer.state()
        self.program.reset_slots()
        names = set(self.trained_paths())
        known = self.program.slot_names()
        if AVERAGE in known:  # of a variable that was frozen so far: it begins with the value
            slots = {(AVERAGE, name): self.program.get(name) for name in names} | slots
        for (slot, name), value in slots.items():
            if name in names and slot in known:
                self.program.set_slot(slot, name, value)
        self.program.iterations = batches
        if MOMENTUM_PRODUCT in slots and self.program.momentum_product is not None:
            self.program.momentum_product = float(slots[MOMENTUM_PRODUCT])
        self.optimizer = optimizer
        optimizer.move_to(self)

    def release(self) -> None:
        """Bring everything that lives in the program back to the host."""
        for variable in self._variables:
            variable.leave(self)
        if self.optimizer is not None:
            self.optimizer.leave(self)
            self.optimizer = None

    def trained_paths(self) -> list[str]:
        """Paths of the variables that training changes by gradients, in the program's order."""
        return [name for name, _, trainable in self.program.variables() if trainable]

    def health(self, every: int) -> _core.Health:
        """What can count the program's steps, all of every `every`-th one."""
        if self.device != "cpu":
            raise ValueError(f"Health: expected a model on the device 'cpu', received one on {self.device!r}")
        return _core.Health(self.program, every)

    def take(self, optimizer: Optimizer) -> _core.Program:
        """The program, about to be trained in pieces by this optimizer."""
        self._own()
        self._attach(optimizer)
        return self.program

    # running

    def forget_data(self) -> None:
        """A device copies arrays when it meets them: from here on, those that it knows may hold something else."""
        if self.device != "cpu":
            self.program.forget_data()  # type: ignore[attr-defined]  # of the other extension

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Run the program with just so many threads; 0: whatever finishes first."""
        self.program.threads = count
        try:
            yield
        finally:
            self.program.threads = 0

    def train(
        self,
        x: Inputs,
        y: Array | Several,
        optimizer: Optimizer,
        *,
        batch_size: int,
        first_step: int = 0,
        max_steps: int = 0,
        threads: int = 0,
        **arguments: Any,
    ) -> _core.Progress:
        """Steps of an epoch, for about `SLICE_SECONDS`; arguments as `_core.Program.train` has them."""
        pace, steps = optimizer.pace, -(-len(x) // batch_size)
        rate, momentum = pace.of_epoch(optimizer.batches, first_step, steps, max_steps)
        program = self.take(optimizer)
        with self.threads(threads):
            return program.train(
                x,
                y,
                learning_rate=rate,
                momentum=momentum,
                batch_size=batch_size,
                first_step=first_step,
                max_steps=1 if pace.asked_each_step else max_steps,
                seconds=SLICE_SECONDS,
                **arguments,
            )

    def evaluate(
        self, x: Inputs, y: Array | Several, *, batch_size: int, threads: int = 0, **arguments: Any
    ) -> _core.Progress:
        """Steps of an evaluation, for about `SLICE_SECONDS`; `arguments` as `_core.Program.evaluate` has them."""
        self.synchronize()
        batch = min(batch_size, self.capacity)
        with self.threads(threads):
            return self.program.evaluate(x, y, batch_size=batch, seconds=SLICE_SECONDS, **arguments)

    def forward(self, x: Inputs, draw: int) -> Any:
        """The forward pass of training: batch statistics, which moves the moving averages, and the random numbers of
        that draw."""
        self._own()
        return self.program.forward(x, training=True, draw=draw)


def adapted(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the core's entries that data or a vocabulary have set, which is no variable."""
    return [entry for entry in entries if entry["kind"] in ADAPTED]


def executor_for(
    spec: dict[str, Any],
    model_variables: Sequence[Variable],
    old: Executor | None,
    *,
    dtype: str,
    batch: int,
    training: bool,
    exact: bool,
    device: str,
) -> Executor:
    """The executor of a spec: the old one where it will do, else a new one in its place. Training needs room for the
    batch; `exact` wants no more than that."""
    capacity = max(batch, SMALLEST_CAPACITY)
    if old is not None and old.spec == spec and old.device == device:
        roomy = old.capacity == capacity if exact else old.capacity >= capacity
        if roomy or not training:
            return old
    new = Executor(spec, model_variables, dtype=dtype, capacity=capacity, device=device)
    if old is not None:
        old.release()
    return new
