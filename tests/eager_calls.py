"""One call of each eager kernel that has results, and memory that other libraries lend."""

from typing import Any

import numpy as np

EPSILON = 1e-3


class Lent:
    """An array that is reached by DLPack alone."""

    def __init__(self, array: np.ndarray, device: int = 1) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0


class Passing(Lent):
    """The same, of a copy that lives only as long as what is lent, and is NaN after that."""

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.array.copy().view(_Cleared).__dlpack__()


class _Cleared(np.ndarray):
    def __del__(self) -> None:
        if self.flags.owndata or type(self.base) is np.ndarray:
            self.fill(np.nan)


def layer(shape: tuple[int, int, int], rng: np.random.Generator, dtype: Any) -> dict[str, np.ndarray]:
    rows, inputs, units = shape
    sizes = {"x": (rows, inputs), "w": (inputs, units), "b": units, "gamma": units, "beta": units, "dy": (rows, units)}
    return {name: rng.standard_normal(size).astype(dtype) for name, size in sizes.items()}


def calls(rng: np.random.Generator, dtype: Any) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    v = layer((13, 33, 17), rng, dtype)
    x, gamma = v["x"], rng.standard_normal(33).astype(dtype)
    z, mean, variance = v["dy"].copy(), v["b"], v["b"] ** 2
    eps: dict[str, Any] = {"epsilon": EPSILON}
    return [
        ("dense_forward", (x, v["w"], v["b"]), {}),
        ("dense_backward", (v["dy"], x, v["w"]), {}),
        ("dense_bn_act_forward", (x, v["w"], v["b"], v["gamma"], v["beta"]), {"activation": "elu"}),
        ("dense_bn_act_inference", (x, v["w"], v["b"]), {"activation": "elu"}),
        ("dense_bn_act_backward", (v["dy"], x, v["w"], z, v["gamma"], v["beta"], mean, variance), {}),
        ("batch_norm_forward", (x, gamma, gamma), eps),
        ("batch_norm_inference", (x, gamma, gamma, gamma, gamma**2), eps),
        ("batch_norm_backward", (x, x.copy(), gamma, gamma, gamma**2), eps),
        ("moving_average", (gamma, gamma.copy()), {"momentum": 0.9}),
        ("layer_norm_forward", (x, gamma, gamma), eps),
        ("layer_norm_backward", (x, x.copy(), gamma), eps),
        ("rms_norm_forward", (x, gamma), eps),
        ("rms_norm_backward", (x, x.copy(), gamma), eps),
        ("activation_forward", ("mish", x), {}),
        ("activation_backward", ("mish", x, x.copy(), x.copy()), {}),
        ("embedding_forward", (np.arange(26).reshape(13, 2) % 9, x), {}),
        ("embedding_backward", (x, np.arange(39).reshape(13, 3) % 5, 5), {}),
        ("learned_forward", ("prelu", x, gamma), {}),
        ("learned_backward", ("prelu", x, x.copy(), gamma), {}),
        ("softmax", (x,), {}),
        ("log_softmax", (x,), {}),
        ("sparsemax", (x,), {}),
        ("softmax_crossentropy", (x, np.arange(13)), {}),
        ("loss_forward_backward", ("mean_squared_error", x, x.copy()), {}),
        ("noise_forward", ("dropout", x), {"seed": 1}),
        ("noise_backward", ("dropout", x, x.copy()), {"seed": 1}),
        ("noise_forward", ("dropout", x), {"seed": 1, "groups": [1] * x.shape[1], "one_row": True}),
        ("dropout_forward", (x, 0.5), {"seed": 1}),
        ("dropout_backward", (x, 0.5), {"seed": 1}),
    ]


def several(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]


NAMES = [name for name, _, _ in calls(np.random.default_rng(0), np.float32)]
