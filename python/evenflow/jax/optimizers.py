"""Update rules over trees of parameters, with optax's arguments, defaults and arithmetic.

One native call reads and writes every parameter once. Moments and slots are zero at first, but for Adagrad's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..errors import boolean, number, shape_text, wrong_kind, wrong_shape, wrong_value
from .calls import FLOATS, Array, Call, call

TWICE = "evenflow.jax: the step of an optimizer has no derivative: differentiate the loss, not its update"

Rate = float | Callable[[Array], Any]  # a number, or a schedule: the rate of a count of steps, from 0


class OptimizerState(NamedTuple):
    """The number of steps so far, and for each slot of the rule a tree like the parameters."""

    step: Array
    slots: dict[str, Any]


def _leaves(
    where: str, argument: str, tree: Any, like: list[tuple[Any, Array]] | None = None
) -> list[tuple[Any, Array]]:
    """Paths and arrays of a tree: all float32 or all float64, and of the shapes of the parameters."""
    found = [(path, jnp.asarray(leaf)) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]
    first = (like or found)[0][1].dtype if found else None
    for i, (path, leaf) in enumerate(found):
        name = argument + jax.tree_util.keystr(path)
        if leaf.dtype not in FLOATS or leaf.dtype != first:
            expected = f"{first} as the first parameter" if leaf.dtype in FLOATS else "float32 or float64"
            raise wrong_kind(where, name, expected, f"{leaf.dtype} of shape {shape_text(leaf.shape)}")
        if like is not None and leaf.shape != like[i][1].shape:
            raise wrong_shape(where, name, like[i][1].shape, leaf.shape)
    return found


@dataclass(frozen=True)
class UpdateRule:
    """An update rule. `init(params)`, then for each step `apply(params, grads, state)`.

    `init` and `update` are optax's protocol, for code that calls these; there the parameters are read and written once
    more. All three are functions without state for `jax.jit`; donate params and state, and `apply` changes them in
    place. Derivatives through a step are a TypeError.
    """

    rule: str
    slots: tuple[str, ...]
    hyperparameters: tuple[tuple[str, float | bool], ...]
    learning_rate: Rate
    weight_decay: float = 0.0
    global_clipnorm: float | None = None
    initial: float = 0.0

    def init(self, params: Any) -> OptimizerState:
        """The state before the first step, for a tree of float32 or of float64 arrays."""
        _leaves(f"{self.rule}.init", "params", params)
        slots = {name: jax.tree.map(lambda p: jnp.full_like(p, self.initial), params) for name in self.slots}
        return OptimizerState(jnp.zeros((), jnp.int32), slots)

    def apply(self, params: Any, grads: Any, state: OptimizerState) -> tuple[Any, OptimizerState]:
        """The parameters and the state after a step. grads: a tree like params."""
        where = f"{self.rule}.apply"
        self._require_own(where, state)
        own = _leaves(where, "params", params)
        trees = {"grads": grads, **{f"state.slots[{name!r}]": state.slots[name] for name in self.slots}}
        structure: Any = jax.tree.structure(params)
        arrays = [leaf for _, leaf in own]
        for name, tree in trees.items():
            if jax.tree.structure(tree) != structure:
                raise wrong_value(where, name, f"a tree like params, {structure}", jax.tree.structure(tree))
            arrays += [leaf for _, leaf in _leaves(where, name, tree, own)]
        if not own:
            return params, OptimizerState(state.step + 1, state.slots)
        n, roles = len(own), 2 + len(self.slots)
        scalars, fixed = [jnp.asarray(state.step, jnp.int32)], 0.0
        if callable(self.learning_rate):
            scalars.append(self._scheduled(where, state.step))
        else:
            fixed = self.learning_rate
        what = Call.of(
            "evenflow_update",
            {
                "rule": self.rule,
                "roles": float(roles),
                "scheduled": callable(self.learning_rate),
                "learning_rate": fixed,
                "weight_decay": self.weight_decay,
                "limit": self.global_clipnorm or 0.0,
                **dict(self.hyperparameters),
            },
            TWICE,
        )
        results = [(leaf.shape, leaf.dtype) for _, leaf in own] * (roles - 1)
        # Of each role but g, which is read only, the memory.
        aliases = [(i, i if i < n else i - n) for i in range(n * roles) if not n <= i < 2 * n]
        found = call(what, tuple(results), tuple(aliases), [*arrays, *scalars])
        trees_after = [jax.tree.unflatten(structure, found[i : i + n]) for i in range(0, len(found), n)]
        slots = dict(zip(self.slots, trees_after[1:], strict=True))
        return trees_after[0], OptimizerState(state.step + 1, slots)

    def update(self, grads: Any, state: OptimizerState, params: Any) -> tuple[Any, OptimizerState]:
        """optax's form: what to add to params, and the state. Rounded twice where `apply` rounds once."""
        after, state = self.apply(params, grads, state)
        return jax.tree.map(lambda new, old: new - old, after, params), state

    def _require_own(self, where: str, state: Any) -> None:
        if not isinstance(state, OptimizerState):
            raise wrong_kind(where, "state", "what init returned", f"a {type(state).__name__}")
        if set(state.slots) != set(self.slots):
            raise wrong_value(where, "state.slots", f"those of this optimizer, {list(self.slots)}", list(state.slots))
        if np.shape(state.step) != ():
            raise wrong_shape(where, "state.step", (), np.shape(state.step))

    def _scheduled(self, where: str, count: Array) -> Array:
        assert callable(self.learning_rate)
        rate = jnp.asarray(self.learning_rate(count))
        if rate.shape != () or not jnp.issubdtype(rate.dtype, np.floating):
            expected = "a schedule that returns one floating-point number"
            raise wrong_kind(where, "learning_rate", expected, f"{rate.dtype} of shape {shape_text(rate.shape)}")
        return rate if rate.dtype in FLOATS else rate.astype(np.float32)


