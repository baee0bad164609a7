"""The workloads there are: the five of the speed targets, and those on which others measure themselves, W1 to W18.

A W names a group: `W4` stands for its members, `W4-32` and so on. Of a large grid the group stands for a few, and every
member has its name. W8, W17 and W18 are no training steps but calls (`calls`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .workloads import BINARY, CROSSENTROPY, FORWARD, GRADIENT, SQUARED, Optimizer, Target, Workload

TARGETS = (
    Workload("tiny", 8, (64, 64), 4, "relu", 64, 256, 256, Target(3.0, 20.0, 0.40)),
    Workload("geron", 784, (300, 100), 10, "elu", 32, 128, 128, Target(2.9, 5.0, 0.80)),
    Workload("deep", 784, (100,) * 20, 10, "elu", 64, 64, 64, Target(3.5, 9.0, 0.60)),
    Workload("tabular", 54, (256,) * 3, 7, "silu", 256, 32, 32, Target(2.2, 3.3, 0.85)),
    Workload("wide", 1024, (1024,) * 4, 1000, "relu", 512, 20, 5, Target(1.4, 2.4, 0.92)),
)

SGD = Optimizer("sgd", 1e-3)
ADAGRAD = Optimizer("adagrad", 1e-2)


def plain(
    name: str,
    widths: tuple[int, ...],
    activation: str,
    batch: int,
    batches: int,
    ground: str,
    *,
    block: int = 0,
    loss: str = SQUARED,
    optimizer: Optimizer = Optimizer(),  # noqa: B008 (frozen)
    batch_norm: bool = False,
) -> Workload:
    """A network without batch normalization, as most of the others are."""
    inputs, *hidden, outputs = widths
    return Workload(
        *(name, inputs, tuple(hidden), outputs, activation, batch, batches, block or batches),
        batch_norm=batch_norm,
        loss=loss,
        optimizer=optimizer,
        ground=ground,
    )


def small_and_full_batches() -> Iterable[Workload]:
    """W1 and W2, of SimpleChains. Its full batch of 10,000 rows is one of twenty such here."""
    yield plain("W1", (4, 32, 16, 4), "tanh", 10_000, 20, "SimpleChains' blog, beside PyTorch and JAX", block=5)
    gradient = plain("W2-plain", (24, 8, 2), "tanh", 200, 100, "SimpleChains' README: value and gradient")
    yield replace(gradient, part=GRADIENT)
    yield replace(gradient, part=GRADIENT, name="W2-dropout", dropout=0.2)


def compiled_loops() -> Iterable[Workload]:
    """W3, of r-xla: 1,024 rows, depth 0, 4 or 8."""
    optimizer, ground = Optimizer("sgd", 1e-4), "r-xla: PyTorch beside a compiled loop"
    for batch in (32, 64, 128):
        yield plain(f"W3-0-{batch}", (10, 1), "relu", batch, 1024 // batch, ground, optimizer=optimizer)
        for depth in (4, 8):
            for units in (10, 20, 40, 80, 160):
                name, widths = f"W3-{units}x{depth}-{batch}", (10, *(units,) * depth, 1)
                yield plain(name, widths, "relu", batch, 1024 // batch, ground, optimizer=optimizer)


def thread_cliff() -> Iterable[Workload]:
    """W4: PyTorch takes threads from a width of 46 on, and slows down."""
    for units in (32, 45, 46, 64, 128, 256):
        yield plain(f"W4-{units}", (10, units, units, 10), "linear", 128, 64, "PyTorch's issue 144633")


def digits() -> Iterable[Workload]:
    """W5 and W6, of scikit-learn and Keras."""
    # Pixels of written digits have about this root mean square.
    images: dict[str, Any] = {"loss": CROSSENTROPY, "batches": 40, "activation": "relu"}
    first = plain("W5-adam", (784, 100, 100, 10), batch=200, ground="scikit-learn's bench_mnist", **images)
    first = replace(first, alpha=1e-4, scale=0.33)
    yield first
    yield replace(first, name="W5-sgd", optimizer=Optimizer("sgd", 0.2, momentum=0.9))
    ground = "Keras' examples and its issue 114"
    yield plain("W6-128", (784, 128, 128, 10), batch=50, ground=ground, **images)
    for units in (256, 128):
        yield plain(f"W6-512-{units}", (784, 512, units, 10), batch=128, ground=ground, **images)
    normal = plain("W6-bn", (784, 512, 256, 10), batch=128, ground=ground, **images)
    yield replace(normal, batch_norm=True)


def large_layers() -> Iterable[Workload]:
    """W7 and W9: layers of 1,024 units, of libxsmm and of PARAM."""
    step = plain("W7-step", (1024,) * 4, "relu", 256, 10, "libxsmm-dnn and tpp-mlir", block=5, optimizer=SGD)
    yield step
    yield replace(step, name="W7-bn", batch_norm=True)
    yield replace(step, name="W7-forward", part=FORWARD)
    for batch in (128, 256, 512):
        yield plain(f"W9-{batch}", (1024,) * 19, "relu", batch, 5, "PARAM's linear driver", optimizer=SGD)


def recommendation() -> Iterable[Workload]:
    """W10 and W11: networks of DLRM and its like, and apex' test."""
    ground = "DLRM, Wide & Deep, NCF in benchdnn and libxsmm"
    top = (479, 1024, 1024, 512, 256, 1)
    binary: dict[str, Any] = {"loss": BINARY, "ground": ground, "batches": 5}
    for batch in (128, 2048, 12_800):
        yield plain(f"W10-top-{batch}", top, "relu", batch, optimizer=SGD, **binary)
    yield plain("W10-bottom", (13, 512, 256, 128), "relu", 2048, 10, ground, block=5, optimizer=SGD)
    yield plain("W10-wide", (845, 1024, 512, 256, 1), "relu", 2048, optimizer=ADAGRAD, **binary)
    yield plain("W10-ncf", (256, 256, 128, 64, 1), "relu", 2048, optimizer=ADAGRAD, **binary)
    apex = plain("W11", (480, 1024, 1024, 512, 256, 1), "relu", 1024, 5, "apex' test of its MLP", optimizer=SGD)
    yield replace(apex, loss=BINARY)


