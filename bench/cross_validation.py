"""`evenflow bench --cv N`: a cross-validation of many small networks: 5 folds of the digits, N of 200 settings.

Each setting is a network 64-64-64-10 trained for 30 epochs by Adam; they differ in learning rate, l2 penalty, batch
size and activation. All peers train the same settings on the same rows, and test on the same. Each runs in a process of
its own, which first trains a network to wake up whatever there is, and is then timed from the settings to the scores;
peers take turns.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenflow import fit_many
from evenflow.many.folds import Fold, folds_of

from .harness import child_environment
from .problem import Variant

Array = NDArray[Any]

FOLDS, UNITS, CLASSES, EPOCHS = 5, 64, 10, 30
MOST = 200
# Between the mean accuracies of two peers, beside three standard errors: initial weights are not quite the same.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Setting:
    """One of the 200. `alpha` as scikit-learn has it: a penalty alpha / (2 rows of a batch) * sum(w^2) of kernels."""

    learning_rate: float
    alpha: float
    batch_size: int
    activation: str

    @property
    def l2(self) -> float:
        """The factor of sum(w^2)."""
        return self.alpha / (2 * self.batch_size)


def settings(count: int) -> list[Setting]:
    """So many of the 200, drawn in a fixed order."""
    grid = itertools.product(
        (3e-4, 1e-3, 2e-3, 4e-3, 8e-3), (1e-5, 1e-4, 1e-3, 1e-2, 1e-1), (32, 64, 128, 200), ("relu", "tanh")
    )
    every = [Setting(*one) for one in grid]
    order = np.random.default_rng(0).permutation(MOST)[:count]
    return [every[i] for i in order]


def data() -> tuple[Array, Array, list[Fold]]:
    """The digits, float32 in [0, 1], with their labels and folds."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y.astype(np.int64), folds_of("bench", FOLDS, len(y), classes=y, seed=0)


# Peers: scores [settings, folds] of these settings, by so many cores.


