"""What runs between the native calls of training: History, progress, logs, learning rates, and what users write."""

from .averages import SwapEMAWeights
from .backup import BackupAndRestore
from .base import Callback
from .csv_logger import CSVLogger
from .functions import LambdaCallback
from .gradient_norms import GradientNorms
from .health import Health
from .history import History
from .learning_rate import LearningRateScheduler
from .monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from .one_cycle import OneCycle
from .progress import ProgbarLogger
from .stopping import TerminateOnNaN, TimeBudget
from .tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "GradientNorms",
    "Health",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "OneCycle",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeBudget",
]
