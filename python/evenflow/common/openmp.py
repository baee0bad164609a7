"""The OpenMP library that the native core runs on, in wheels that bring one."""

from __future__ import annotations

import os

LIBRARY = "libgomp.so.1"
OWN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_lib", LIBRARY)


def load(own: str = OWN) -> None:
    """Load the copy of libgomp that a wheel brings, where the system has none and nothing has loaded one.

    The core asks for libgomp by its plain name, so that it shares one, and its threads, with what else is in the
    process: PyTorch's above all. A wheel therefore has its copy beside the core, not linked to it.
    """
    if not os.path.exists(own):  # built on this machine
        return
    import ctypes

    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        ctypes.CDLL(own)
