"""The native core: plans, programs and kernels. Everything is checked; no output is converted; the GIL is released."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]

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

def find_nonfinite(x: _Array, dtype: str = "float64") -> tuple[int, int] | None:
    """(row, column) of the first NaN or infinity of a 2-D float array, or None. Any strides."""

def find_wrong_id(x: _Array, limit: int) -> tuple[int, int] | None:
    """(row, column) of the first value of a 2-D array that is no whole number from 0 to limit - 1, or None."""

def activations() -> dict[str, dict[str, float]]:
    """Activation names the core knows, each with its hyper-parameters and their defaults."""

def losses() -> dict[str, dict[str, Any]]:
    """Loss names the core knows, each with its hyper-parameters and their defaults."""

def learned_activations() -> dict[str, tuple[str, float]]:
    """Activations with a parameter that is trained: its name and what it starts from."""

def measure_fma(threads: int, seconds: float) -> float:
    """The best rate of multiply-adds in registers, float32, in operations per second; two per multiply-add."""

def measure_bandwidth(bytes: int, threads: int, seconds: float) -> float:
    """The best rate of an update's stream over a working set of so many bytes, in bytes per second."""

class Progress:
    """What calls of `train` or `evaluate` did: sums, from the call that was not told to go on `after` another."""

    def __init__(
        self,
        *,
        loss: float,
        losses: Sequence[float],
        metrics: Sequence[_Array | Sequence[float]],
        rows: int,
        weights: Sequence[float],
        steps: int,
        next_step: int,
    ) -> None: ...
    @property
    def loss(self) -> float: ...  # sum over rows of the row's loss and the penalties
    @property
    def losses(self) -> list[float]: ...  # of each output, without its weight and without penalties
    @property
    def metrics(self) -> list[NDArray[np.float64]]: ...  # each one's state: copies, in the order of the spec
    @property
    def rows(self) -> int: ...
    @property
    def weights(self) -> list[float]: ...  # of each output: sum of the rows' weights; their number without any
    @property
    def steps(self) -> int: ...
    @property
    def next_step(self) -> int: ...  # first step that was not run
    @property
    def seconds(self) -> float: ...
    @property
    def threads(self) -> int: ...  # threads of the last step
    @property
    def gradient_norm(
        self,
    ) -> float: ...  # global l2 norm before clipping, of the last step (0 when nobody asks for it)
    @property
    def gradient_norms(self) -> list[float]: ...  # of each trainable variable; empty when nobody asks for them

class Health:
    """What steps counted of a network's layers: of every `every`-th one all, of the others which units are alive."""

    def __init__(self, program: Program, every: int = 1) -> None: ...
    def fits(self, program: Program) -> bool: ...  # whether it has the layers that are counted here
    def go_on(self, counts: Mapping[str, Any]) -> None:
        """Take over what was counted of such layers before: a dict of steps, sampled, rows, outputs and weights."""

    @property
    def every(self) -> int: ...
    @property
    def steps(self) -> int: ...  # of the optimizer
    @property
    def sampled(self) -> int: ...  # steps
    @property
    def rows(self) -> int: ...  # of sampled steps
    @property
    def outputs(self) -> list[dict[str, Any]]: ...  # layer, curved; by unit: mean, squares, flat, alive
    @property
    def weights(self) -> list[dict[str, Any]]: ...  # layer, and sums over sampled steps: gradient, update, weight

class _Several(Protocol):
    arrays: list[_Array | None]

