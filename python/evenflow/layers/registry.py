"""From a name to a layer."""

from __future__ import annotations

from ..common.registry import Registry
from .activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from .base import Layer
from .dense import Dense
from .dense_transpose import DenseTranspose
from .embedding import Embedding
from .encodings import CategoryEncoding, Discretization
from .input import InputLayer
from .learned import PReLU, Swish
from .lookups import IntegerLookup, StringLookup
from .merging import Add, Concatenate, Multiply
from .noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, RReLU
from .normalization import BatchNormalization, Normalization
from .regularization import ActivityRegularization
from .reshaping import Flatten
from .row_normalization import LayerNormalization, RMSNormalization
from .scaling import Rescaling, Scaling

REGISTRY = Registry(
    Layer,
    (
        InputLayer,
        Flatten,
        Dense,
        DenseTranspose,
        BatchNormalization,
        Normalization,
        LayerNormalization,
        RMSNormalization,
        Activation,
        ReLU,
        LeakyReLU,
        PReLU,
        ELU,
        Swish,
        Softmax,
        Rescaling,
        Scaling,
        *(Embedding, CategoryEncoding, Discretization, StringLookup, IntegerLookup),
        ActivityRegularization,
        *(Add, Multiply, Concatenate),
        *(Dropout, AlphaDropout, GaussianNoise, GaussianDropout, RReLU),
    ),
    aliases={},
    example="Dense(10)",
)
