"""Many small networks at once: `evenflow.fit_many`, folds for cross-validation, and the threads they run in."""

from .fits import Fit, FitManyError, Fits, fit_many
from .folds import folds_of

__all__ = ["Fit", "FitManyError", "Fits", "fit_many", "folds_of"]