_Inputs = _Array | Sequence[_Array] | _Several  # the last two where a network has several inputs
_Outputs = _Array | Sequence[_Array | None] | _Several  # the same where it has several outputs; None: it has no loss

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
    @property
    def spec(self) -> dict[str, Any]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def batch_size(self) -> int: ...  # capacity: the most rows of one step
    @property
    def inputs(self) -> int | tuple[int, ...]: ...
    @property
    def outputs(self) -> int | tuple[int, ...]: ...
    threads: int  # of every call; 0: whatever finishes first, at most num_threads()
    def __str__(self) -> str: ...  # the plan: operations, shapes, arena offsets, panels
    def plan(self) -> list[dict[str, Any]]: ...  # the same as data, and whether the way back goes through the stage
    # variables, by "layer/variable": kernel [inputs, units], bias, gamma, beta, moving_mean, moving_variance
    def variables(self) -> list[tuple[str, tuple[int, ...], bool]]: ...  # name, shape, trainable, in layer order
    def get(self, name: str) -> _Array: ...  # a copy, C order
    def set(self, name: str, value: _Array) -> None: ...
    def gradient(self, name: str) -> _Array: ...  # a copy, C order; of the last backward
    def set_gradient(self, name: str, value: _Array) -> None: ...  # that the next update spends
    def slot_names(self) -> list[str]: ...  # [] for plain SGD, ["momentum"], ["m", "v"], ...; "average", ...
    def get_slot(self, slot: str, name: str) -> _Array: ...
    def set_slot(self, slot: str, name: str, value: _Array) -> None: ...
    def reset_slots(self) -> None: ...  # as in a new program
    iterations: int  # batches that the optimizer was given: its steps, unless gradients accumulate
    momentum_product: float | None  # of Nadam's steps so far; None with another optimizer
    @property
    def parameters(
        self,
    ) -> _Array: ...  # flat, zero copy, trainable part of the arena in plan order (layout: docs/design.md)
    @property
    def gradients(self) -> _Array: ...  # flat, zero copy, same layout; who looks here may write, so norms are forgotten
    @property
    def gradient_norms(self) -> dict[str, float] | None: ...  # before clipping, by variable; None when unknown
    # whole epochs
    def train(
        self,
        x: _Inputs,
        y: _Outputs,
        *,
        learning_rate: float | NDArray[np.float64],  # one rate, or one per step of the epoch
        momentum: float | NDArray[np.float64] | None = None,  # the same for momentum or beta_1
        order: NDArray[np.int64] | None = None,  # row of the data set for each position; None: as they lie
        batch_size: int = 0,  # 0: the capacity
        first_step: int = 0,
        seconds: float = ...,  # stop after the first step that ends later than this
        max_steps: int = 0,  # 0: to the end of the epoch
        after: Progress | None = None,  # sums to go on from: calls add up to the same bits as one call
        gradient_norms: NDArray[np.float64] | None = None,  # [steps, trainable variables], filled: before clipping
        sample_weight: _Outputs | None = None,  # [rows, 1]
        class_weight: NDArray[np.float64] | None = None,  # of classes 0, 1, ...
        health: Health | None = None,  # goes on counting
    ) -> Progress: ...
    def evaluate(
        self,
        x: _Inputs,
        y: _Outputs,
        *,
        batch_size: int = 0,
        first_step: int = 0,
        seconds: float = ...,
        max_steps: int = 0,
        after: Progress | None = None,
        sample_weight: _Outputs | None = None,
    ) -> Progress: ...
    def predictions(self, rows: int, output: int = 0) -> _Array: ...  # that its metric "predictions" saw last
    # Any: an array, or a list where there are several outputs
    def predict(self, x: _Inputs, out: _Array | Sequence[_Array] | None = None) -> Any: ...
    def predict_mc(
        self,
        x: _Inputs,
        mean: _Array | Sequence[_Array],  # float64, of the passes so far, moved
        squares: _Array | Sequence[_Array],  # float64, sums of their squared deviations, moved
        *,
        seed: int,
        first_row: int = 0,
        first_pass: int = 0,
        passes: int,
    ) -> None: ...
    # one step in pieces, for embedding
    def forward(
        self,
        x: _Inputs,
        *,
        training: bool = True,
        draw: int | None = None,  # the step whose random numbers are used; None: iterations
        health: Health | None = None,
    ) -> Any: ...
    def backward(
        self, dy: _Array | Sequence[_Array]
    ) -> Any: ...  # gradient of the output -> that of the input, or a list of several; fills `gradients`
    def penalty(self, rows: int) -> float: ...  # of weights as they are, and of the last forward's activities per row
    def update(
        self, learning_rate: float, momentum: float | None = None, health: Health | None = None
    ) -> float: ...  # clips, applies the optimizer; the norm before clipping

