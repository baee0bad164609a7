"""`optimizers.torch`, where users look for it."""

from .optimizers.torch import *  # noqa: F403
from .optimizers.torch import REGISTRY as REGISTRY
from .optimizers.torch import __all__ as __all__
from .optimizers.torch import __doc__ as __doc__
