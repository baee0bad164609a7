"""The update rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors
from .base import Optimizer as Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .base import Common, CommonButDecay
    from .pace import LearningRate


class SGD(Optimizer):
    """m <- momentum * m - learning_rate * g; w <- w + m (nesterov: w <- w + momentum * m - learning_rate * g).

    Keras' form: the learning rate is inside the momentum buffer. 0.9 is a good momentum, and Nesterov's look-ahead is
    almost always faster. Polyak 1964, Sutskever et al. 2013.
    """

    HYPERPARAMETERS = ("momentum", "nesterov")
    MOMENTUM = "momentum"
    kind = "sgd"

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[Common],
    ) -> None:
        self.momentum = self._momentum(momentum)
        self.nesterov = errors.boolean("SGD", "nesterov", nesterov)
        super().__init__(learning_rate, common)


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- w - a m / (sqrt(v) + epsilon).

    a = learning_rate * sqrt(1 - b2^t) / (1 - b1^t): Keras' "epsilon hat" form. Its steps adapt to each parameter, so
    the default learning rate is often good enough. Kingma and Ba 2015.
    amsgrad: the largest v so far stands in place of v, so that steps never grow back. Reddi et al. 2018.
    """

    HYPERPARAMETERS = ("beta_1", "beta_2", "epsilon", "amsgrad")
    MOMENTUM = "beta_1"
    kind = "adam"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[Common],
    ) -> None:
        self.beta_1 = self._share("beta_1", beta_1)
        self.beta_2 = self._share("beta_2", beta_2)
        self.epsilon = self._epsilon(epsilon)
        self.amsgrad = errors.boolean(type(self).__name__, "amsgrad", amsgrad)
        super().__init__(learning_rate, common)


class AdamW(Adam):
    """Adam with decoupled weight decay: w <- w - weight_decay * learning_rate * w, then Adam's step.

    Regularizes as l2 was meant to, whatever the size of the gradients. Loshchilov and Hutter 2019.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **common: Unpack[CommonButDecay],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **common)


class Nadam(Optimizer):
    """Adam with Nesterov's look-ahead: w <- w - learning_rate * n / (sqrt(v / (1 - b2^t)) + epsilon).

    m and v as Adam's, n = u' m / (1 - U u') + (1 - u) g / (1 - U) with the momenta
    u = b1 (1 - 0.96^(t momentum_decay) / 2), u' that of step t + 1, and U the product of all u up to t. Where a
    schedule moves b1, u and u' have that of the step, and U what all steps had. Often a little faster than Adam.
    Dozat 2016.

    momentum_decay: 1.0 is Keras' schedule of the momentum, 4e-3 PyTorch's and the paper's.
    """

    HYPERPARAMETERS = ("beta_1", "beta_2", "epsilon", "momentum_decay")
    MOMENTUM = "beta_1"
    kind = "nadam"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        momentum_decay: float = 1.0,
        **common: Unpack[Common],
    ) -> None:
        self.beta_1 = self._share("beta_1", beta_1)
        self.beta_2 = self._share("beta_2", beta_2)
        self.epsilon = self._epsilon(epsilon)
        self.momentum_decay = errors.number("Nadam", "momentum_decay", momentum_decay, at_least=0.0)
        super().__init__(learning_rate, common)


class Adamax(Optimizer):
    """m as Adam's; u <- max(b2 u, |g|); w <- w - learning_rate / (1 - b1^t) * m / (u + epsilon).

    Adam with the infinity norm: sometimes more stable, mostly slower. Kingma and Ba 2015, section 7.
    """

    HYPERPARAMETERS = ("beta_1", "beta_2", "epsilon")
    MOMENTUM = "beta_1"
    kind = "adamax"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        self.beta_1 = self._share("beta_1", beta_1)
        self.beta_2 = self._share("beta_2", beta_2)
        self.epsilon = self._epsilon(epsilon)
        super().__init__(learning_rate, common)


class Adagrad(Optimizer):
    """accumulator <- accumulator + g^2; w <- w - learning_rate * g / sqrt(accumulator + epsilon).

    The accumulator starts from initial_accumulator_value and only grows: good for simple problems, but deep networks
    are often left half-trained. Duchi et al. 2011.
    """

    HYPERPARAMETERS = ("initial_accumulator_value", "epsilon")
    kind = "adagrad"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        self.initial_accumulator_value = errors.number(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value, at_least=0.0
        )
        self.epsilon = self._epsilon(epsilon)
        super().__init__(learning_rate, common)


class Adadelta(Optimizer):
    """s <- rho s + (1 - rho) g^2; w <- w + learning_rate * d; e <- rho e + (1 - rho) d^2.

    d = -sqrt(e + epsilon) / sqrt(s + epsilon) * g: steps have the size of earlier steps. The paper's learning rate is
    1.0, Keras' default 0.001. The slots s and e are called accumulated_grad and accumulated_delta_var. Zeiler 2012.
    """

    HYPERPARAMETERS = ("rho", "epsilon")
    kind = "adadelta"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **common: Unpack[Common],
    ) -> None:
        self.rho = self._share("rho", rho)
        self.epsilon = self._epsilon(epsilon)
        super().__init__(learning_rate, common)


class RMSprop(Optimizer):
    """velocity <- rho * velocity + (1 - rho) g^2; w <- w - learning_rate * g / sqrt(velocity + epsilon).

    Adagrad that forgets: almost always better than it, and the favourite before Adam. Hinton 2012, lecture 6e.
    momentum: m <- momentum * m + learning_rate * (the ratio above); w <- w - m.
    centered: velocity less the square of the gradient's moving average (their variance) in place of velocity.
    """

    HYPERPARAMETERS = ("rho", "momentum", "epsilon", "centered")
    MOMENTUM = "momentum"
    kind = "rmsprop"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **common: Unpack[Common],
    ) -> None:
        self.rho = self._share("rho", rho)
        self.momentum = self._momentum(momentum)
        self.epsilon = self._epsilon(epsilon)
        self.centered = errors.boolean("RMSprop", "centered", centered)
        super().__init__(learning_rate, common)


class Lion(Optimizer):
    """w <- w - learning_rate * sign(b1 m + (1 - b1) g); m <- b2 m + (1 - b2) g.

    Every parameter moves by the learning rate: take a tenth to a third of Adam's, and three to ten times its weight
    decay. One slot. Chen et al. 2023.
    """

    HYPERPARAMETERS = ("beta_1", "beta_2")
    kind = "lion"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **common: Unpack[Common],
    ) -> None:
        self.beta_1 = self._share("beta_1", beta_1)
        self.beta_2 = self._share("beta_2", beta_2)
        super().__init__(learning_rate, common)