# Eager kernels on C-ordered float32 or float64 arrays; evenflow.kernels documents them.
class PackedWeights:
    """Weights [inputs, units] in the kernels' own layout, for the argument `w` of many calls."""

    def __init__(self, w: _Array, *, transposed: bool = False) -> None: ...
    def assign(self, w: _Array, *, transposed: bool = False) -> None: ...  # of the same shape and type
    def unpack(self, *, out: _Array | None = None) -> _Array: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

_W = _Array | PackedWeights
_Maybe = _Array | None
_Out = Sequence[_Array | None] | None

def dense_forward(x: _Array, w: _W, b: _Maybe = None, *, transposed: bool = False, out: _Maybe = None) -> _Array: ...
def dense_backward(
    dy: _Array, x: _Array, w: _W, *, transposed: bool = False, input_gradient: bool = True, out: _Out = None
) -> tuple[_Array, _Array, _Array]: ...  # dx, dw, db

# fmt: off
def dense_bn_act_forward(
    x: _Array, w: _W, b: _Maybe = None, gamma: _Maybe = None, beta: _Maybe = None, mean: _Maybe = None,
    variance: _Maybe = None, *, activation: str = "linear", epsilon: float = 1e-3, transposed: bool = False,
    rate: float = 0.0, seed: int = 0, step: int = 0, layer: int = 0, row: int = 0, out: _Out = None,
    **parameters: float,
) -> tuple[_Array, _Array, _Maybe, _Maybe]: ...  # y, z, mean, variance
def dense_bn_act_inference(
    x: _Array, w: _W, b: _Maybe = None, gamma: _Maybe = None, beta: _Maybe = None, mean: _Maybe = None,
    variance: _Maybe = None, *, activation: str = "linear", epsilon: float = 1e-3, transposed: bool = False,
    out: _Maybe = None, **parameters: float,
) -> _Array: ...
def dense_bn_act_backward(
    dy: _Array, x: _Array, w: _W, z: _Array, gamma: _Maybe = None, beta: _Maybe = None, mean: _Maybe = None,
    variance: _Maybe = None, *, activation: str = "linear", epsilon: float = 1e-3, training: bool = True,
    transposed: bool = False, input_gradient: bool = True, rate: float = 0.0, seed: int = 0, step: int = 0,
    layer: int = 0, row: int = 0, out: _Out = None, **parameters: float,
) -> tuple[_Array, _Array, _Array, _Maybe, _Maybe]: ...  # dx, dw, db, dgamma, dbeta
# fmt: on
def embedding_forward(ids: _Array, table: _Array, *, out: _Maybe = None) -> _Array: ...
def embedding_backward(dy: _Array, ids: _Array, rows: int, *, out: _Maybe = None) -> _Array: ...  # dtable
def layer_norm_forward(x: _Array, gamma: _Array, beta: _Array, *, epsilon: float, out: _Maybe = None) -> _Array: ...
def layer_norm_backward(
    dy: _Array, x: _Array, gamma: _Array, *, epsilon: float, out: _Out = None
) -> tuple[_Array, _Array, _Array]: ...
def rms_norm_forward(x: _Array, scale: _Array, *, epsilon: float, out: _Maybe = None) -> _Array: ...
def rms_norm_backward(
    dy: _Array, x: _Array, scale: _Array, *, epsilon: float, out: _Out = None
) -> tuple[_Array, _Array]: ...
def batch_norm_forward(
    x: _Array, gamma: _Array, beta: _Array, *, epsilon: float, out: _Out = None
) -> tuple[_Array, _Array, _Array]: ...  # y, mean, variance (biased)
def batch_norm_inference(
    x: _Array, gamma: _Array, beta: _Array, mean: _Array, variance: _Array, *, epsilon: float, out: _Maybe = None
) -> _Array: ...
def batch_norm_backward(
    dy: _Array, x: _Array, gamma: _Array, mean: _Array, variance: _Array, *, epsilon: float, out: _Out = None
) -> tuple[_Array, _Array, _Array]: ...  # dx, dgamma, dbeta
def moving_average(moving: _Array, batch: _Array, *, momentum: float, out: _Maybe = None) -> _Array: ...
def activation_forward(name: str, x: _Array, *, out: _Maybe = None, **parameters: float) -> _Array: ...
def activation_backward(
    name: str, dy: _Array, x: _Array, y: _Array, *, out: _Maybe = None, **parameters: float
) -> _Array: ...
def learned_forward(name: str, x: _Array, parameter: _Array, *, out: _Maybe = None) -> _Array: ...
def learned_backward(
    name: str, dy: _Array, x: _Array, parameter: _Array, *, out: _Out = None
) -> tuple[_Array, _Array]: ...
def softmax(x: _Array, *, out: _Maybe = None) -> _Array: ...
def log_softmax(x: _Array, *, out: _Maybe = None) -> _Array: ...
def sparsemax(x: _Array, *, out: _Maybe = None) -> _Array: ...
def random_words(
    counter: Sequence[int], key: int, rows: int = 1, *, out: NDArray[np.uint32] | None = None
) -> NDArray[np.uint32]: ...  # [rows, 4]

