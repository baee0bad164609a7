"""`optimizers.schedules`, where users find it too."""

from .optimizers.schedules import *  # noqa: F403
from .optimizers.schedules import __all__ as __all__, __doc__ as __doc__
