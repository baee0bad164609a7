"""Keras' `keras.utils`: its names, from the modules where they belong. Nothing is defined here."""

from __future__ import annotations

from ..naming import clear_session
from ..seeds import set_random_seed
from ..targets import to_categorical

__all__ = ["clear_session", "set_random_seed", "to_categorical"]