def narrow_and_many_rows() -> Iterable[Workload]:
    """W12, of tiny-cuda-nn: batches of 2^14 fit a processor, larger ones are for a GPU."""
    rate = Optimizer("adam", 1e-2)
    for units, depth in ((64, 5), (128, 5), (32, 3)):
        widths = (units, *(units,) * depth, 3)
        yield plain(f"W12-{units}", widths, "relu", 1 << 14, 10, "tiny-cuda-nn", block=5, optimizer=rate)


def agents_and_tables() -> Iterable[Workload]:
    """W13, W14 and W15: reinforcement learning, Keras with dropout, Keras' own benchmark."""
    rate = Optimizer("adam", 3e-4)
    yield plain("W13-sac", (17, 256, 256, 6), "relu", 256, 64, "LeanRL: a critic of SAC and TD3", optimizer=rate)
    yield plain("W13-ppo", (17, 64, 64, 6), "tanh", 64, 256, "LeanRL: PPO", optimizer=rate)
    dropped = plain("W14", (4, *(128,) * 10, 1), "relu", 500, 500, "Keras' issue 19953", block=10, loss=BINARY)
    yield replace(dropped, dropout=0.1)
    yield plain("W15", (8192, 64, 8, 2), "relu", 4096, 5, "Keras' dense_model benchmark", loss=CROSSENTROPY)


NORMALIZED = {  # width and depth: batches of each size
    (width, depth): {64: 64, 256: 32, 1024: 10, 4096: 5} for width, depths in ((128, (4, 8, 16)), (512, (4, 8)))
    for depth in depths
}  # fmt: skip


