"""The peers, each a class that trains a workload with its library at that library's best settings.

A peer is built in a process of its own (`worker.py`) and imports its library only there. It starts from the workload's
initial variables and walks through the same batches in the same order as every other peer.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .numpy_peer import Numpy, cross_entropy
from .problem import Peer, Variant, thread_environment


class Own(Peer):
    """What evenflow's two ways have in common."""

    distribution = "evenflow"

    def version(self) -> str:
        return str(import_module("evenflow").__version__)


class Evenflow(Own):
    """evenflow's compiled program, a block of the epoch in one call."""

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [Variant("program", {"EVENFLOW_NUM_THREADS": str(threads)})]

    def build(self, threads: int) -> None:
        core = import_module("evenflow._core")
        # The environment limits the threads; within that the program finds the fastest number, as it does for users.
        self.program = core.Program(workloads.spec(self.workload), dtype="float32", batch_size=self.workload.batch)
        for name, value in self.problem.variables.items():
            self.program.set(name, value)

    def train(self, first: int, count: int) -> Any:
        return self.program.train(
            self.problem.x,
            self.problem.y,
            learning_rate=workloads.LEARNING_RATE,
            order=self.problem.order,
            batch_size=self.workload.batch,
            first_step=first,
            max_steps=count,
        )

    def first_losses(self, count: int) -> list[float]:
        return [self.train(step, 1).loss / self.workload.batch for step in range(count)]

    def steps(self, first: int, count: int) -> None:
        self.train(first, count)


class EvenflowFit(Own):
    """evenflow through `Sequential.fit`, an epoch in one call: what the Python around the program costs."""

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [Variant("fit", {"EVENFLOW_NUM_THREADS": str(threads)})]

    def build(self, threads: int) -> None:
        evenflow = import_module("evenflow")
        layers: list[Any] = [evenflow.Input((self.workload.inputs,))]
        for units in self.workload.hidden:
            layers.append(evenflow.layers.Dense(units, use_bias=False))
            layers.append(evenflow.layers.BatchNormalization())
            layers.append(evenflow.layers.Activation(self.workload.activation))
        layers.append(evenflow.layers.Dense(self.workload.outputs))
        self.model = evenflow.Sequential(layers)
        self.model.compile(
            optimizer=evenflow.optimizers.Adam(learning_rate=workloads.LEARNING_RATE, epsilon=workloads.EPSILON),
            loss=evenflow.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        self.model.set_weights(list(self.problem.variables.values()))

    def first_losses(self, count: int) -> list[float]:
        losses = []
        for step in range(count):
            rows = self.problem.rows(step)
            history = self.model.fit(
                self.problem.x[rows], self.problem.y[rows], batch_size=self.workload.batch, shuffle=False, verbose=0
            )
            losses.append(float(history.history["loss"][0]))
        return losses

    def block(self) -> int:
        self.model.fit(self.problem.x, self.problem.y, batch_size=self.workload.batch, verbose=0)
        return self.workload.batches


class Torch(Peer):
    """PyTorch: tensors in memory, a block's rows gathered at once, fused Adam; eager or compiled, one thread or all."""

    distribution = "torch"

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [
            Variant(f"{mode}, {n} thr.", thread_environment(n), {"mode": mode, "torch_threads": n})
            for mode in (["eager"] if quick else ["eager", "compile"])
            for n in sorted({1, threads})
        ]

    def build(self, threads: int, mode: str = "eager", torch_threads: int = 1) -> None:
        torch = import_module("torch")
        torch.set_num_threads(torch_threads)
        variable, depth = self.problem.variable, len(self.workload.hidden)
        activation = {"relu": torch.nn.ReLU, "elu": torch.nn.ELU, "silu": torch.nn.SiLU}[self.workload.activation]
        layers: list[Any] = []
        for index, (inputs, units) in enumerate(self.workload.kernels):
            layers.append(torch.nn.Linear(inputs, units, bias=index == depth))
            if index < depth:
                momentum = 1 - workloads.BN_MOMENTUM
                layers += [torch.nn.BatchNorm1d(units, eps=workloads.BN_EPSILON, momentum=momentum), activation()]
        with torch.no_grad():
            for index in range(depth):
                layers[3 * index].weight.copy_(torch.from_numpy(variable("dense", index, "kernel").T))
                layers[3 * index + 1].weight.copy_(torch.from_numpy(variable("batch_normalization", index, "gamma")))
                layers[3 * index + 1].bias.copy_(torch.from_numpy(variable("batch_normalization", index, "beta")))
            layers[-1].weight.copy_(torch.from_numpy(variable("dense", depth, "kernel").T))
            layers[-1].bias.copy_(torch.from_numpy(variable("dense", depth, "bias")))
        model = self.model = torch.nn.Sequential(*layers)
        cross_entropy = torch.nn.functional.cross_entropy

        def loss(x: Any, y: Any) -> Any:
            return cross_entropy(model(x), y)

        self.loss = torch.compile(loss) if mode == "compile" else loss
        self.x, self.y, self.order = map(torch.from_numpy, (self.problem.x, self.problem.y, self.problem.order))
        betas = workloads.BETA_1, workloads.BETA_2
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=workloads.LEARNING_RATE, betas=betas, eps=workloads.EPSILON, fused=True
        )

    def first_losses(self, count: int) -> list[float]:
        """With PyTorch's epsilon set, step by step, to what Keras' form means there."""
        losses: list[float] = []
        for step in range(count):
            self.optimizer.param_groups[0]["eps"] = workloads.EPSILON / (1 - workloads.BETA_2 ** (step + 1)) ** 0.5
            losses.append(self.steps(step, 1))
        self.optimizer.param_groups[0]["eps"] = workloads.EPSILON
        return losses

    def steps(self, first: int, count: int) -> Any:
        batch = self.workload.batch
        rows = self.order[first * batch : (first + count) * batch]
        xs, ys = self.x.index_select(0, rows).split(batch), self.y.index_select(0, rows).split(batch)
        for x, y in zip(xs, ys, strict=True):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(x, y)
            loss.backward()
            self.optimizer.step()
        return loss.item()


