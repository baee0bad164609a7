"""Eager kernels on one thread leave Python to other threads meanwhile."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evenflow import kernels


def call_of(name: str) -> Callable[[], Any]:
    """A call of a million elements."""
    v = np.ones(1_000_000, np.float32)
    if name == "unpack":
        return kernels.PackedWeights(v.reshape(1000, 1000)).unpack
    if name == "moving_average":
        return lambda: kernels.moving_average(v, v, momentum=0.5)
    return lambda: getattr(kernels, name)([v] if name == "clip_by_global_norm" else v, 1e-3)


@pytest.mark.parametrize("name", ["clip_by_value", "clip_by_norm", "clip_by_global_norm", "moving_average", "unpack"])
def test_others_run_meanwhile(name):
    """A thread that gives way only when it waits sees another one run during some calls."""
    call, count, over = call_of(name), [0], threading.Event()

    def run() -> None:
        while not over.is_set():
            count[0] += 1
            time.sleep(0)

    other, interval = threading.Thread(target=run), sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        other.start()
        seen = 0
        for _ in range(1000):
            before = count[0]
            call()
            seen += count[0] > before
            if seen == 5:
                break
    finally:
        over.set()
        other.join()
        sys.setswitchinterval(interval)
    assert seen == 5
