"""PyTorch: tensors in memory, a block's rows gathered at once, fused updates; eager or compiled, one thread or all."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .problem import Peer, Variant, thread_environment
from .workloads import CROSSENTROPY, FORWARD, GRADIENT, SQUARED, STEP

ACTIVATIONS = {
    "relu": "ReLU", "elu": "ELU", "silu": "SiLU", "tanh": "Tanh", "gelu": "GELU", "mish": "Mish", "linear": "Identity"
}  # fmt: skip


class Torch(Peer):
    """`nn.Sequential`, `nn.functional`'s loss and `optim`."""

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
        workload = self.workload
        self.model = torch.nn.Sequential(*self.layers(torch))
        self.x, self.y, self.order = map(torch.from_numpy, (self.problem.x, self.problem.y, self.problem.order))
        self.optimizer = self.optimizer_of(torch)
        model, functional = self.model, torch.nn.functional
        of_outputs = {
            CROSSENTROPY: functional.cross_entropy,
            SQUARED: functional.mse_loss,
            workloads.BINARY: functional.binary_cross_entropy_with_logits,
        }[workload.loss]

        def loss(x: Any, y: Any) -> Any:
            return of_outputs(model(x), y)

        def outputs(x: Any) -> Any:
            return model(x)

        self.called: Any = outputs if workload.part == FORWARD else loss
        self.loss = torch.compile(self.called) if mode == "compile" else self.called
        clip, parameters = workload.optimizer.clip, list(model.parameters())
        self.clip = (lambda: torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True)) if clip else None
        self.inference = torch.inference_mode

    def layers(self, torch: Any) -> list[Any]:
        """With the problem's variables."""
        workload, variable, depth = self.workload, self.problem.variable, len(self.workload.hidden)
        activation = getattr(torch.nn, ACTIVATIONS[workload.activation])
        layers: list[Any] = []
        with torch.no_grad():
            for index, (inputs, units) in enumerate(workload.kernels):
                last = index == depth
                linear = torch.nn.Linear(inputs, units, bias=last or not workload.batch_norm)
                linear.weight.copy_(torch.from_numpy(variable("dense", index, "kernel").T))
                if linear.bias is not None:
                    linear.bias.copy_(torch.from_numpy(variable("dense", index, "bias")))
                layers.append(linear)
                if last:
                    break
                if workload.batch_norm:
                    momentum = 1 - workloads.BN_MOMENTUM
                    norm = torch.nn.BatchNorm1d(units, eps=workloads.BN_EPSILON, momentum=momentum)
                    norm.weight.copy_(torch.from_numpy(variable("batch_normalization", index, "gamma")))
                    norm.bias.copy_(torch.from_numpy(variable("batch_normalization", index, "beta")))
                    layers.append(norm)
                layers.append(activation())
                if workload.dropout:
                    layers.append(torch.nn.Dropout(workload.dropout))
        return layers

    def optimizer_of(self, torch: Any) -> Any:
        settings, parameters = self.workload.optimizer, list(self.model.parameters())
        groups: list[Any] = parameters
        if self.workload.alpha:  # PyTorch's weight decay of these is the gradient of l2
            kernels = [p for p in parameters if p.dim() == 2]
            rest = [p for p in parameters if p.dim() != 2]
            groups = [{"params": kernels, "weight_decay": 2 * self.workload.l2}, {"params": rest}]
        common = {"lr": settings.learning_rate, "fused": True}
        if settings.kind == "adam":
            common |= {"betas": (workloads.BETA_1, workloads.BETA_2), "eps": workloads.EPSILON}
            if settings.weight_decay:
                return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, **common)
            return torch.optim.Adam(groups, **common)
        if settings.kind == "adagrad":
            return torch.optim.Adagrad(groups, initial_accumulator_value=workloads.ACCUMULATOR, **common)
        return torch.optim.SGD(groups, momentum=settings.momentum, **common)

    def penalty(self) -> float:
        if not self.workload.alpha:
            return 0.0
        squares = sum(float((p.detach() ** 2).sum()) for p in self.model.parameters() if p.dim() == 2)
        return self.workload.l2 * squares

    def first_losses(self, count: int) -> list[float]:
        """With PyTorch's epsilon set, step by step, to what Keras' form means there."""
        found: list[float] = []
        for step in range(count):
            if self.workload.part == FORWARD:
                found.append(float((self.steps(step, 1) ** 2).mean() ** 0.5))
                continue
            if self.workload.optimizer.kind == "adam":
                epsilon = workloads.EPSILON / (1 - workloads.BETA_2 ** (step + 1)) ** 0.5
                for group in self.optimizer.param_groups:
                    group["eps"] = epsilon
            penalty = self.penalty()
            found.append(self.steps(step, 1) + penalty)
            if self.workload.part == GRADIENT:
                found.append(float(np.sqrt(sum(float((p.grad**2).sum()) for p in self.model.parameters()))))
        if self.workload.optimizer.kind == "adam":
            for group in self.optimizer.param_groups:
                group["eps"] = workloads.EPSILON
        return found

    def steps(self, first: int, count: int) -> Any:
        batch = self.workload.batch
        if self.workload.part == FORWARD:
            with self.inference():
                for x in self.x[first * batch : (first + count) * batch].split(batch):
                    outputs = self.loss(x)
            return outputs
        rows = self.order[first * batch : (first + count) * batch]
        xs, ys = self.x.index_select(0, rows).split(batch), self.y.index_select(0, rows).split(batch)
        for x, y in zip(xs, ys, strict=True):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(x, y)
            loss.backward()
            if self.clip:
                self.clip()
            if self.workload.part == STEP:
                self.optimizer.step()
        return loss.item()
