"""The native core: plans, programs and kernels. Everything is checked; no output is converted; the GIL is released."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

__version__: str

def isas() -> list[str]:
    """Instruction sets of this build that this machine can run, best first ("avx512", "avx2", "baseline")."""

def isa() -> str:
    """The instruction set in use: the best one, unless EVENFLOW_ISA or `use_isa` says otherwise."""

def use_isa(name: str) -> None:
    """Choose the instruction set of programs and kernels made from now on."""

def num_threads() -> int:
    """Most threads of a call: `set_num_threads`, else EVENFLOW_NUM_THREADS, else what OpenMP and the cgroup allow."""

def set_num_threads(threads: int) -> None:
    """Limit the threads of later calls; 0 returns to the default."""

def build_info() -> dict[str, Any]:
    """Compiler, flags, OpenMP, cache sizes of this machine: what `evenflow info` prints."""

def find_nonfinite(x: Array) -> tuple[int, int] | None:
    """(row, column) of the first NaN or infinity of a 2-D float array, or None. Any strides."""

def activations() -> dict[str, dict[str, float]]:
    """Activation names the core knows, each with its hyper-parameters and their defaults."""

def measure_fma(threads: int, seconds: float) -> float:
    """The best rate of multiply-adds in registers, float32, in operations per second; two per multiply-add."""

def measure_bandwidth(bytes: int, threads: int, seconds: float) -> float:
    """The best rate of an update's stream over a working set of so many bytes, in bytes per second."""

class Progress:
    """What calls of `train` or `evaluate` did: sums, from the call that was not told to go on `after` another."""

    loss: float  # sum over rows of the row's loss
    metrics: list[float]  # sums over rows, in the order of the spec
    rows: int
    steps: int
    next_step: int  # first step that was not run
    seconds: float
    threads: int  # threads of the last step
    gradient_norm: float  # global l2 norm before clipping, of the last step (0 when no clipping asks for it)

class Program:
    """A compiled network: one arena, one plan. Raises RuntimeError when two threads use it at once."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        *,
        dtype: str = "float32",
        batch_size: int = 32,
        threads: int = 0,
        fusion: bool = True,
    ) -> None: ...
    # what it is
    spec: dict[str, Any]
    dtype: str
    isa: str
    batch_size: int  # capacity: the most rows of one step
    inputs: int
    outputs: int
    threads: int  # of every call; 0: whatever finishes first, at most num_threads()
    def __str__(self) -> str: ...  # the plan: operations, shapes, arena offsets, panels
    def plan(self) -> list[dict[str, Any]]: ...  # the same as data
    # variables, by "layer/variable": kernel [inputs, units], bias, gamma, beta, moving_mean, moving_variance
    def variables(self) -> list[tuple[str, tuple[int, ...], bool]]: ...  # name, shape, trainable, in layer order
    def get(self, name: str) -> Array: ...  # a copy, C order
    def set(self, name: str, value: Array) -> None: ...
    def gradient(self, name: str) -> Array: ...  # a copy, C order; of the last backward
    def slot_names(self) -> list[str]: ...  # [] for plain SGD, ["momentum"], ["m", "v"]
    def get_slot(self, slot: str, name: str) -> Array: ...
    def set_slot(self, slot: str, name: str, value: Array) -> None: ...
    iterations: int  # optimizer steps done
    parameters: Array  # flat, zero copy, trainable part of the arena in plan order (layout: docs/design.md)
    gradients: Array  # flat, zero copy, same layout
    # whole epochs
    def train(
        self,
        x: Array,
        y: Array,
        *,
        learning_rate: float | NDArray[np.float64],  # one rate, or one per step of the epoch
        order: NDArray[np.int64] | None = None,  # row of the data set for each position; None: as they lie
        batch_size: int = 0,  # 0: the capacity
        first_step: int = 0,
        seconds: float = ...,  # stop after the first step that ends later than this
        max_steps: int = 0,  # 0: to the end of the epoch
        after: Progress | None = None,  # sums to go on from: calls add up to the same bits as one call
    ) -> Progress: ...
    def evaluate(
        self,
        x: Array,
        y: Array,
        *,
        batch_size: int = 0,
        first_step: int = 0,
        seconds: float = ...,
        after: Progress | None = None,
    ) -> Progress: ...
    def predict(self, x: Array, out: Array | None = None) -> Array: ...
    # one step in pieces, for embedding
    def forward(self, x: Array, *, training: bool = True) -> Array: ...
    def backward(self, dy: Array) -> Array: ...  # gradient of the output -> gradient of the input; fills `gradients`
    def update(self, learning_rate: float) -> float: ...  # clips, applies the optimizer; the norm before clipping

# Eager kernels on C-ordered float32 or float64 arrays; evenflow.kernels documents them.
def dense_forward(x: Array, w: Array, b: Array | None = None) -> Array: ...
def dense_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]: ...  # dx, dw, db
def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, *, epsilon: float
) -> tuple[Array, Array, Array]: ...  # y, mean, var
def batch_norm_inference(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, *, epsilon: float
) -> Array: ...
def batch_norm_backward(
    dy: Array, x: Array, gamma: Array, mean: Array, variance: Array, *, epsilon: float
) -> tuple[Array, Array, Array]: ...  # dx, dgamma, dbeta
def activation_forward(name: str, x: Array, **parameters: float) -> Array: ...
def activation_backward(name: str, dy: Array, x: Array, y: Array, **parameters: float) -> Array: ...
def softmax(x: Array) -> Array: ...
def loss_forward_backward(
    name: str, prediction: Array, target: Array, *, from_logits: bool = False
) -> tuple[Array, Array]: ...  # loss of each row; gradient of their mean with respect to the prediction
def sgd_step(
    p: Array, g: Array, m: Array | None, *, learning_rate: float, momentum: float = 0.0, nesterov: bool = False
) -> None: ...
def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None: ...
def clip_by_value(g: Array, limit: float) -> None: ...
def clip_by_norm(g: Array, limit: float) -> float: ...  # the norm before
def clip_by_global_norm(gs: Sequence[Array], limit: float) -> float: ...
