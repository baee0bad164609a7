"""Layers: small descriptions that own variables. The native core does all arithmetic; `spec` is what it is told."""

from .activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from .base import Layer
from .dense import Dense
from .dense_transpose import DenseTranspose
from .embedding import Embedding
from .encodings import CategoryEncoding, Discretization
from .input import Input, InputLayer
from .learned import PReLU, Swish
from .lookups import IntegerLookup, StringLookup
from .merging import Add, Concatenate, Multiply
from .noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, RReLU
from .normalization import BatchNormalization, Normalization
from .registry import REGISTRY
from .regularization import ActivityRegularization
from .reshaping import Flatten
from .row_normalization import LayerNormalization, RMSNormalization
from .scaling import Rescaling, Scaling

__all__ = [
    "ELU",
    "REGISTRY",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "BatchNormalization",
    "CategoryEncoding",
    "Concatenate",
    "Dense",
    "DenseTranspose",
    "Discretization",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "IntegerLookup",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Multiply",
    "Normalization",
    "PReLU",
    "RMSNormalization",
    "RReLU",
    "ReLU",
    "Rescaling",
    "Scaling",
    "Softmax",
    "StringLookup",
    "Swish",
]
