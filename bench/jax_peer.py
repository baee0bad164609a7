"""JAX: a block of the epoch in one `jit` with `lax.scan`, the state donated, everything written by hand."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .problem import Peer, Variant, thread_environment
from .workloads import BINARY, CROSSENTROPY, FORWARD, GRADIENT, STEP


class Jax(Peer):
    """Layers are dictionaries; the state goes from step to step."""

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
        jax = import_module("jax")
        workload = self.workload
        layers = self.layers()
        moving = [(np.zeros(n, np.float32), np.ones(n, np.float32)) for n in workload.hidden if workload.batch_norm]
        start = workloads.ACCUMULATOR if workload.optimizer.kind == "adagrad" else 0.0
        slots = [jax.tree.map(lambda p: np.full_like(p, start), layers) for _ in range(workload.optimizer.slots)]
        loss_of, update = self.loss_of(jax), self.update_of(jax)

        def step(state: Any, batch: Any) -> tuple[Any, Any]:
            layers, slots, moving, count, key = state
            if workload.dropout:
                key, drawn = jax.random.split(key)
            else:
                drawn = key
            (loss, moving), gradients = jax.value_and_grad(loss_of, has_aux=True)(layers, moving, *batch, drawn)
            if workload.part == GRADIENT:
                return (layers, slots, moving, count, key), (loss, gradients)
            count = count + 1
            layers, slots = update(layers, slots, gradients, count)
            return (layers, slots, moving, count, key), loss

        def forward(state: Any, batch: Any) -> tuple[Any, Any]:
            return state, self.outputs(jax, state[0], state[2], batch[0], None)[0]

        def run(state: Any, x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
            # Gathered for the block at once: 15 % faster on the smallest network than step by step, elsewhere the same.
            return jax.lax.scan(step, state, (x[rows], y[rows]))  # type: ignore[no-any-return]

        def run_forward(state: Any, x: Any, y: Any, first: Any) -> tuple[Any, Any]:
            shape = workload.block, workload.batch
            x = jax.lax.dynamic_slice_in_dim(x, first * workload.batch, shape[0] * shape[1])
            return jax.lax.scan(forward, state, (x.reshape(*shape, -1),))  # type: ignore[no-any-return]

        self.run = jax.jit(run_forward if workload.part == FORWARD else run, donate_argnums=0)
        self.state = jax.device_put((layers, slots, moving, np.float32(0), jax.random.key(0)))
        y = self.problem.y.astype(np.int32) if workload.loss == CROSSENTROPY else self.problem.y
        self.x, self.y = jax.device_put((self.problem.x, y))
        self.rows = jax.device_put(self.problem.order.astype(np.int32).reshape(-1, workload.batch))

    def layers(self) -> list[dict[str, Any]]:
        variable, depth = self.problem.variable, len(self.workload.hidden)
        layers = []
        for index in range(depth + 1):
            layer = {"kernel": variable("dense", index, "kernel")}
            if index < depth and self.workload.batch_norm:
                layer |= {name: variable("batch_normalization", index, name) for name in ("gamma", "beta")}
            else:
                layer["bias"] = variable("dense", index, "bias")
            layers.append(layer)
        return layers

    def outputs(self, jax: Any, layers: Any, moving: Any, x: Any, key: Any) -> tuple[Any, Any]:
        """Logits, and the moving statistics after this batch; where there is a key, dropout draws from it."""
        jnp, keep, workload = jax.numpy, workloads.BN_MOMENTUM, self.workload
        activation = {"linear": lambda x: x, "gelu": lambda x: jax.nn.gelu(x, approximate=False)}.get(
            workload.activation
        ) or getattr(jax.nn, workload.activation)
        moved = []
        for index, layer in enumerate(layers[:-1]):
            z = x @ layer["kernel"]
            if workload.batch_norm:
                moving_mean, moving_variance = moving[index]
                mean = z.mean(axis=0)
                centred = z - mean
                variance = jnp.mean(centred * centred, axis=0)
                scale = layer["gamma"] * jax.lax.rsqrt(variance + workloads.BN_EPSILON)
                z = centred * scale + layer["beta"]
                moved.append((keep * moving_mean + (1 - keep) * mean, keep * moving_variance + (1 - keep) * variance))
            else:
                z = z + layer["bias"]
            x = activation(z)
            if workload.dropout and key is not None:
                kept = jax.random.bernoulli(jax.random.fold_in(key, index), 1 - workload.dropout, x.shape)
                x = jnp.where(kept, x / (1 - workload.dropout), 0)
        return x @ layers[-1]["kernel"] + layers[-1]["bias"], moved

    def loss_of(self, jax: Any) -> Any:
        jnp, workload = jax.numpy, self.workload

        def loss(layers: Any, moving: Any, x: Any, y: Any, key: Any) -> tuple[Any, Any]:
            z, moved = self.outputs(jax, layers, moving, x, key)
            if workload.loss == CROSSENTROPY:
                value = -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()
            elif workload.loss == BINARY:
                value = (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()
            else:
                value = ((z - y) ** 2).mean()
            if workload.alpha:
                value = value + workload.l2 * sum((layer["kernel"] ** 2).sum() for layer in layers)
            return value, moved

        return loss

    def update_of(self, jax: Any) -> Any:
        jnp, settings, beta_1, beta_2 = jax.numpy, self.workload.optimizer, workloads.BETA_1, workloads.BETA_2
        rate = settings.learning_rate

        def update(layers: Any, slots: Any, gradients: Any, count: Any) -> tuple[Any, Any]:
            if settings.clip:
                norm = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(gradients)))
                gradients = jax.tree.map(lambda g: g * jnp.minimum(1, settings.clip / norm), gradients)
            if settings.weight_decay:
                layers = jax.tree.map(lambda p: p - rate * settings.weight_decay * p, layers)
            if settings.kind == "adam":
                step = rate * jnp.sqrt(1 - beta_2**count) / (1 - beta_1**count)
                m = jax.tree.map(lambda m, g: m + (1 - beta_1) * (g - m), slots[0], gradients)
                v = jax.tree.map(lambda v, g: v + (1 - beta_2) * (g * g - v), slots[1], gradients)
                moved = jax.tree.map(lambda p, m, v: p - step * m / (jnp.sqrt(v) + workloads.EPSILON), layers, m, v)
                return moved, [m, v]
            if settings.kind == "adagrad":
                total = jax.tree.map(lambda a, g: a + g * g, slots[0], gradients)
                moved = jax.tree.map(
                    lambda p, g, a: p - rate * g / jnp.sqrt(a + workloads.EPSILON), layers, gradients, total
                )
                return moved, [total]
            if settings.momentum:
                m = jax.tree.map(lambda m, g: settings.momentum * m - rate * g, slots[0], gradients)
                return jax.tree.map(lambda p, m: p + m, layers, m), [m]
            return jax.tree.map(lambda p, g: p - rate * g, layers, gradients), slots

        return update

    def run_steps(self, first: int, count: int) -> Any:
        rows = first if self.workload.part == FORWARD else self.rows[first : first + count]
        self.state, found = self.run(self.state, self.x, self.y, rows)
        return found

    def first_losses(self, count: int) -> list[float]:
        found = self.run_steps(0, self.workload.block)
        if self.workload.part == FORWARD:
            return [float(np.sqrt(np.mean(np.square(y, dtype=np.float64)))) for y in np.asarray(found)[:count]]
        if self.workload.part == STEP:
            return [float(loss) for loss in found[:count]]
        jax = import_module("jax")
        losses, gradients = found
        leaves = [np.asarray(g, np.float64) for g in jax.tree.leaves(gradients)]
        norms = [float(np.sqrt(sum(np.sum(g[step] ** 2) for g in leaves))) for step in range(count)]
        return [number for step in range(count) for number in (float(losses[step]), norms[step])]

    def steps(self, first: int, count: int) -> None:
        import_module("jax").block_until_ready(self.run_steps(first, count))