def normalized() -> Iterable[Workload]:
    """W16: batch normalization on every layer, which nobody else publishes; 10 classes, AdamW, clipping by norm."""
    optimizer = Optimizer("adam", weight_decay=0.004, clip=1.0)
    for (width, depth), sizes in NORMALIZED.items():
        widths = (width, *(width,) * depth, 10)
        for activation in ("relu", "silu", "gelu", "mish", "tanh"):
            for batch, batches in sizes.items():
                block = batches if batch < 1024 else 5
                yield plain(
                    *(f"W16-{width}x{depth}-{activation}-{batch}", widths, activation, batch, batches, "our own"),
                    block=block,
                    loss=CROSSENTROPY,
                    optimizer=optimizer,
                    batch_norm=True,
                )


FAMILIES = (
    *(small_and_full_batches, compiled_loops, thread_cliff, digits, large_layers, recommendation),
    *(narrow_and_many_rows, agents_and_tables, normalized),
)
WORKLOADS = {w.name: w for w in (*TARGETS, *(w for family in FAMILIES for w in family()))}

CALLS = {
    "W8": "Dense layers of 1,024 rows: forward, with bias, with ReLU, dx, dw (libxsmm, benchdnn)",
    "W17-lists": "update rules on lists of up to 10 million parameters (PyTorch's pull requests, DeepSpeed)",
    "W17-large": "the same on 134 million and on 1 Gi parameters, 7 and 60 GB of memory",
    "W18": "activations and their gradients, 2^10 to 10^7 elements, with their error (PyTorch, SLEEF)",
}
GPU_ONLY = {
    "W3-gpu": "W3 with ten times the units",
    "W11-half": "W11 in float16, bfloat16 and TF32",
    "W12-2^15": "W12 with 2^15 to 2^21 rows",
}

# What a group stands for where that is not every member.
FEW = {
    "W3": ("W3-10x4-32", "W3-80x4-32", "W3-160x8-128"),
    "W16": (
        *("W16-128x4-relu-64", "W16-128x8-gelu-256", "W16-128x16-mish-256"),
        *("W16-512x4-silu-256", "W16-512x8-tanh-1024", "W16-512x4-relu-4096"),
    ),
}


def group_of(name: str) -> str:
    """The W of a name, or "targets"."""
    return name.split("-")[0] if name[0] == "W" else "targets"


def members(group: str) -> tuple[str, ...]:
    """The names that a group stands for."""
    return FEW.get(group) or tuple(name for name in (*WORKLOADS, *CALLS) if group_of(name) == group)


GROUPS = tuple(dict.fromkeys(map(group_of, (*WORKLOADS, *CALLS))))
GROUPS = ("targets", *sorted(GROUPS[1:], key=lambda name: int(name[1:])))


class UnknownWorkloadError(ValueError):
    """A name that is no workload and no group, or one that runs on a GPU alone."""


def chosen(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """(all names that these stand for, those that were given themselves): members of groups are run where they are
    affordable, a workload that was named is run."""
    found: list[str] = []
    named: list[str] = []
    for name in names:
        if name == "all":
            found += [member for group in GROUPS for member in members(group)]
        elif name in GROUPS and len(members(name)) > 1:
            found += members(name)
        elif name in WORKLOADS or name in CALLS:
            found.append(name)
            named.append(name)
        elif name in GPU_ONLY:
            raise UnknownWorkloadError(f"{name} ({GPU_ONLY[name]}) needs a GPU, and is not among those measured here")
        else:
            groups = ", ".join(group for group in GROUPS if group != "targets")
            targets = ", ".join(w.name for w in TARGETS)
            raise UnknownWorkloadError(
                f"expected workloads out of {targets}, targets, {groups}, all, or one that --list names, "
                f"received {name!r}"
            )
    return list(dict.fromkeys(found)), named