def evenflow(chosen: Sequence[Setting], threads: int) -> Array:
    """All in one call of `fit_many`."""
    from evenflow import Sequential
    from evenflow.layers import Dense, Input
    from evenflow.optimizers import Adam
    from evenflow.regularizers import L2

    x, y, folds = data()
    models: dict[str, Any] = {}
    for number, one in enumerate(chosen):
        hidden = [Dense(UNITS, one.activation, kernel_regularizer=L2(one.l2)) for _ in range(2)]
        model = Sequential([Input(x.shape[1:]), *hidden, Dense(CLASSES, "softmax", kernel_regularizer=L2(one.l2))])
        model.compile(Adam(one.learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        models[str(number)] = model, {"batch_size": one.batch_size}
    found = fit_many(models, (x, y), folds, epochs=EPOCHS, threads=threads)
    return np.array(list(found.scores("accuracy").values()))


def sklearn(chosen: Sequence[Setting], threads: int) -> Array:
    """MLPClassifier, spread over processes by joblib."""
    return _by_processes(_sklearn_fit, chosen, threads)


def torch(chosen: Sequence[Setting], threads: int) -> Array:
    """A network at a time in each process, one thread each, with the fused Adam; rows in memory, no loader."""
    return _by_processes(_torch_fit, chosen, threads)


def torch_stacked(chosen: Sequence[Setting], threads: int) -> Array:
    """All networks of a fold with the same batch size and activation as one batched product, as an expert would."""
    import torch

    torch.set_num_threads(threads)
    x, y, folds = data()
    scores = np.empty((len(chosen), FOLDS))
    groups: dict[tuple[int, str], list[int]] = {}
    for number, one in enumerate(chosen):
        groups.setdefault((one.batch_size, one.activation), []).append(number)
    for (batch, activation), members in groups.items():
        for fold, (training, test) in enumerate(folds):
            scores[members, fold] = _torch_stack(
                [chosen[i] for i in members], batch, activation, x[training], y[training], x[test], y[test]
            )
    return scores


def _by_processes(fit: Callable[..., float], chosen: Sequence[Setting], threads: int) -> Array:
    from joblib import Parallel, delayed  # type: ignore[import-untyped, unused-ignore]

    x, y, folds = data()
    jobs = [delayed(fit)(one, x, y, *fold) for one in chosen for fold in folds]
    return np.reshape(Parallel(n_jobs=threads)(jobs), (len(chosen), FOLDS))


def _sklearn_fit(one: Setting, x: Array, y: Array, training: Array, test: Array) -> float:
    import warnings

    from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped, unused-ignore]

    model = MLPClassifier(
        (UNITS, UNITS),
        one.activation,
        alpha=one.alpha,
        batch_size=one.batch_size,
        learning_rate_init=one.learning_rate,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS + 1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 30 epochs are not convergence
        model.fit(x[training], y[training])
    return float(model.score(x[test], y[test]))


def _torch_fit(one: Setting, x: Array, y: Array, training: Array, test: Array) -> float:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    act: Any = {"relu": nn.ReLU, "tanh": nn.Tanh}[one.activation]
    model = nn.Sequential(
        nn.Linear(x.shape[1], UNITS), act(), nn.Linear(UNITS, UNITS), act(), nn.Linear(UNITS, CLASSES)
    )
    kernels = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    for kernel in kernels:
        nn.init.xavier_uniform_(kernel)
    biases = [layer.bias for layer in model if isinstance(layer, nn.Linear)]
    groups = [{"params": kernels, "weight_decay": 2 * one.l2}, {"params": biases}]
    optimizer = torch.optim.Adam(groups, one.learning_rate, fused=True)
    inputs, labels = torch.from_numpy(x[training]), torch.from_numpy(y[training])
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for rows in order.split(one.batch_size):
            loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return float((model(torch.from_numpy(x[test])).argmax(1).numpy() == y[test]).mean())


def _torch_stack(
    members: Sequence[Setting], batch: int, activation: str, x: Array, y: Array, x_test: Array, y_test: Array
) -> Array:
    """Accuracies of networks with the same batches, all in one set of tensors [networks, inputs, units]."""
    import torch

    count, sizes = len(members), (x.shape[1], UNITS, UNITS, CLASSES)
    kernels, biases = [], []
    for inputs, units in itertools.pairwise(sizes):
        limit = (6 / (inputs + units)) ** 0.5
        kernels.append(torch.empty(count, inputs, units).uniform_(-limit, limit).requires_grad_())
        biases.append(torch.zeros(count, 1, units).requires_grad_())
    parameters = [*kernels, *biases]
    slots = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    rates = torch.tensor([one.learning_rate for one in members]).reshape(-1, 1, 1)
    decay = torch.tensor([2 * one.l2 for one in members]).reshape(-1, 1, 1)
    act = getattr(torch, activation)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)

    def forward(rows: Any) -> Any:
        for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
            rows = act(torch.baddbmm(bias, rows, kernel))
        return torch.baddbmm(biases[-1], rows, kernels[-1])

    step = 0
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for rows in order.split(batch):
            step += 1
            outputs = forward(inputs[rows].expand(count, -1, -1))
            targets = labels[rows].expand(count, -1)
            loss = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="sum")
            gradients = torch.autograd.grad(loss / len(rows), parameters)
            with torch.no_grad():
                scale = rates * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                for i, (p, (m, v), gradient) in enumerate(zip(parameters, slots, gradients, strict=True)):
                    g = gradient.addcmul(p, decay) if i < len(kernels) else gradient
                    m.lerp_(g, 0.1)
                    v.mul_(0.999).addcmul_(g, g, value=0.001)
                    p.sub_(scale * m / (v.sqrt() + 1e-7))
    with torch.no_grad():
        chosen = forward(torch.from_numpy(x_test).expand(count, -1, -1)).argmax(2)
    return np.asarray((chosen.numpy() == y_test).mean(axis=1))