# fmt: off
def noise_forward(
    name: str, x: _Array, *, seed: int, step: int = 0, layer: int = 0, row: int = 0,
    groups: Sequence[int] | None = None, one_row: bool = False, out: _Maybe = None, **parameters: float,
) -> _Array: ...
def noise_backward(
    name: str, dy: _Array, y: _Array, *, seed: int, step: int = 0, layer: int = 0, row: int = 0,
    groups: Sequence[int] | None = None, one_row: bool = False, out: _Maybe = None, **parameters: float,
) -> _Array: ...
# fmt: on
def loss_forward_backward(
    name: str, prediction: _Array, target: _Array, *, from_logits: bool = False, out: _Out = None, **parameters: Any
) -> tuple[_Array, _Array]: ...  # loss of each row; gradient of their mean with respect to the prediction
def metric_sums(
    metric: str | Mapping[str, Any], prediction: _Array, target: _Array, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]: ...  # a metric's state of these rows

# Updates, in place, of arrays or of lists of them; the decay comes first: p -= weight_decay * learning_rate * p.
_P = _Array | Sequence[_Array]

def sgd_step(
    p: _P,
    g: _P,
    m: _P | None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    dampening: float = 0.0,
    step: int = 1,
    torch: bool = False,
) -> None: ...
def adam_step(
    p: _P,
    g: _P,
    m: _P,
    v: _P,
    v_max: _P | None = None,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None: ...
def nadam_step(
    p: _P,
    g: _P,
    m: _P,
    v: _P,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    momentum_decay: float = 1.0,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    momentum_product: float | None = None,
) -> None: ...
def adamax_step(
    p: _P,
    g: _P,
    m: _P,
    u: _P,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None: ...
def adagrad_step(
    p: _P,
    g: _P,
    accumulator: _P,
    *,
    learning_rate: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None: ...
def adadelta_step(
    p: _P,
    g: _P,
    accumulated_grad: _P,
    accumulated_delta_var: _P,
    *,
    learning_rate: float,
    rho: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
) -> None: ...
def rmsprop_step(
    p: _P,
    g: _P,
    velocity: _P,
    m: _P | None = None,
    average_gradient: _P | None = None,
    *,
    learning_rate: float,
    rho: float,
    momentum: float = 0.0,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None: ...
def lion_step(
    p: _P,
    g: _P,
    m: _P,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
) -> None: ...
def clip_by_value(g: _Array, limit: float) -> None: ...
def clip_by_norm(g: _Array, limit: float, *, epsilon: float = 0.0) -> float: ...  # the norm before
def clip_by_global_norm(gs: Sequence[_Array], limit: float, *, epsilon: float = 0.0) -> float: ...

# Regularizers and constraints, in place.
def penalize(p: _Array, g: _Array | None = None, *, l1: float = 0.0, l2: float = 0.0) -> float: ...  # the penalty of p
def penalize_pairs(w: _Array, g: _Array | None = None, *, factor: float, mode: str = "rows") -> float: ...
def soft_threshold(p: _Array, threshold: float) -> None: ...
def keep_nonnegative(p: _Array) -> None: ...
def limit_norms(w: _Array, *, min_value: float = 0.0, max_value: float, rate: float = 1.0, axis: Any = 0) -> None: ...

# What XLA calls: capsules by name.
def xla_handlers() -> dict[str, Any]: ...
