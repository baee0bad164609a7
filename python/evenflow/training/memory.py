"""How much memory there is for what a call is about to allocate."""

from __future__ import annotations

import os
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
LIMITS = (  # of a container: the limit, what is used, and the name of what is used but would be given back
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def available() -> int | None:
    """Bytes that can be allocated before the system swaps or a container's limit is reached; None where nothing
    tells."""
    found = [*_of_system(), *_of_container()]
    return min(found) if found else None


def text(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _of_system() -> list[int]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        pass
    try:
        return [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")]
    except (AttributeError, OSError, ValueError):
        return []


def _of_container() -> list[int]:
    for limit, used, statistics, reclaimable in LIMITS:
        try:
            most = int((GROUPS / limit).read_text(encoding="ascii"))  # "max" is no number: there is no limit
            now = int((GROUPS / used).read_text(encoding="ascii"))
            pairs = (line.split() for line in (GROUPS / statistics).read_text(encoding="ascii").splitlines())
            return [max(0, most - now + int(dict(pairs).get(reclaimable, 0)))]
        except (OSError, ValueError):
            continue
    return []
