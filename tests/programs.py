"""Making programs and looking into them."""

from typing import Any

import numpy as np

from evenflow import _core


def initialize(shapes: dict[str, tuple[int, ...]], rng: np.random.Generator, dtype: Any = np.float64) -> dict[str, Any]:
    """A value for each variable that keeps signals of moderate size; none of them is 0 or 1."""
    values = {}
    for name, shape in shapes.items():
        noise = rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape)
        if name.endswith("/kernel"):
            noise = rng.standard_normal(shape) * np.sqrt(1.5 / shape[0])
        elif name.endswith(("/gamma", "/scale", "variance")):
            noise = rng.uniform(0.5, 1.5, shape)
        values[name] = np.asarray(noise, dtype)
    return values


def made(spec: Any, seed: int = 0, **options: Any) -> Any:
    """A program whose variables depend on the seed only."""
    program = _core.Program(spec, **{"batch_size": 32, **options})
    shapes = {name: shape for name, shape, _ in program.variables()}
    for name, value in initialize(shapes, np.random.default_rng(seed)).items():
        program.set(name, value.astype(program.dtype))
    return program


def state(program: Any) -> dict[str, np.ndarray]:
    """All variables and slots."""
    found = {name: program.get(name) for name, _, _ in program.variables()}
    for slot in program.slot_names():
        found |= {
            f"{slot} of {name}": program.get_slot(slot, name) for name, _, trainable in program.variables() if trainable
        }
    return found


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name, strict=True)


def of_model(model: Any, **options: Any) -> Any:
    """A program with the variables of a compiled model."""
    program = _core.Program(model.spec(), dtype=model.dtype, **options)
    for variable in model.variables:
        program.set(variable.path, variable.numpy())
    return program
