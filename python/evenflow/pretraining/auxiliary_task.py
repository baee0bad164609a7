"""An auxiliary task: another one on such rows, for which there are labels, or for which they can be made."""

from __future__ import annotations

from .. import optimizers
from ..common import keywords
from ..data import arrays
from ..recipes.base import read_problem
from .pretrained import Pretrained, Training, read_hidden


@keywords.checked
def auxiliary(
    hidden: object,
    x: object,
    y: object,
    *,
    task: str | None = None,
    optimizer: object = "adam",
    epochs: int = 20,
    batch_size: int = 32,
    validation_split: float = 0.0,
    callbacks: object = None,
    verbose: int | str = "auto",
    threads: int | None = None,
) -> Pretrained:
    """Train hidden layers on a task that has more labels than the one they are meant for.

    hidden: a Sequential or a list of layers, without an output layer; a copy is trained, below an output that fits y:
    whole numbers y [rows] are classes 0, 1, ... (softmax and cross-entropy), others values [rows] or [rows, outputs]
    (linear, mean squared error in units of their variance), unless `task` says "classification" or "regression". y may
    be the labels of a related task, or be made of x itself: what a row was before it was disturbed, which of two rows
    came first, a column that the others foretell. Other arguments as `fit` has them.

    The more the tasks have in common, the more it helps. Caruana 1997. Raises ValueError or TypeError before anything
    is trained.
    """
    where = "auxiliary"
    training = Training.read(where, epochs, batch_size, callbacks, verbose, threads, validation_split)
    chosen = optimizers.get(optimizer, where)
    problem = read_problem(where, x, y, task)
    own, rows = read_hidden(where, hidden, x)
    model = own.model(*problem.top())
    problem.compile(model, chosen.fresh())
    return Pretrained(own.layers, model, [training.fit(model, rows, arrays.as_array(where, "y", y))])
