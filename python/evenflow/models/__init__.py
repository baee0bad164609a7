"""Models: layers in a row, and from values to values; cloned, folded, saved and loaded."""

from .cloning import clone_model
from .loading import load_model
from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model"]
