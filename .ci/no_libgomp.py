"""An installed wheel where the system has no libgomp: the wheel's own copy is loaded, and no other."""

import ctypes
from pathlib import Path

plain = ctypes.CDLL


def absent(name: str, *arguments: object, **named: object) -> ctypes.CDLL:
    """As ctypes.CDLL where there is no libgomp but by its whole path."""
    if name == "libgomp.so.1":
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    return plain(name, *arguments, **named)  # type: ignore[arg-type]


ctypes.CDLL = absent  # type: ignore[assignment, misc]

import evenflow  # noqa: E402

assert evenflow.num_threads() > 0
maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
loaded = {line.split()[-1] for line in maps if "libgomp" in line}
assert loaded == {str(Path(evenflow.__file__).parent / "_lib" / "libgomp.so.1")}, loaded
print("without a libgomp of the system:", *loaded)
