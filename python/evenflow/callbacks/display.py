"""Where progress bars can be drawn."""

from __future__ import annotations

import sys
from typing import Any, TextIO


def shows_bars(stream: TextIO) -> bool:
    """Whether a line on this stream can be written over: on terminals and in notebooks, not in files and pipes."""
    return stream.isatty() or _in_notebook(stream)


def _in_notebook(stream: TextIO) -> bool:
    """Whether the stream is that of a notebook's cell: IPython's own, of a kernel that answers a browser."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return hasattr(shell, "kernel") and type(stream).__module__.split(".")[0] == "ipykernel"
