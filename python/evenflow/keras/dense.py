"""The fused layer as a layer of Keras, on PyTorch."""

from __future__ import annotations

from typing import Any

import keras  # type: ignore[import-untyped]
from keras import activations, constraints, initializers, ops, regularizers

from .. import errors

KERNELS = (  # Keras' activations that the kernels have, by the same names and with the same defaults
    *("linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "hard_silu", "tanh"),
    *("sigmoid", "hard_sigmoid", "sparse_sigmoid", "log_sigmoid", "softplus", "sparse_plus", "softsign"),
    *("hard_tanh", "tanh_shrink", "soft_shrink", "hard_shrink", "exponential"),
)


@keras.saving.register_keras_serializable("evenflow")  # type: ignore[untyped-decorator, unused-ignore]
class FusedDense(keras.layers.Layer):  # type: ignore[misc]
    """dropout(activation(batch_norm(x kernel + bias))): Keras' Dense, BatchNormalization, Activation and Dropout in one
    native call each way, for Keras on PyTorch.

    units, activation, use_bias and the initializers, regularizers and constraints are Dense's; momentum, epsilon,
    center, scale and those of gamma and beta BatchNormalization's; dropout is the rate. Variables have Keras' names and
    order: kernel [inputs, units], bias, gamma, beta, moving_mean, moving_variance. So `get_weights` of Dense and of
    BatchNormalization, one list after the other, are what `set_weights` takes, and a whole model's are those of the
    same model of Keras' layers. Saved in `.keras` files, which need `import evenflow.keras` and `FusedDense` to load.

    Batch normalization is Keras': of the last axis, in training with the batch's biased variance, in inference mode
    where `trainable` is False. Dropout draws its seed from a SeedGenerator and its mask from evenflow's counters: as
    many zeros as Keras', at other places. Activations without a kernel (softmax, a function of yours, a layer) run as
    Keras' own after the fused part, and so does dropout then. Where the kernels cannot take a call (another device,
    mixed precision, an input of another dtype) Keras' operations compute the same. A derivative of a derivative is a
    RuntimeError. Masks pass through; batch normalization of masked steps in training is a ValueError, since the
    kernels count every row.

    Raises RuntimeError with another backend of Keras.
    """

    kernel: Any
    bias: Any
    gamma: Any
    beta: Any
    moving_mean: Any
    moving_variance: Any
    seed_generator: Any

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.0,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        where = type(self).__name__
        if keras.config.backend() != "torch":
            raise RuntimeError(
                f"{where}: expected Keras on PyTorch (set KERAS_BACKEND=torch before Keras is imported), received the "
                f"backend {keras.config.backend()!r}"
            )
        super().__init__(**options)
        self.units = errors.integer(where, "units", units, at_least=1)
        self.activation = activations.get(activation)
        self.use_bias, self.batch_norm = use_bias, batch_norm
        self.dropout = errors.number(where, "dropout", dropout, at_least=0.0, below=1.0)
        self.momentum = errors.number(where, "momentum", momentum, at_least=0.0, at_most=1.0)
        self.epsilon = errors.number(where, "epsilon", epsilon, at_least=0.0)
        self.center, self.scale, self.seed = center, scale, seed
        for name in ("kernel", "bias", "beta", "gamma"):
            given = locals()
            setattr(self, f"{name}_initializer", initializers.get(given[f"{name}_initializer"]))
            setattr(self, f"{name}_regularizer", regularizers.get(given[f"{name}_regularizer"]))
            setattr(self, f"{name}_constraint", constraints.get(given[f"{name}_constraint"]))
        self.seed_generator = keras.random.SeedGenerator(seed) if self.dropout else None
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        # The kernel's name of the activation; None where Keras computes it.
        self._kernel = next((name for name in KERNELS if self.activation is getattr(activations, name)), None)

    def build(self, input_shape: Any) -> None:
        """Make the variables for inputs of this shape."""
        inputs = input_shape[-1]
        self.kernel = self._add("kernel", (inputs, self.units))
        self.bias = self._add("bias", (self.units,)) if self.use_bias else None
        self.gamma = self._add("gamma", (self.units,)) if self.batch_norm and self.scale else None
        self.beta = self._add("beta", (self.units,)) if self.batch_norm and self.center else None
        self.moving_mean = self.moving_variance = None
        if self.batch_norm:
            for name, start in (("moving_mean", "zeros"), ("moving_variance", "ones")):
                variable = self.add_weight(
                    name=name, shape=(self.units,), initializer=start, trainable=False, autocast=False
                )
                setattr(self, name, variable)
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: inputs})
        self.built = True

    def _add(self, name: str, shape: tuple[int, ...]) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=getattr(self, f"{name}_initializer"),
            regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"),
            autocast=name in ("kernel", "bias"),
        )

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Of a tensor [..., inputs]."""
        uses_batch = bool(self.batch_norm and training and self.trainable)
        if uses_batch and mask is not None:
            raise ValueError(
                f"{self.name}: mask: expected none beside batch_norm in training, received one of shape "
                f"{errors.shape_text(mask.shape)}: use Dense and BatchNormalization, which leaves masked steps out"
            )
        rate = self.dropout if training else 0.0
        x = ops.reshape(inputs, (-1, inputs.shape[-1])) if len(inputs.shape) > 2 else inputs
        y = self._fused(x, uses_batch, rate) if self._fits(x) else self._of_keras(x, uses_batch, rate)
        return ops.reshape(y, (*inputs.shape[:-1], self.units)) if len(inputs.shape) > 2 else y

    def _variables(self) -> list[Any]:
        names = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
        return [None if getattr(self, name) is None else getattr(self, name).value for name in names]

    def _fits(self, x: Any) -> bool:
        """Whether the kernels can take this call."""
        import torch

        tensors = [x, *(value for value in self._variables() if value is not None)]
        return (
            x.dtype in (torch.float32, torch.float64)
            and all(t.dtype == x.dtype and t.device.type == "cpu" and t.layout == torch.strided for t in tensors)
            and not torch.is_autocast_enabled("cpu")
        )

    def _fused(self, x: Any, uses_batch: bool, rate: float) -> Any:
        import torch

        from ..torch.functions import PARAMETERS, Settings, dense_bn_act

        kernel, bias, gamma, beta, mean, variance = self._variables()
        if self.batch_norm:
            gamma = torch.ones_like(mean) if gamma is None else gamma
            beta = torch.zeros_like(mean) if beta is None else beta
        kind = self._kernel or "linear"
        inside = rate if self._kernel else 0.0
        seed = self._seed() if inside else None
        settings = Settings(kind, list(_defaults(kind, PARAMETERS[kind])), self.epsilon, inside, False)
        if uses_batch:
            mean = variance = None
        y, mean_now, variance_now = dense_bn_act(
            x.contiguous(), kernel, bias, gamma, beta, mean, variance, seed, settings
        )
        if uses_batch:
            self._follow(mean_now, variance_now)
        return y if self._kernel else self._finish(y, rate)

    def _seed(self) -> Any:
        """63 bits of the next state of the generator."""
        import torch

        high, low = (int(part) for part in self.seed_generator.next())
        return torch.tensor(((high & 0x7FFFFFFF) << 32) | (low & 0xFFFFFFFF))

    def _of_keras(self, x: Any, uses_batch: bool, rate: float) -> Any:
        """The same in Keras' operations."""
        y = ops.matmul(x, self.kernel)
        y = y if self.bias is None else ops.add(y, self.bias)
        if self.batch_norm:
            dtype = y.dtype
            y = ops.cast(y, self.moving_mean.dtype)
            mean, variance = self.moving_mean, self.moving_variance
            if uses_batch:
                mean, variance = ops.moments(y, axes=[0])
                self._follow(mean, variance)
            y = ops.batch_normalization(y, mean, variance, -1, self.beta, self.gamma, self.epsilon)
            y = ops.cast(y, dtype)
        return self._finish(y, rate)

    def _finish(self, y: Any, rate: float) -> Any:
        y = self.activation(y)
        return keras.random.dropout(y, rate, seed=self.seed_generator) if rate else y

    def _follow(self, mean: Any, variance: Any) -> None:
        share = self.momentum
        self.moving_mean.assign(self.moving_mean * share + mean.detach() * (1 - share))
        self.moving_variance.assign(self.moving_variance * share + variance.detach() * (1 - share))

    def layers_of_keras(self) -> list[Any]:
        """New layers of Keras that compute the same: Dense, BatchNormalization, Activation and Dropout, those of them
        that this layer has. The first has its name."""
        config = self.get_config()

        def own(names: tuple[str, ...], variables: tuple[str, ...], suffix: str) -> dict[str, Any]:
            kinds = ("initializer", "regularizer", "constraint")
            of_variables = [f"{variable}_{kind}" for variable in variables for kind in kinds]
            common = {"name": self.name + suffix, "trainable": self.trainable, "dtype": self.dtype_policy}
            return common | {name: config[name] for name in (*names, *of_variables)}

        found = [keras.layers.Dense(**own(("units", "use_bias"), ("kernel", "bias"), ""))]
        if self.batch_norm:
            settings = ("momentum", "epsilon", "center", "scale")
            found.append(keras.layers.BatchNormalization(**own(settings, ("beta", "gamma"), "_norm")))
        named = {"name": f"{self.name}_activation", "dtype": self.dtype_policy}
        if isinstance(self.activation, keras.layers.Layer):
            own_config = self.activation.get_config()
            found.append(type(self.activation).from_config(own_config | named))
        elif self.activation is not activations.linear:
            found.append(keras.layers.Activation(self.activation, **named))
        if self.dropout:
            named["name"] = f"{self.name}_dropout"
            found.append(keras.layers.Dropout(self.dropout, seed=self.seed, **named))
        return found

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """(..., units)"""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again."""
        plain = ("units", "use_bias", "batch_norm", "dropout", "momentum", "epsilon", "center", "scale", "seed")
        config = {**super().get_config(), **{name: getattr(self, name) for name in plain}}
        config["activation"] = activations.serialize(self.activation)
        for name in ("kernel", "bias", "beta", "gamma"):
            for kind, module in (
                ("initializer", initializers),
                ("regularizer", regularizers),
                ("constraint", constraints),
            ):
                config[f"{name}_{kind}"] = module.serialize(getattr(self, f"{name}_{kind}"))
        return config


def _defaults(kind: str, names: tuple[str, ...]) -> list[float]:
    """Keras' hyper-parameters of an activation, which are evenflow's, in the kernels' order."""
    from ..activations import DEFAULTS

    return [DEFAULTS[kind][name] for name in names]