PEERS: dict[str, Callable[[Sequence[Setting], int], Array]] = {
    "evenflow": evenflow,
    "sklearn": sklearn,
    "torch": torch,
    "torch, stacked": torch_stacked,
}
NOTES = {
    "evenflow": "fit_many, a thread for each core",
    "sklearn": "MLPClassifier, joblib with a process for each core",
    "torch": "eager, fused Adam, joblib with a process for each core",
    "torch, stacked": "networks of the same shape in batched products, Adam by hand",
}


@dataclass
class Result:
    """What one peer did: seconds of each round, and the mean test accuracy of all networks."""

    peer: str
    seconds: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    standard_error: float = 0.0  # of the accuracy, by the folds of each setting
    error: str = ""

    def agrees(self, other: Result) -> bool:
        """Whether the accuracy is that of another peer, within noise."""
        noise = 3 * math.hypot(self.standard_error, other.standard_error)
        return abs(self.accuracy - other.accuracy) <= TOLERANCE + noise


def compare(count: int, threads: int, rounds: int) -> list[Result]:
    """All peers on so many settings, in turn, `rounds` times."""
    results = [Result(peer) for peer in PEERS]
    for _ in range(rounds):
        for result in results:
            if not result.error:
                _measure(result, count, threads)
    return results


def _measure(result: Result, count: int, threads: int) -> None:
    request = json.dumps({"peer": result.peer, "settings": count, "threads": threads})
    command = [sys.executable, "-m", f"{__package__}.cross_validation", request]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # in each of its processes
    variant = Variant("", one if result.peer in ("sklearn", "torch") else {}, {})
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(variant))
    if done.returncode:
        result.error = (done.stderr.strip().splitlines() or ["it died"])[-1]
        return
    answer = json.loads(done.stdout.splitlines()[-1])
    result.seconds.append(answer["seconds"])
    result.accuracy, result.standard_error = answer["accuracy"], answer["standard_error"]


def table(results: Sequence[Result], count: int) -> str:
    """The results as text, with a gate: a peer whose accuracy is another one has not done the same."""
    lines = [
        f"Cross-validation: {count} settings x {FOLDS} folds of a 64-{UNITS}-{UNITS}-{CLASSES} network on the digits,"
        f" {EPOCHS} epochs each",
        f"{'':16}{'least s':>9}{'median s':>10}{'ms/model':>10}{'times':>8}  accuracy",
    ]
    base = results[0]
    for result in results:
        if result.error:
            lines.append(f"{result.peer:16}{result.error}")
            continue
        least, median = min(result.seconds), statistics.median(result.seconds)
        ratio = least / min(base.seconds) if base.seconds else float("nan")
        wrong = "" if result.agrees(base) or not base.seconds else "  NOT the same answer"
        lines.append(
            f"{result.peer:16}{least:9.2f}{median:10.2f}{1e3 * least / (count * FOLDS):10.2f}{ratio:8.1f}"
            f"  {result.accuracy:.4f}{wrong}   {NOTES[result.peer]}"
        )
    if not base.seconds:
        lines.append(f"Nothing to compare with: {base.peer} failed: {base.error}")
    return "\n".join(lines)


def failed(results: Sequence[Result]) -> bool:
    """Whether a peer that is installed did something else."""
    broken = [result for result in results if result.error and "No module named" not in result.error]
    return bool(broken) or not all(result.agrees(results[0]) for result in results if result.seconds)


def as_data(results: Sequence[Result], count: int) -> dict[str, Any]:
    """For `--json`."""
    return {"cross_validation": {"settings": count, "folds": FOLDS, "peers": [asdict(one) for one in results]}}


def main() -> None:
    """The child: warm up, then time."""
    request = json.loads(sys.argv[1])
    peer, threads = PEERS[request["peer"]], request["threads"]
    chosen = settings(request["settings"])
    peer(chosen[:1], threads)
    begin = time.perf_counter()
    scores = peer(chosen, threads)
    seconds = time.perf_counter() - begin
    error = float(np.sqrt(scores.var(axis=1, ddof=1).mean() / scores.size))
    print(json.dumps({"seconds": seconds, "accuracy": float(scores.mean()), "standard_error": error}))


if __name__ == "__main__":
    main()
