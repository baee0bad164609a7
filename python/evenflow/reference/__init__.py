"""What evenflow computes, in NumPy: every kernel and a whole training step as their textbook formulas.

Read these files to know the semantics; `evenflow.kernels` and the compiled programs are tested against them.
Functions have the names and arguments of the eager kernels. Inputs are promoted to float64; wider types
(`np.longdouble`) stay as they are, so that float64 kernels can be judged too. Results have the promoted type; the
in-place functions (updates, clipping) compute in it and store in the type of their argument. Only clarity counts here.

Arrays are [rows, features]. Kernels (weights) are [inputs, units].
"""

from .activations import *  # noqa: F403
from .ids import *  # noqa: F403
from .layers import *  # noqa: F403
from .learned import *  # noqa: F403
from .losses import *  # noqa: F403
from .metrics import *  # noqa: F403
from .network import Network as Network
from .noise import *  # noqa: F403
from .outputs import *  # noqa: F403
from .penalties import keep_nonnegative as keep_nonnegative
from .penalties import limit_norms as limit_norms
from .penalties import penalize as penalize
from .penalties import penalize_pairs as penalize_pairs
from .penalties import soft_threshold as soft_threshold
from .random import normals as normals
from .random import random_bits as random_bits
from .random import random_words as random_words
from .row_normalization import *  # noqa: F403
from .updates import *  # noqa: F403
