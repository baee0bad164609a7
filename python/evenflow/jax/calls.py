"""Calls of the core through XLA's foreign function interface."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import _core
from ..errors import shape_text, wrong_kind, wrong_shape

Array = jax.Array
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@functools.cache
def register() -> None:
    """The core's handlers, to XLA, once for the process."""
    for name, handler in _core.xla_handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")


class Call(NamedTuple):
    """A handler and all that it is told besides arrays. Attributes are bools, floats and words, sorted by name."""

    name: str
    attributes: tuple[tuple[str, Any], ...]
    why: str  # it cannot be differentiated

    @classmethod
    def of(cls, name: str, attributes: Mapping[str, Any], why: str) -> Call:
        """A call with these attributes."""
        return cls(name, tuple(sorted(attributes.items())), why)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def call(
    what: Call,
    results: tuple[tuple[tuple[int, ...], Any], ...],
    aliases: tuple[tuple[int, int], ...],
    arguments: Sequence[Array],
) -> list[Array]:
    """Results of these shapes and dtypes; `aliases` pairs arguments with the results that take their memory."""
    register()
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]  # type: ignore[no-untyped-call]
    attributes = {name: np.float64(v) if isinstance(v, float) else v for name, v in what.attributes}
    target = jax.ffi.ffi_call(what.name, shapes, vmap_method="sequential", input_output_aliases=dict(aliases))
    return list(target(*arguments, **attributes))


@call.defjvp
def _refuse(what: Call, results: Any, aliases: Any, primals: Any, tangents: Any) -> Any:
    raise TypeError(what.why)


def array(where: str, argument: str, value: Any, shape: Sequence[int | None], dtype: Any = None) -> Array:
    """`value` as an array of this shape (None: any size) and type (None: float32 or float64)."""
    try:
        found = jax.numpy.asarray(value)
    except (TypeError, ValueError) as error:  # the latter for None, and for rows of unequal lengths
        raise wrong_kind(where, argument, "an array", f"a {type(value).__name__}") from error
    expected = "float32 or float64" if dtype is None else f"{dtype} as the first array"
    if found.dtype not in FLOATS or (dtype is not None and found.dtype != dtype):
        raise wrong_kind(where, argument, expected, f"{found.dtype} of shape {shape_text(found.shape)}")
    if len(found.shape) != len(shape) or any(
        size is not None and size != own for size, own in zip(shape, found.shape, strict=True)
    ):
        raise wrong_shape(where, argument, ["any" if size is None else size for size in shape], found.shape)
    return found
