"""Keras' `keras.utils`: its names, from the modules where they belong. Nothing is defined here."""

from __future__ import annotations

from ..common.naming import clear_session
from ..common.seeds import set_random_seed
from ..data.streams import PyDataset
from ..data.targets import to_categorical

# Keras' former name.
Sequence = PyDataset

__all__ = ["PyDataset", "Sequence", "clear_session", "set_random_seed", "to_categorical"]