def _optimizer(
    where: str,
    rule: str,
    slots: tuple[str, ...],
    learning_rate: Any,
    weight_decay: Any,
    global_clipnorm: Any,
    initial: float = 0.0,
    **hyperparameters: float | bool,
) -> UpdateRule:
    if not callable(learning_rate):
        learning_rate = number(where, "learning_rate", learning_rate)
    weight_decay = number(where, "weight_decay", weight_decay, at_least=0)
    if global_clipnorm is not None:
        global_clipnorm = number(where, "global_clipnorm", global_clipnorm, above=0)
    return UpdateRule(
        rule, slots, tuple(hyperparameters.items()), learning_rate, weight_decay, global_clipnorm, initial
    )


def _share(where: str, name: str, value: Any) -> float:
    return number(where, name, value, at_least=0, below=1)


def _moments(where: str, b1: Any, b2: Any) -> dict[str, float]:
    return {"beta_1": _share(where, "b1", b1), "beta_2": _share(where, "b2", b2)}


def _eps(where: str, value: Any) -> float:
    return number(where, "eps", value, at_least=1e-30)


def sgd(
    learning_rate: Rate,
    momentum: float | None = None,
    nesterov: bool = False,
    *,
    weight_decay: float = 0.0,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """m = momentum m + g; p -= learning_rate m, or with nesterov learning_rate (momentum m + g); without momentum, g.

    Of every optimizer here: learning_rate is a number or a schedule, a function from the count of steps before, from 0,
    to the rate. weight_decay: p -= learning_rate weight_decay p, beside the rule. global_clipnorm: gradients are scaled
    to a common l2 norm of at most this, in the same call.
    """
    where = "sgd"
    kept = number(where, "momentum", momentum or 0.0, at_least=0, at_most=1)
    return _optimizer(
        where, "sgd", ("momentum",) if kept else (), learning_rate, weight_decay, global_clipnorm,
        momentum=kept, nesterov=boolean(where, "nesterov", nesterov), torch=True, dampening=0.0,
    )  # fmt: skip


def adam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    weight_decay: float = 0.0,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """m, v: averages of g and g^2 that keep b1 and b2; p -= learning_rate m^ / (sqrt(v^) + eps).

    m^ and v^ are m / (1 - b1^t) and v / (1 - b2^t) in step t. Kingma and Ba 2015.
    """
    return _adam("adam", learning_rate, b1, b2, eps, weight_decay, global_clipnorm)


def adamw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
    *,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """`adam` with decoupled weight decay, p -= learning_rate weight_decay p. Loshchilov and Hutter 2019."""
    return _adam("adamw", learning_rate, b1, b2, eps, weight_decay, global_clipnorm)


def _adam(where: str, rate: Any, b1: Any, b2: Any, eps: Any, decay: Any, limit: Any) -> UpdateRule:
    return _optimizer(
        where, "adam", ("m", "v"), rate, decay, limit,
        **_moments(where, b1, b2), epsilon=_eps(where, eps), amsgrad=False, torch=True,
    )  # fmt: skip


def nadam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    weight_decay: float = 0.0,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """`adam` with b1 m / (1 - b1^(t + 1)) + (1 - b1) g / (1 - b1^t) in place of m^. Dozat 2016, optax' constant b1."""
    where = "nadam"
    return _optimizer(
        where, "nadam", ("m", "v"), learning_rate, weight_decay, global_clipnorm,
        **_moments(where, b1, b2), epsilon=_eps(where, eps), momentum_decay=CONSTANT,
    )  # fmt: skip


CONSTANT = 1e9  # the momentum_decay of a Nadam whose momentum is beta_1 from the first step on: 0.96^1e9 is 0


def adamax(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    weight_decay: float = 0.0,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """m as in `adam`; u = max(b2 u, |g| + eps); p -= learning_rate m^ / u. Kingma and Ba 2015, section 7."""
    where = "adamax"
    return _optimizer(
        where, "adamax", ("m", "u"), learning_rate, weight_decay, global_clipnorm,
        **_moments(where, b1, b2), epsilon=_eps(where, eps), torch=True,
    )  # fmt: skip


def adagrad(
    learning_rate: Rate,
    initial_accumulator_value: float = 0.1,
    eps: float = 1e-7,
    *,
    weight_decay: float = 0.0,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """a += g^2; p -= learning_rate g / sqrt(a + eps). Duchi et al. 2011."""
    where = "adagrad"
    initial = number(where, "initial_accumulator_value", initial_accumulator_value, at_least=0)
    return _optimizer(
        where, "adagrad", ("accumulator",), learning_rate, weight_decay, global_clipnorm, initial,
        initial_accumulator_value=initial, epsilon=_eps(where, eps), torch=False, lr_decay=0.0,
    )  # fmt: skip


def adadelta(
    learning_rate: Rate,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    *,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """a, d: averages of g^2 and of the squares of steps s = sqrt((d + eps) / (a + eps)) g; p -= learning_rate s.

    weight_decay is decoupled, as in `sgd`; optax adds it to the gradient. Zeiler 2012.
    """
    where = "adadelta"
    return _optimizer(
        where, "adadelta", ("accumulated_grad", "accumulated_delta_var"), learning_rate, weight_decay, global_clipnorm,
        rho=_share(where, "rho", rho), epsilon=_eps(where, eps),
    )  # fmt: skip


def rmsprop(
    learning_rate: Rate,
    decay: float = 0.9,
    eps: float = 1e-8,
    *,
    centered: bool = False,
    momentum: float | None = None,
    weight_decay: float = 0.0,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """v: the average of g^2, centered less the square of that of g; s = learning_rate g / sqrt(v + eps); p -= s.

    With momentum, m = momentum m + s; p -= m. Hinton 2012, lecture 6e.
    """
    where = "rmsprop"
    kept = number(where, "momentum", momentum or 0.0, at_least=0, at_most=1)
    centered = boolean(where, "centered", centered)
    slots = ("velocity", *(["momentum"] if kept else []), *(["average_gradient"] if centered else []))
    return _optimizer(
        where, "rmsprop", slots, learning_rate, weight_decay, global_clipnorm,
        rho=_share(where, "decay", decay), momentum=kept, epsilon=_eps(where, eps), centered=centered, torch=False,
    )  # fmt: skip


def lion(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.99,
    *,
    weight_decay: float = 1e-3,
    global_clipnorm: float | None = None,
) -> UpdateRule:
    """p -= learning_rate (sign(b1 m + (1 - b1) g) + weight_decay p); m = b2 m + (1 - b2) g. Chen et al. 2023."""
    where = "lion"
    return _optimizer(
        where, "lion", ("momentum",), learning_rate, weight_decay, global_clipnorm, **_moments(where, b1, b2)
    )


def clip_by_global_norm(grads: Any, limit: float) -> tuple[Any, Array]:
    """The tree times min(1, limit / norm), and the l2 norm of all its arrays before; squares are added in float64.

    An optimizer's `global_clipnorm` does the same within its step.
    """
    where = "clip_by_global_norm"
    limit = number(where, "limit", limit, above=0)
    leaves = [leaf for _, leaf in _leaves(where, "grads", grads)]
    if not leaves:
        return grads, jnp.zeros(())
    results = [*((leaf.shape, leaf.dtype) for leaf in leaves), ((), leaves[0].dtype)]
    what = Call.of("evenflow_clip_by_global_norm", {"limit": limit}, TWICE)
    *clipped, norm = call(what, tuple(results), tuple((i, i) for i in range(len(leaves))), leaves)
    return jax.tree.unflatten(jax.tree.structure(grads), clipped), norm
