"""Weights from other packages, and to them, without importing those where their files can be read directly.

================  =====================================================================================
from_keras        a model from a `.keras` file; layers of yours with the weights of a `.weights.h5` file
to_keras          a `.weights.h5` file for Keras' `load_weights`
from_torch        layers of yours with the weights of a PyTorch `state_dict`, a safetensors or a `.pt` file
to_torch          arrays under the names and in the layout of a `state_dict`
from_sklearn      a model from a fitted MLPClassifier or MLPRegressor
================  =====================================================================================

What comes back is a new model, not compiled; predictions equal the source's within the rounding of the dtype. A file
that is damaged, or does not fit, is a ValueError that says what is wrong; no code from a file is ever run. Keras' files
need h5py: `pip install 'evenflow[keras]'`; a `.pt` file needs PyTorch itself, which reads it with weights_only=True.
"""

from .keras import from_keras, to_keras
from .sklearn import from_sklearn
from .torch import from_torch, to_torch

__all__ = ["from_keras", "from_sklearn", "from_torch", "to_keras", "to_torch"]
