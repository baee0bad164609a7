"""Arguments and error scales of random layers; `cases` says what a scale is."""

from typing import Any

import numpy as np
from roundings import normal

SETTINGS: list[dict[str, Any]] = [
    {"noise": "dropout", "rate": 0.3},
    {"noise": "alpha_dropout", "rate": 0.1},
    {"noise": "gaussian_noise", "stddev": 0.7},
    {"noise": "gaussian_dropout", "rate": 0.4},
    {"noise": "rrelu"},
    {"noise": "rrelu", "lower": 0.2, "upper": 0.25},
    {"noise": "dropout", "rate": 0.3, "groups": 7},
    {"noise": "dropout", "rate": 0.3, "one_row": True},
    {"noise": "alpha_dropout", "rate": 0.3, "groups": 1000, "one_row": True},
    {"noise": "rrelu", "groups": 1},
]


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    settings = dict(case.settings)
    name = settings.pop("noise")
    if "groups" in settings:  # so many, in any order
        settings["groups"] = rng.integers(0, settings["groups"], case.shape[1]).tolist()
    x = normal(rng, dtype, *case.shape)
    arrays = [x] if case.kernel == "noise_forward" else [x, normal(rng, dtype, *case.shape)]
    return [name, *arrays], {**settings, "seed": 2**40 + 5, "step": 2**33 + 7, "layer": 3, "row": 2**32 - 5}


def scales(args: list[Any], keywords: Any, expected: list[Any], _: float) -> list[Any]:
    name, x, result = args[0], abs(args[1]), abs(expected[0])
    # Normal numbers promise 8 ULP; those of the reference are off by up to 5 of float64.
    far = 13 * 6.34 * (1 if name == "gaussian_noise" else x)
    known = {"gaussian_noise": far + result, "gaussian_dropout": far + 2 * (x + result)}
    return [known.get(name, 2 * (result + x))]
