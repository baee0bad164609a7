"""Optimizers: the rule's hyper-parameters, and the state (steps done, slots) that survives between calls of `fit`.

The native core does the arithmetic, in Keras' form. Below, w is a parameter, g its gradient, t the number of the step
from 1; slots start from 0 unless said.

learning_rate: a number, one of `schedules`, a function of the step, or, as in Keras, a function without arguments that
is asked before every step.

All optimizers take these by keyword:

weight_decay: before each step w <- w - weight_decay * learning_rate * w, for every trainable variable that
`exclude_from_weight_decay` does not name (decoupled, Loshchilov and Hutter 2019). None: no decay.
clipvalue, clipnorm, global_clipnorm: at most one of them: every component to [-v, v], every variable's gradient to that
l2 norm, the whole gradient to that l2 norm; the decay is not clipped. `callbacks.GradientNorms` shows these norms.
use_ema, ema_momentum, ema_overwrite_frequency: a moving average of every trainable variable, average <- ema_momentum *
average + (1 - ema_momentum) * w after each batch (the first is w itself). It overwrites w in every step whose number
ema_overwrite_frequency (None: never) divides, and at the end of `fit`; `callbacks.SwapEMAWeights` evaluates with it.
gradient_accumulation_steps: n from 2: the mean gradient of n batches makes one step, so that batches may be n times
smaller than what fits in memory. Gradients are clipped when they are means. Schedules count batches, `iterations` and
the rules' t count steps, averages move with every batch: all as in Keras. The sum is saved with the model.
learning_rate_factors: {"dense_1": 0.1}: the learning rate of these variables is multiplied by a factor, and with it
their weight decay. A key is the name of a layer, or a regular expression that a whole path such as "dense_1/kernel"
matches; of several keys the last counts. Small factors for the lower layers keep what they learned elsewhere. With 0 a
variable keeps its bits, and its slots stand still. Norms for clipping are those of all gradients, whatever the factors.
name: the optimizer's own.

Which one? SGD with Nesterov's momentum, tuned, often ends best; Adam, Nadam and AdamW get there fast with their
defaults; RMSprop is Adam's predecessor; Adagrad often stops too early on deep networks. All errors (a
hyper-parameter out of its range, an unknown argument) are TypeError or ValueError and come before anything is made.
"""

from . import schedules
from .base import Optimizer
from .registry import REGISTRY, get
from .rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop

__all__ = [
    "REGISTRY",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]