class Jax(Peer):
    """JAX: a block of the epoch in one `jit` with `lax.scan`, the state donated, everything written by hand."""

    distribution = "jax"

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        one_thread = "--xla_cpu_multi_thread_eigen=false"
        flags = {"default": "", "1 Eigen thr.": one_thread}
        if not quick:
            flags["1 Eigen thr., 512 bit"] = f"{one_thread} --xla_cpu_prefer_vector_width=512"
        environment = thread_environment(threads) | {"JAX_PLATFORMS": "cpu"}
        return [Variant(name, environment | {"XLA_FLAGS": flag}) for name, flag in flags.items()]

    def build(self, threads: int) -> None:
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        variable, depth, keep = self.problem.variable, len(self.workload.hidden), workloads.BN_MOMENTUM
        beta_1, beta_2 = workloads.BETA_1, workloads.BETA_2
        activation = getattr(jax.nn, self.workload.activation)
        layers = [
            {
                "kernel": variable("dense", index, "kernel"),
                "gamma": variable("batch_normalization", index, "gamma"),
                "beta": variable("batch_normalization", index, "beta"),
            }
            for index in range(depth)
        ]
        layers.append({name: variable("dense", depth, name) for name in ("kernel", "bias")})
        moving = [(np.zeros(units, np.float32), np.ones(units, np.float32)) for units in self.workload.hidden]

        def loss_of(layers: Any, moving: Any, x: Any, y: Any) -> tuple[Any, Any]:
            moved = []
            for layer, (moving_mean, moving_variance) in zip(layers[:-1], moving, strict=True):
                z = x @ layer["kernel"]
                mean = z.mean(axis=0)
                centred = z - mean
                variance = jnp.mean(centred * centred, axis=0)
                scale = layer["gamma"] * jax.lax.rsqrt(variance + workloads.BN_EPSILON)
                x = activation(centred * scale + layer["beta"])
                moved.append((keep * moving_mean + (1 - keep) * mean, keep * moving_variance + (1 - keep) * variance))
            logits = x @ layers[-1]["kernel"] + layers[-1]["bias"]
            picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
            return -picked.mean(), moved

        def step(state: Any, batch: Any) -> tuple[Any, Any]:
            layers, m, v, moving, count = state
            (loss, moving), gradients = jax.value_and_grad(loss_of, has_aux=True)(layers, moving, *batch)
            count = count + 1
            rate = workloads.LEARNING_RATE * jnp.sqrt(1 - beta_2**count) / (1 - beta_1**count)
            m = jax.tree.map(lambda m, g: m + (1 - beta_1) * (g - m), m, gradients)
            v = jax.tree.map(lambda v, g: v + (1 - beta_2) * (g * g - v), v, gradients)
            layers = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + workloads.EPSILON), layers, m, v)
            return (layers, m, v, moving, count), loss

        def run(state: Any, x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
            # Gathered for the block at once: 15 % faster on the smallest network than step by step, elsewhere the same.
            return jax.lax.scan(step, state, (x[rows], y[rows]))  # type: ignore[no-any-return]

        self.run = jax.jit(run, donate_argnums=0)
        m, v = jax.tree.map(np.zeros_like, (layers, layers))
        self.state = jax.device_put((layers, m, v, moving, np.float32(0)))
        self.x, self.y = jax.device_put((self.problem.x, self.problem.y.astype(np.int32)))
        self.rows = jax.device_put(self.problem.order.astype(np.int32).reshape(-1, self.workload.batch))

    def run_steps(self, first: int, count: int) -> Any:
        self.state, losses = self.run(self.state, self.x, self.y, self.rows[first : first + count])
        return losses

    def first_losses(self, count: int) -> list[float]:
        return [float(loss) for loss in self.run_steps(0, self.workload.block)[:count]]

    def steps(self, first: int, count: int) -> None:
        self.run_steps(first, count).block_until_ready()


class Keras(Peer):
    """Keras 3 on its JAX backend, an epoch of `fit` in one call."""

    distribution = "keras"

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [Variant(v.name, v.environment | {"KERAS_BACKEND": "jax"}) for v in Jax.variants(threads, quick=True)]

    def build(self, threads: int) -> None:
        keras = import_module("keras")
        layers: list[Any] = [keras.layers.Input((self.workload.inputs,))]
        for units in self.workload.hidden:
            layers.append(keras.layers.Dense(units, use_bias=False))
            layers.append(keras.layers.BatchNormalization(momentum=workloads.BN_MOMENTUM, epsilon=workloads.BN_EPSILON))
            layers.append(keras.layers.Activation(self.workload.activation))
        layers.append(keras.layers.Dense(self.workload.outputs))
        self.model = keras.Sequential(layers)
        self.model.compile(
            optimizer=keras.optimizers.Adam(learning_rate=workloads.LEARNING_RATE, epsilon=workloads.EPSILON),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
        )
        self.model.set_weights(list(self.problem.variables.values()))

    def first_losses(self, count: int) -> list[float]:
        losses = []
        for step in range(count):
            rows = self.problem.rows(step)
            self.model.reset_metrics()
            losses.append(float(self.model.train_on_batch(self.problem.x[rows], self.problem.y[rows])))
        return losses

    def block(self) -> int:
        self.model.fit(self.problem.x, self.problem.y, batch_size=self.workload.batch, verbose=0)
        return self.workload.batches


class Sklearn(Peer):
    """scikit-learn's MLPClassifier, `partial_fit` on a block of batches."""

    distribution = "scikit-learn"
    note = "no batch normalization, ReLU, a bias in each layer"

    def build(self, threads: int) -> None:
        network = import_module("sklearn.neural_network")
        depth = len(self.workload.hidden)
        self.kernels = [self.problem.variable("dense", index, "kernel").copy() for index in range(depth + 1)]
        self.model = network.MLPClassifier(
            hidden_layer_sizes=self.workload.hidden,
            activation="relu",
            solver="adam",
            alpha=0.0,
            batch_size=self.workload.batch,
            learning_rate_init=workloads.LEARNING_RATE,
            beta_1=workloads.BETA_1,
            beta_2=workloads.BETA_2,
            epsilon=workloads.EPSILON,
            shuffle=False,
        )
        rows = self.problem.rows(0)
        # The first call makes the coefficients; from then on they are ours.
        self.model.partial_fit(self.problem.x[rows], self.problem.y[rows], classes=np.arange(self.workload.outputs))
        for index, kernel in enumerate(self.kernels):
            self.model.coefs_[index][...] = kernel
            self.model.intercepts_[index][...] = 0

    def first_losses(self, count: int) -> list[float]:
        """Of the first batch only: the optimizer has a step behind it."""
        self.steps(0, 1)
        return [float(self.model.loss_)]

    def expected_losses(self) -> list[float]:
        rows = self.problem.rows(0)
        a = self.problem.x[rows].astype(np.float64)
        for kernel in self.kernels[:-1]:
            a = np.maximum(a @ kernel, 0)
        return [cross_entropy(a @ self.kernels[-1], self.problem.y[rows])[0]]

    def steps(self, first: int, count: int) -> None:
        """One call that makes batches of its rows: on `tiny` a fifth of the time of a call for each batch."""
        rows = self.problem.rows(first, count)
        self.model.partial_fit(self.problem.x[rows], self.problem.y[rows])


PEERS: dict[str, type[Peer]] = {
    "evenflow": Evenflow,
    "fit": EvenflowFit,
    "jax": Jax,
    "torch": Torch,
    "keras": Keras,
    "sklearn": Sklearn,
    "numpy": Numpy,
}
