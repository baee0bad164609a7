"""Optimizers as a program's spec has them."""

NO_CLIPPING = {"clipvalue": None, "clipnorm": None, "global_clipnorm": None}
SGD = {"kind": "sgd", "momentum": 0.0, "nesterov": False, **NO_CLIPPING}
MOMENTUM = {**SGD, "momentum": 0.9}
NESTEROV = {**MOMENTUM, "nesterov": True}
ADAM = {"kind": "adam", "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, **NO_CLIPPING}

OPTIMIZERS = {
    "sgd": SGD,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    # With 1e-7 the first steps of gradients that are rounding alone (a bias before a batch normalization) are as large
    # as any: nothing to compare.
    "adam": {**ADAM, "epsilon": 1e-3},
    "clipvalue": {**MOMENTUM, "clipvalue": 0.01},
    "clipnorm": {**SGD, "clipnorm": 0.1},
    "global_clipnorm": {**ADAM, "epsilon": 1e-3, "global_clipnorm": 0.1},
    "amsgrad": {**ADAM, "epsilon": 1e-3, "amsgrad": True, "weight_decay": 0.1},
    "nadam": {"kind": "nadam", "epsilon": 1e-3, "momentum_decay": 0.1},
    "adamax": {"kind": "adamax", "epsilon": 1e-3, "clipvalue": 0.01},
    "adagrad": {"kind": "adagrad", "initial_accumulator_value": 0.2, "epsilon": 1e-3},
    "adadelta": {"kind": "adadelta", "rho": 0.9, "epsilon": 1e-3, "weight_decay": 0.1},
    "rmsprop": {"kind": "rmsprop", "epsilon": 1e-3},
    "rmsprop momentum": {"kind": "rmsprop", "momentum": 0.9, "epsilon": 1e-3, "clipnorm": 0.1, "weight_decay": 0.1},
    "rmsprop centered": {"kind": "rmsprop", "centered": True, "epsilon": 1e-3},
    "rmsprop with both": {"kind": "rmsprop", "momentum": 0.5, "centered": True, "epsilon": 1e-3},
}
# A sign makes a step of every gradient that is rounding alone.
LION = {"kind": "lion", "weight_decay": 0.1}


def comparable_rate(optimizer: str) -> float:
    """Steps that are about as large as the rate multiply the roundings before them, and large ones the more."""
    return 0.05 if optimizer in ("sgd", "momentum", "nesterov", "adam") or "clip" in optimizer else 0.005
